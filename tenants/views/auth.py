"""Sign-in of staff and managers; customers sign in where they rent."""

from datetime import timedelta

from django.contrib.auth import login, logout
from django.contrib.auth.views import LoginView
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.http import require_http_methods, require_POST

from core.addresses import client_address
from core.errors import DomainError
from core.limits import Limit, take
from core.views import error_page
from tenants.services import use_sign_in_link

BACKEND = "django.contrib.auth.backends.ModelBackend"


class SignIn(LoginView):
    """E-mail and password; ten tries an hour for each address and name, whether right or wrong."""

    template_name = "tenants/sign_in.html"

    def post(self, request: HttpRequest, *args: object, **kwargs: object) -> HttpResponse:
        hour = timedelta(hours=1)
        name = request.POST.get("username", "")[:254].lower()
        limits = [
            Limit(f"sign-in:address:{client_address(request)}", 30, hour),
            Limit(f"sign-in:name:{name}", 10, hour),
        ]
        try:
            take(limits, fail_closed=True)
        except DomainError as error:
            return error_page(request, error)
        return super().post(request, *args, **kwargs)


@require_http_methods(["GET", "POST"])
def sign_in_link(request: HttpRequest, token: str) -> HttpResponse:
    """A button first: a mail scanner that follows the link must not use it up."""
    if request.method == "GET":
        return render(request, "tenants/sign_in_link.html", {"token": token})
    try:
        link = use_sign_in_link(token=token)
    except DomainError as error:
        return error_page(request, error)
    login(request, link.user, backend=BACKEND)
    return redirect(link.next_path)


@require_POST
def sign_out(request: HttpRequest) -> HttpResponse:
    """End this session and go where `next` says, within the site."""
    logout(request)
    target = request.POST.get("next", "/")
    if not url_has_allowed_host_and_scheme(target, allowed_hosts={request.get_host()}):
        target = "/"
    return redirect(target)
