"""What deeds about people and shops are called in the audit; see `core.audit_words`."""

from django.urls import reverse
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from core.audit_words import Kind, Word, tell_deeds, tell_details, tell_kind
from tenants.models import Branch, Grant, Invitation, Role, SupportAccess, User

tell_deeds(
    {
        "account closed": Word(_("Account closed"), "bad"),
        "account opened": Word(_("Account opened again"), "ok"),
        "acting begun": Word(_("Began to act as this person"), "warn"),
        "acting ended": Word(_("Stopped acting as this person")),
        "acting ran out": Word(_("Acting as this person ran out")),
        "accepted": Word(_("Invitation accepted"), "ok"),
        "address proved": Word(_("E-mail address proved")),
        "audit exported": Word(_("Audit exported"), "warn"),
        "authenticator app added": Word(_("Authenticator app added"), "ok"),
        "authenticator app removed": Word(_("Authenticator app removed"), "warn"),
        "erased": Word(_("Person erased"), "bad"),
        "exported": Word(_("Personal data exported"), "warn"),
        "Google linked": Word(_("Account of Google linked"), "warn"),
        "Google unlinked": Word(_("Account of Google unlinked")),
        "granted": Word(_("Role given"), "ok"),
        "key added": Word(_("Security key added"), "ok"),
        "key removed": Word(_("Security key removed"), "warn"),
        "other sessions ended": Word(_("Signed out everywhere else")),
        "password changed": Word(_("Password changed")),
        "people exported": Word(_("List of people exported"), "warn"),
        "ran out": Word(_("Role ran out"), "warn"),
        "recovery code used": Word(_("Recovery code used"), "warn"),
        "recovery codes renewed": Word(_("Recovery codes renewed")),
        "refresh token came twice": Word(_("Stolen token refused: a refresh token came twice"), "bad"),
        "registered": Word(_("Registered"), "ok"),
        "revoked": Word(_("Revoked"), "bad"),
        "second factor reset": Word(_("Second factor reset"), "warn"),
        "seen as role": Word(_("Looked at it as this role")),
        "seen as role no more": Word(_("Looked at it as themselves again")),
        "sent again": Word(_("Invitation sent again")),
        "session ended": Word(_("Session ended")),
        "sign-in link made": Word(_("Sign-in link made"), "warn"),
        "sign-in link used": Word(_("Sign-in link used"), "warn"),
        "signed up": Word(_("Signed up"), "ok"),
        "support access ended": Word(_("Support access ended")),
        "support access opened": Word(_("Support access opened"), "warn"),
        "withdrawn": Word(_("Invitation withdrawn"), "warn"),
    }
)
tell_details(
    {
        "user": _("person"),
        "staff": _("person"),
        "role": _("role"),
        "scopes": _("scopes"),
        "sessions": _("sessions"),
        "place": _("place"),
        "until": _("until"),
        "why": _("reason"),
    }
)


def _branch_page(branch: Branch) -> str:
    return reverse("carts:branch-detail", args=[branch.pk])


def person_name(user: User) -> str:
    """What the audit calls somebody: their name, or just enough of a number or an address to tell two apart."""
    if user.erased_at:
        return gettext("Erased person")
    return user.name or user.masked_phone or user.masked_email or user.client_id or gettext("No name")


def _person_page(user: User) -> str:
    return reverse("people:person-detail", args=[user.pk])


def _grant_name(grant: Grant) -> str:
    return f"{grant.role.title} · {grant.branch or grant.chain or grant.scope.label}"


def _invitation_name(invitation: Invitation) -> str:
    return f"{invitation.role.title} · {invitation.branch or invitation.chain or ''}".rstrip(" ·")


def _access_name(opened: SupportAccess) -> str:
    return str(opened.chain)


def _role_name(role: Role) -> str:
    return role.title


tell_kind("tenants.chain", Kind("chains:view"))
tell_kind("tenants.branch", Kind("branches:view", name=lambda branch: str(branch.name), url=_branch_page))
tell_kind("tenants.user", Kind("users:view", name=person_name, url=_person_page))
tell_kind("tenants.role", Kind("", known_by="code", name=_role_name))
tell_kind("tenants.grant", Kind("grants:view", related=("role", "chain", "branch"), name=_grant_name))
tell_kind("tenants.invitation", Kind("grants:view", related=("role", "chain", "branch"), name=_invitation_name))
tell_kind("tenants.supportaccess", Kind("support_access:view", related=("chain",), name=_access_name))
tell_kind("tenants.personaltoken", Kind("users:view"))
