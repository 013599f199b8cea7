"""Looking at the product as another role, acting as another person, and leaving both."""

from uuid import UUID

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST

from core.errors import DomainError, NotAllowed, NotFound
from core.views import error_page, say
from tenants import access, directory
from tenants.enums import RoleCode
from tenants.models import User
from tenants.people_forms import SeeAsForm, WhyForm
from tenants.requester import requester_of
from tenants.services.acting import act_as_person, leave, see_as_role


@never_cache
@require_http_methods(["GET", "POST"])
@login_required
def see_as(request: HttpRequest) -> HttpResponse:
    """Choose a role and a place, and look at everything as whoever holds it there would."""
    asker = access.person(request.user)
    if not access.is_trusted(asker):
        return error_page(request, NotAllowed())
    form = SeeAsForm(request.POST or None, asker=asker, initial={"role": request.GET.get("role", "")[:40]})
    if request.method == "POST" and form.is_valid():
        given = form.cleaned_data
        try:
            see_as_role(session=request.session, role=given["role"], place=given["place"], actor=asker)
        except DomainError as error:
            form.add_error(None, say(error))
        else:
            return redirect(_first_page(request))
    return render(request, "tenants/acting_see_as.html", {"form": form}, status=400 if form.errors else 200)


@never_cache
@require_http_methods(["GET", "POST"])
@login_required
def act_as(request: HttpRequest, user_id: UUID) -> HttpResponse:
    """Ask why, then act as somebody."""
    asker = access.person(request.user)
    found = directory.people_visible_to(asker).filter(pk=user_id).first()
    if found is None:
        return error_page(request, NotFound())
    if not access.may(asker, access.IMPERSONATES, found):
        return error_page(request, NotAllowed(_("You can't act as other people.")))
    form = WhyForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            act_as_person(session=request.session, user=found, reason=form.cleaned_data["reason"], actor=asker)
        except DomainError as error:
            form.add_error(None, say(error))
        else:
            return redirect(_first_page(request))
    context = {"person": found, "form": form}
    return render(request, "tenants/acting_as.html", context, status=400 if form.errors else 200)


@require_POST
@login_required
def stop(request: HttpRequest) -> HttpResponse:
    """Be oneself again."""
    leave(session=request.session, actor=_signed_in(request))
    return redirect("tenants:home")


def _signed_in(request: HttpRequest) -> User:
    """Who really sits there."""
    return access.person(getattr(request, "signed_in", request.user))


def _first_page(request: HttpRequest) -> str:
    """Where whoever this session is from now on would land."""
    now = requester_of(request.session, _signed_in(request))
    if access.is_platform_staff(now):
        return "admin:index"
    held = [each for each in access.grants_of(now) if each.role != RoleCode.CUSTOMER]
    return "carts:branch-list" if held else "carts:customer-history"
