"""Sign-in pages."""

from django.urls import path

from tenants.views import auth

app_name = "tenants"
urlpatterns = [
    path("sign-in", auth.SignIn.as_view(), name="sign-in"),
    path("sign-out", auth.sign_out, name="sign-out"),
    path("link/<str:token>", auth.sign_in_link, name="sign-in-link"),
]
