"""Sign-in, second factors, one's own account. allauth's views stand under our paths with allauth's own names,
which it reverses; what is not listed here is not reachable.
"""

from allauth.account import views as account
from allauth.mfa.base import views as mfa
from allauth.mfa.recovery_codes import views as recovery
from allauth.mfa.totp import views as totp
from allauth.mfa.webauthn import views as webauthn
from allauth.socialaccount import views as social
from allauth.socialaccount.providers.google import views as google
from django.urls import include, path

from tenants.views import auth

own = (
    [
        path("home", auth.home, name="home"),
        path("sign-out", auth.sign_out, name="sign-out"),
        path("link/<str:token>", auth.sign_in_link, name="sign-in-link"),
        path("second-factor", auth.second_factor, name="second-factor"),
    ],
    "tenants",
)

urlpatterns = [
    path("", include(own)),
    path("sign-in", account.login, name="account_login"),
    path("sign-up", account.signup, name="account_signup"),
    path("sign-out-now", account.logout, name="account_logout"),
    path("inactive", account.account_inactive, name="account_inactive"),
    path("confirm", account.reauthenticate, name="account_reauthenticate"),
    path("code", account.request_login_code, name="account_request_login_code"),
    path("code/confirm", account.confirm_login_code, name="account_confirm_login_code"),
    path("email", account.email, name="account_email"),
    path("email/confirm", account.email_verification_sent, name="account_email_verification_sent"),
    path("password", account.password_change, name="account_change_password"),
    path("password/set", account.password_set, name="account_set_password"),
    path("password-reset", account.password_reset, name="account_reset_password"),
    path("password-reset/confirm", account.confirm_password_reset_code, name="account_confirm_password_reset_code"),
    path("password-reset/complete", account.complete_password_reset, name="account_complete_password_reset"),
    path("password-reset/done", account.password_reset_from_key_done, name="account_password_reset_completed"),
    path("2fa", mfa.index, name="mfa_index"),
    path("2fa/give", mfa.authenticate, name="mfa_authenticate"),
    path("2fa/confirm", mfa.reauthenticate, name="mfa_reauthenticate"),
    path("2fa/app", totp.activate_totp, name="mfa_activate_totp"),
    path("2fa/app/remove", totp.deactivate_totp, name="mfa_deactivate_totp"),
    path("2fa/recovery-codes", recovery.view_recovery_codes, name="mfa_view_recovery_codes"),
    path("2fa/recovery-codes/new", recovery.generate_recovery_codes, name="mfa_generate_recovery_codes"),
    path("2fa/recovery-codes/download", recovery.download_recovery_codes, name="mfa_download_recovery_codes"),
    path("2fa/keys", webauthn.list_webauthn, name="mfa_list_webauthn"),
    path("2fa/keys/add", webauthn.add_webauthn, name="mfa_add_webauthn"),
    path("2fa/keys/confirm", webauthn.reauthenticate_webauthn, name="mfa_reauthenticate_webauthn"),
    path("2fa/keys/sign-in", webauthn.login_webauthn, name="mfa_login_webauthn"),
    path("2fa/keys/<int:pk>/remove", webauthn.remove_webauthn, name="mfa_remove_webauthn"),
    path("2fa/keys/<int:pk>/rename", webauthn.edit_webauthn, name="mfa_edit_webauthn"),
    path("google", google.oauth2_login, name="google_login"),
    path("google/callback", google.oauth2_callback, name="google_callback"),
    path("google/cancelled", social.login_cancelled, name="socialaccount_login_cancelled"),
    path("google/error", social.login_error, name="socialaccount_login_error"),
    path("google/sign-up", social.signup, name="socialaccount_signup"),
    path("google/connections", social.connections, name="socialaccount_connections"),
]
