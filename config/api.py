"""REST routes below `/api/`, without trailing slashes."""

from django.urls import include, path

urlpatterns = [
    path("", include("tenants.api.urls")),
    path("", include("devices.api.urls")),
    path("", include("carts.api.urls")),
]
