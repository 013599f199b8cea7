"""Inviting people, and the page that the link in the mail leads to."""

from uuid import UUID

from allauth.account.internal.flows.login import perform_login, record_authentication
from allauth.account.models import Login
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST

from core.errors import DomainError, NotAllowed, NotFound, Unavailable
from core.views import error_page, say
from tenants import access
from tenants.models import Invitation, User
from tenants.people_forms import InviteForm, in_place
from tenants.requester import methods_of
from tenants.services.invitations import (
    LIFETIME,
    accept_invitation,
    account_of,
    invitation_of,
    invite_person,
    resend_invitation,
    withdraw_invitation,
)
from tenants.services.people import GIVES


@never_cache
@require_http_methods(["GET", "POST"])
@login_required
def invite(request: HttpRequest) -> HttpResponse:
    """Offer a role to an address."""
    asker = access.person(request.user)
    if not access.may(asker, GIVES):
        return error_page(request, NotAllowed(_("You can't invite people.")))
    form = InviteForm(request.POST if request.method == "POST" else None, asker=asker)
    if form.is_valid():
        given = form.cleaned_data
        try:
            invite_person(
                email=given["email"], name=given["name"], role=given["role"], **in_place(given["place"]), actor=asker
            )
        except Unavailable as error:
            messages.error(request, say(error))
            return redirect("people:person-list")
        except DomainError as error:
            form.add_error(None, say(error))
        else:
            messages.success(request, _("The invitation is on its way to %(email)s.") % {"email": given["email"]})
            return redirect("people:person-list")
    context = {"form": form, "days": LIFETIME.days}
    return render(request, "tenants/people_invite.html", context, status=400 if form.errors else 200)


@require_POST
@login_required
def resend(request: HttpRequest, invitation_id: UUID) -> HttpResponse:
    """Send the mail again, with a new link."""
    asker = access.person(request.user)
    try:
        invitation = _visible(asker, invitation_id)
        resend_invitation(invitation=invitation, actor=asker)
    except NotFound as error:
        return error_page(request, error)
    except DomainError as error:
        messages.error(request, say(error))
    else:
        messages.success(request, _("Sent again. The link of the earlier mail does not work any more."))
    return redirect("people:person-list")


@require_POST
@login_required
def withdraw(request: HttpRequest, invitation_id: UUID) -> HttpResponse:
    """Let the link in the mail work no more."""
    asker = access.person(request.user)
    try:
        withdraw_invitation(invitation=_visible(asker, invitation_id), actor=asker)
    except DomainError as error:
        return error_page(request, error)
    messages.success(request, _("The invitation is withdrawn. Its link does not work any more."))
    return redirect("people:person-list")


def _visible(asker: User, invitation_id: UUID) -> Invitation:
    rows = access.visible(asker, Invitation.objects.all(), "grants:view").filter(pk=invitation_id)
    found = rows.select_related("role", "chain", "branch__chain").first()
    if found is None:
        raise NotFound
    return found


@never_cache
@require_http_methods(["GET", "POST"])
def accept(request: HttpRequest, token: str) -> HttpResponse:
    """Who invites to what. A button accepts: a mail scanner that follows the link must not use it up."""
    user = request.user if isinstance(request.user, User) else None
    try:
        invitation = invitation_of(token)
        if request.method == "POST":
            gave_password = user is not None and "password" in methods_of(request.session, user)
            person, _grant = accept_invitation(token=token, user=user, gave_password=gave_password)
            messages.success(request, _("Welcome. The invitation is accepted."))
            return redirect("tenants:home") if user else _let_in(request, person)
    except DomainError as error:
        return error_page(request, error)
    context = {
        "invitation": invitation,
        "place": invitation.branch or invitation.chain,
        "other": user is not None and user.email != invitation.email,
        "has_account": user is None and account_of(invitation) is not None,
        "address": reverse("tenants:invitation", args=[token]),
    }
    return render(request, "tenants/invitation.html", context)


def _let_in(request: HttpRequest, person: User) -> HttpResponse:
    """The link proved the address, as a code sent there would; allauth asks for a second factor where there is one."""
    record_authentication(request, person, method="link")
    login = Login(user=person, email_verification="none", redirect_url=reverse("tenants:home"))
    response: HttpResponse = perform_login(request, login)
    return response
