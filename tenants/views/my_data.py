"""What is kept about oneself: to take along, and to have forgotten."""

from django.contrib import messages
from django.contrib.auth import logout
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.http import urlencode
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from core.errors import DomainError
from core.exports import ExportResponse, take_export
from core.views import error_page, say
from tenants import access
from tenants.models import User
from tenants.proof import Missing, missing_proof
from tenants.services import erase_person, export_person

_ASKED_AT = {Missing.FACTOR: "mfa_reauthenticate", Missing.PASSWORD: "account_reauthenticate"}


@never_cache
@require_safe
@login_required
def my_data(request: HttpRequest) -> HttpResponse:
    """What is kept about oneself, and the two things to do about it."""
    missing = _missing(request)
    context = {
        "missing": missing,
        "proof_url": f"{reverse(_ASKED_AT[missing])}?{urlencode({'next': request.path})}"
        if missing in _ASKED_AT
        else "",
    }
    return render(request, "tenants/my_data.html", context)


@require_POST
@login_required
def download(request: HttpRequest) -> HttpResponseBase:
    """One's own data as a file."""
    if _missing(request):
        return redirect("tenants:my-data")
    user = access.person(request.user)
    try:
        return as_file(user, actor=user)
    except DomainError as error:
        return error_page(request, error)


@require_POST
@login_required
def delete(request: HttpRequest) -> HttpResponse:
    """Have oneself forgotten, once the box is ticked."""
    if _missing(request):
        messages.error(request, _("Nothing was deleted yet."))
        return redirect("tenants:my-data")
    if request.POST.get("sure") != "yes":
        messages.error(request, _("Tick the box if you are sure."))
        return redirect("tenants:my-data")
    user = access.person(request.user)
    try:
        erase_person(user=user, actor=user)
    except DomainError as error:
        messages.error(request, say(error))
        return redirect("tenants:my-data")
    logout(request)
    messages.success(request, _("Your account is gone. Nothing here names you any more."))
    return redirect("account_login")


def as_file(person: User, *, actor: User) -> ExportResponse:
    """What is kept about a person, to save. Raises `NotAllowed`, `TooMany`."""
    take_export(actor.pk)
    pieces = export_person(person=person, actor=actor)
    response = ExportResponse((piece.encode() for piece in pieces), content_type="application/json")
    response["Content-Disposition"] = f'attachment; filename="data-{timezone.now():%Y-%m-%d}.json"'
    response["Cache-Control"] = "no-store"
    return response


def _missing(request: HttpRequest) -> Missing | None:
    return missing_proof(request.session, access.person(request.user), phone_counts=True)
