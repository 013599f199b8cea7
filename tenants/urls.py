"""Sign-in, second factors, one's own account. allauth's views stand under our paths with allauth's own names,
which it reverses; what is not listed here is not reachable.
"""

from allauth.account import views as account
from allauth.socialaccount import views as social
from django.urls import include, path
from django.views.generic import RedirectView

from tenants import google
from tenants.views import acting, auth, codes, invitations, my_data, phone, profile, security
from tenants.views import second_factor as factors
from tenants.views.ways_in import change_password, sign_out, sign_up, way_in, with_google

own = (
    [
        path("home", auth.home, name="home"),
        path("sign-out", auth.sign_out, name="sign-out"),
        path("link/<str:token>", auth.sign_in_link, name="sign-in-link"),
        path("second-factor", factors.second_factor, name="second-factor"),
        path("invitation/<str:token>", invitations.accept, name="invitation"),
        path("see-as", acting.see_as, name="see-as"),
        path("act-as/<uuid:user_id>", acting.act_as, name="act-as"),
        path("leave", acting.stop, name="leave"),
        path("security", security.security, name="security"),
        path("profile", profile.profile, name="profile"),
        path("sessions", security.sessions, name="sessions"),
        path("sessions/end-others", security.end_others, name="sessions-end-others"),
        path("sessions/<str:key>/end", security.end_one, name="session-end"),
        path("sessions/apps/<uuid:family>/end", security.end_app, name="app-session-end"),
        path("tokens", security.tokens, name="tokens"),
        path("tokens/create", security.create_token, name="token-create"),
        path("tokens/<uuid:token_id>/revoke", security.revoke_token, name="token-revoke"),
        path("my-data", my_data.my_data, name="my-data"),
        path("my-data/download", my_data.download, name="my-data-download"),
        path("my-data/delete", my_data.delete, name="my-data-delete"),
        path("phone", phone.phone, name="phone"),
        path("phone/code", phone.code, name="phone-code"),
        path("phone/resend", phone.resend, name="phone-resend"),
    ],
    "tenants",
)

urlpatterns = [
    path("", include(own)),
    path("sign-in", way_in(account.login), name="account_login"),
    path("sign-up", sign_up(account.signup), name="account_signup"),
    path("sign-out-now", sign_out(account.logout), name="account_logout"),
    path("inactive", way_in(account.account_inactive), name="account_inactive"),
    path("confirm", way_in(account.reauthenticate), name="account_reauthenticate"),
    path("code", way_in(account.request_login_code), name="account_request_login_code"),
    path("code/confirm", codes.confirm_sign_in, name="account_confirm_login_code"),
    path("email", way_in(factors.changes_reach(account.email)), name="account_email"),
    path("email/confirm", way_in(account.email_verification_sent), name="account_email_verification_sent"),
    path(
        "password",
        factors.changes_sign_in(change_password(account.password_change), asks_password=True),
        name="account_change_password",
    ),
    path("password/set", factors.changes_sign_in(account.password_set), name="account_set_password"),
    path("password-reset", way_in(account.password_reset), name="account_reset_password"),
    path("password-reset/confirm", codes.confirm_reset, name="account_confirm_password_reset_code"),
    path("password-reset/complete", codes.complete_reset, name="account_complete_password_reset"),
    path("password-reset/done", way_in(account.password_reset_from_key_done), name="account_password_reset_completed"),
    path("2fa", RedirectView.as_view(pattern_name="tenants:security"), name="mfa_index"),
    path("2fa/give", factors.give_while_signing_in, name="mfa_authenticate"),
    path("2fa/confirm", factors.give, name="mfa_reauthenticate"),
    path("2fa/app", factors.set_up_app, name="mfa_activate_totp"),
    path("2fa/app/remove", factors.remove_app, name="mfa_deactivate_totp"),
    path("2fa/recovery-codes", factors.recovery_codes, name="mfa_generate_recovery_codes"),
    path("2fa/keys", factors.keys, name="mfa_list_webauthn"),
    path("2fa/keys/add", factors.add_key_page, name="mfa_add_webauthn"),
    path("2fa/keys/confirm", factors.give_key, name="mfa_reauthenticate_webauthn"),
    path("2fa/keys/sign-in", factors.sign_in_with_key, name="mfa_login_webauthn"),
    path("2fa/keys/<int:pk>/remove", factors.remove_key, name="mfa_remove_webauthn"),
    path("2fa/keys/<int:pk>/rename", factors.rename_key_page, name="mfa_edit_webauthn"),
    path("google", with_google(factors.begins_with_google(google.begin)), name="google_login"),
    path("google/callback", with_google(google.finish), name="google_callback"),
    path("google/cancelled", way_in(social.login_cancelled), name="socialaccount_login_cancelled"),
    path("google/error", way_in(social.login_error), name="socialaccount_login_error"),
    path(
        "google/connections", with_google(factors.changes_reach(social.connections)), name="socialaccount_connections"
    ),
]
