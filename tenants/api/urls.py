"""REST routes of people and shops."""

from django.urls import path

from tenants.api import auth, shops

urlpatterns = [
    path("auth/otp/request", auth.OtpRequestView.as_view(), name="api-otp-request"),
    path("auth/otp/verify", auth.OtpVerifyView.as_view(), name="api-otp-verify"),
    path("auth/token/refresh", auth.RefreshView.as_view(), name="api-token-refresh"),
    path("chains", shops.ChainListView.as_view(), name="api-chain-list"),
    path("chains/<uuid:chain_id>", shops.ChainDetailView.as_view(), name="api-chain-detail"),
    path("branches", shops.BranchListView.as_view(), name="api-branch-list"),
    path("branches/<uuid:branch_id>", shops.BranchDetailView.as_view(), name="api-branch-detail"),
]
