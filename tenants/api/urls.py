"""REST routes of people and shops."""

from django.urls import path

from tenants.api import access, audit, auth, me, shops, tokens

urlpatterns = [
    path("auth/otp/request", auth.OtpRequestView.as_view(), name="api-otp-request"),
    path("auth/otp/verify", auth.OtpVerifyView.as_view(), name="api-otp-verify"),
    path("auth/register", auth.RegisterView.as_view(), name="api-register"),
    path("auth/verify", auth.VerifyView.as_view(), name="api-register-verify"),
    path("auth/login", auth.LoginView.as_view(), name="api-login"),
    path("auth/token/refresh", auth.RefreshView.as_view(), name="api-token-refresh"),
    path("auth/logout", auth.LogoutView.as_view(), name="api-logout"),
    path("auth/me", me.MeView.as_view(), name="api-me"),
    path("auth/tokens", tokens.TokenListView.as_view(), name="api-token-list"),
    path("auth/tokens/<uuid:token_id>", tokens.TokenDetailView.as_view(), name="api-token-detail"),
    path("access/explain", access.ExplainView.as_view(), name="api-access-explain"),
    path("audit", audit.AuditListView.as_view(), name="api-audit-list"),
    path("chains", shops.ChainListView.as_view(), name="api-chain-list"),
    path("chains/<uuid:chain_id>", shops.ChainDetailView.as_view(), name="api-chain-detail"),
    path("branches", shops.BranchListView.as_view(), name="api-branch-list"),
    path("branches/<uuid:branch_id>", shops.BranchDetailView.as_view(), name="api-branch-detail"),
]
