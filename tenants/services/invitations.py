"""Invitations: a role offered to whoever reads the mail of an address. The token is only in the mail."""

import hashlib
import secrets
from datetime import datetime, timedelta

from django.conf import settings
from django.core.mail import EmailMessage
from django.db import transaction
from django.db.models import Q, QuerySet
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils import timezone, translation
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from core.errors import DomainError, InvalidInput, NotAllowed
from core.limits import Limit, take
from core.mail import send_message
from core.rows import note, save_row
from tenants import access
from tenants.enums import ROLE_SCOPES
from tenants.models import Branch, Chain, Grant, Invitation, Role, User
from tenants.services.accounts import prove_address
from tenants.services.people import GIVES, ensure_user, grant_role, hold_person, require_may_give

LIFETIME = timedelta(days=7)


def invite_person(
    *, email: str, name: str, role: Role, chain: Chain | None = None, branch: Branch | None = None, actor: User
) -> Invitation:
    """Offer a role by mail; an earlier offer of the same ends. The same whether the address has an account or not.

    Raises `InvalidInput`, `NotAllowed` for a place where `actor` may give nothing and for a role that may do more
    there, `TooMany`, and `Unavailable` when the mail could not be sent: the invitation can then be sent again.
    """
    place = branch or chain
    invitation = Invitation(role=role, chain=chain, branch=branch, invited_by=actor)
    allowed = ROLE_SCOPES.get(role.code)
    if allowed and Grant(role=role, chain=chain, branch=branch).scope not in allowed:
        raise InvalidInput(errors={"role": [_("This role can't be given there.")]})
    _require_may_invite(actor, invitation)
    require_may_give(actor, role, place)
    _take(actor, email)
    token = secrets.token_urlsafe(32)
    with transaction.atomic(durable=True):
        for earlier in waiting(Invitation.objects.filter(email=email.lower(), role=role, chain=chain, branch=branch)):
            _withdraw(earlier, actor)
        changes = {"email": email.lower(), "name": name, "token_hash": _hash(token), "expires_at": _end()}
        save_row(invitation, changes=changes, actor=actor)
    _send(invitation, token, actor)
    return invitation


def resend_invitation(*, invitation: Invitation, actor: User) -> None:
    """Send it again with a new link, for another seven days; the old link is dead. Locks the invitation.

    Raises as `invite_person`, and `DomainError` when it was accepted or withdrawn.
    """
    _require_may_invite(actor, invitation)
    require_may_give(actor, invitation.role, invitation.branch or invitation.chain)
    _take(actor, invitation.email)
    token = secrets.token_urlsafe(32)
    with transaction.atomic(durable=True):
        row = Invitation.objects.select_for_update(of=("self",)).get(pk=invitation.pk)
        if row.accepted_at or row.withdrawn_at:
            raise DomainError(_("This invitation was accepted or withdrawn meanwhile."))
        row.token_hash, row.expires_at, row.invited_by = _hash(token), _end(), actor
        row.save(update_fields=["token_hash", "expires_at", "invited_by"])
        note("sent again", row, actor=actor)
    _send(row, token, actor)


def withdraw_invitation(*, invitation: Invitation, actor: User) -> None:
    """Its link stops working. Accepted or withdrawn already: nothing happens. Raises `NotAllowed`."""
    _require_may_invite(actor, invitation)
    with transaction.atomic():
        _withdraw(invitation, actor)


def invitation_of(token: str) -> Invitation:
    """The invitation a link leads to. Raises `InvalidInput` for one that is unknown, used, withdrawn or too old."""
    related = ("role", "chain", "branch__chain", "invited_by")
    found = waiting(Invitation.objects.filter(token_hash=_hash(token))).select_related(*related).first()
    if found is None:
        raise _spent()
    return found


def account_of(invitation: Invitation) -> User | None:
    """Whose address it was sent to, once somebody has proved that it is theirs; they sign in to accept."""
    proved = Q(emailaddress__verified=True) | Q(grants__isnull=False) | Q(is_active=False)
    return User.objects.filter(proved, email=invitation.email).distinct().first()


