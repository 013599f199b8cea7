"""Ways in that are not allauth's, and where people land; customers sign in where they rent."""

from allauth.account.internal.flows.login import perform_login, record_authentication
from allauth.account.models import Login
from django.contrib.auth import logout
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from core.errors import DomainError
from core.views import error_page
from tenants import access
from tenants.services import use_sign_in_link
from tenants.views.ways_in import following


@require_http_methods(["GET", "POST"])
def sign_in_link(request: HttpRequest, token: str) -> HttpResponse:
    """A button first: a mail scanner that follows the link must not use it up."""
    if request.method == "GET":
        return render(request, "tenants/sign_in_link.html", {"token": token})
    try:
        link = use_sign_in_link(token=token)
    except DomainError as error:
        return error_page(request, error)
    if request.user.is_authenticated:
        logout(request)
    record_authentication(request, link.user, method="link")
    # allauth asks for the second factor of whoever has one, before it signs in.
    login = Login(user=link.user, email_verification="none", redirect_url=link.next_path)
    response: HttpResponse = perform_login(request, login)
    return response


@never_cache
@require_safe
@login_required
def home(request: HttpRequest) -> HttpResponse:
    """Where somebody lands who signed in without saying what for."""
    user = access.person(request.user)
    if access.is_platform_staff(user):
        return redirect("admin:index")
    return redirect("carts:branch-list" if access.is_trusted(user) else "carts:customer-history")


@require_POST
def sign_out(request: HttpRequest) -> HttpResponse:
    """End this session and go where `next` says, within the site."""
    logout(request)
    return redirect(following(request, "/"))
