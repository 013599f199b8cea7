"""Websocket routes; who may listen is decided by each consumer when it connects."""

from django.urls import path

from carts.consumers import BranchConsumer, RentalConsumer

websocket_urlpatterns = [
    path("ws/branches/<uuid:branch_id>", BranchConsumer.as_asgi()),
    path("ws/rentals/<uuid:rental_id>", RentalConsumer.as_asgi()),
    path("ws/me", RentalConsumer.as_asgi()),
]