@transaction.atomic
def accept_invitation(*, token: str, user: User | None, gave_password: bool = False) -> tuple[User, Grant]:
    """Give the role to `user`; without one, to a new account of whoever reads that mail, which proves the address.

    Unless `gave_password` says that they came in by it, a password from before that is forgotten (`prove_address`).
    Once; locks the person, then the invitation. Raises `InvalidInput` for a spent link, `NotAllowed` for another
    address than the invited, for a closed account, and when who invited may not give that role any more.
    """
    hashed = Invitation.objects.filter(token_hash=_hash(token)).select_related("role", "chain", "branch__chain")
    row = waiting(hashed).first()
    if row is None:
        raise _spent()
    if user is None and account_of(row) is not None:
        raise NotAllowed(_("This address has an account. Sign in to it first."))
    person = user or ensure_user(email=row.email, name=row.name)
    if person.email != row.email or not person.is_active:
        raise NotAllowed(_("This invitation is for another address than yours."))
    hold_person(person.pk)
    row = waiting(hashed.select_for_update(of=("self",))).first()
    if row is None:
        raise _spent()
    if row.invited_by is None:
        raise _inviter_gone()
    prove_address(user=person, email=row.email, keep_password=gave_password)
    try:
        _require_may_invite(row.invited_by, row)
        grant = grant_role(user=person, role=row.role.code, chain=row.chain, branch=row.branch, actor=row.invited_by)
    except NotAllowed:
        raise _inviter_gone() from None
    Invitation.objects.filter(pk=row.pk).update(accepted_at=timezone.now())
    note("accepted", row, actor=person)
    return person, grant


def waiting(rows: QuerySet[Invitation]) -> QuerySet[Invitation]:
    """Those that can still be accepted."""
    return rows.filter(accepted_at__isnull=True, withdrawn_at__isnull=True, expires_at__gt=timezone.now())


def _require_may_invite(actor: User, invitation: Invitation) -> None:
    place = invitation.branch or invitation.chain
    everywhere = access.reach(actor, GIVES).everywhere
    if not (everywhere or (place is not None and access.may(actor, GIVES, place))):
        raise NotAllowed(_("You can't invite people there."))


def _withdraw(invitation: Invitation, actor: User) -> None:
    open_row = Invitation.objects.filter(pk=invitation.pk, accepted_at__isnull=True, withdrawn_at__isnull=True)
    if open_row.update(withdrawn_at=timezone.now()):
        note("withdrawn", invitation, actor=actor)


def _take(actor: User, email: str) -> None:
    """Mail goes to strangers in our name: sixty a day from one person, five a day to one address."""
    day = timedelta(days=1)
    name = hashlib.sha256(email.lower().encode()).hexdigest()[:32]
    take([Limit(f"invite:{actor.pk}", 60, day), Limit(f"invited:{name}", 5, day)], fail_closed=True)


def _send(invitation: Invitation, token: str, actor: User) -> None:
    """In the inviter's language: that of the invited is not known yet."""
    url = f"{settings.PUBLIC_URL.rstrip('/')}{reverse('tenants:invitation', args=[token])}"
    place = invitation.branch or invitation.chain
    context = {
        "url": url,
        "name": invitation.name,
        "inviter": actor.get_full_name(),
        "role": invitation.role.title,
        "place": place.name if place else "CartWise",
        "days": LIFETIME.days,
    }
    with translation.override(actor.language):
        subject = gettext("%(inviter)s invites you to %(place)s") % context
        body = render_to_string("tenants/mail/invitation.txt", context)
    send_message(EmailMessage(" ".join(subject.split()), body, to=[invitation.email]))


def _spent() -> InvalidInput:
    return InvalidInput(_("This invitation was used or withdrawn, or is too old. Ask whoever sent it for a new one."))


def _inviter_gone() -> NotAllowed:
    return NotAllowed(_("Whoever invited you may not do so any more. Ask for a new invitation."))


def _end() -> datetime:
    return timezone.now() + LIFETIME


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
