"""REST routes below a branch."""

from django.urls import path

from carts.api import views

urlpatterns = [
    path("branches/<uuid:branch_id>/stats", views.BranchStatsView.as_view(), name="api-branch-stats"),
    path("branches/<uuid:branch_id>/carts", views.CartListView.as_view(), name="api-cart-list"),
    path("branches/<uuid:branch_id>/carts/assign", views.AssignView.as_view(), name="api-cart-assign"),
    path("branches/<uuid:branch_id>/carts/return", views.ReturnView.as_view(), name="api-cart-return"),
    path("branches/<uuid:branch_id>/carts/<uuid:cart_id>", views.CartDetailView.as_view(), name="api-cart-detail"),
    path("branches/<uuid:branch_id>/rentals/active", views.ActiveRentalsView.as_view(), name="api-rental-active"),
    path("branches/<uuid:branch_id>/rentals/history", views.RentalHistoryView.as_view(), name="api-rental-history"),
    path("branches/<uuid:branch_id>/rentals/stats", views.RentalStatsView.as_view(), name="api-rental-stats"),
]
