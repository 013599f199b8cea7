"""People and their grants. Nobody gives, takes or takes over more than they hold."""

from datetime import datetime
from uuid import UUID

from allauth.account.models import EmailAddress
from allauth.socialaccount.models import SocialAccount
from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from core import audit
from core.compiled import Lookup
from core.errors import InvalidInput, NotAllowed
from core.models import StateChange
from core.rows import delete_row, note, save_row
from tenants import access
from tenants.enums import NO_WAY_IN, ROLE_SCOPES, SHIPPED_PERMISSIONS, Languages, RoleCode
from tenants.models import Branch, Chain, Grant, Role, SignInLink, SupportAccess, User
from tenants.services.personal_tokens import end_personal_tokens
from tenants.services.sessions import sign_out_everywhere

_customer_grants = Lookup(
    lambda user_id, branch_id: Grant.objects.filter(user=user_id, branch=branch_id, role__code=RoleCode.CUSTOMER),
    user_id=UUID,
    branch_id=UUID,
)


def ensure_customer(*, phone: str, language: str = Languages.ENGLISH) -> User:
    """The person with this phone (E.164, proved by a code just now), made when new. Two at once get the same one."""
    user, _created = User.objects.get_or_create(phone=phone, defaults={"language": language, "password": "!"})
    return user


def ensure_user(*, email: str, name: str = "") -> User:
    """The person with this address, made without a usable password when missing."""
    user, created = User.objects.get_or_create(email=email.lower(), defaults={"name": name, "password": "!"})
    if created:
        user.set_unusable_password()
        user.save(update_fields=["password"])
    return user


def create_person(*, email: str | None, phone: str | None, name: str, language: str, actor: User) -> User:
    """A new person, who signs in by code or link: no password is set. `phone` is E.164. Raises `InvalidInput`."""
    person = User()
    person.set_unusable_password()
    return save_row(person, changes=_known_by(email, phone, name, language), actor=actor)


def update_person(*, user: User, email: str | None, phone: str | None, name: str, language: str, actor: User) -> User:
    """Change what a person is known by, which is how they sign in. `phone` is E.164.

    Raises `InvalidInput`, and `NotAllowed` when the person outranks `actor` or is erased.
    """
    access.require_rank(actor, user)
    if user.erased_at:
        raise NotAllowed(_("This person is erased and stays so."))
    with transaction.atomic():
        saved = save_row(user, changes=_known_by(email, phone, name, language), actor=actor)
        # Whoever read the old address, or came by it from Google, no longer signs in as this person.
        if EmailAddress.objects.filter(user=user).exclude(email=saved.email or "").delete()[0]:
            SocialAccount.objects.filter(user=user).delete()
    return saved


def create_machine_user(*, name: str, client_id: str, actor: User) -> User:
    """A program, known by the Client ID of its Cloudflare Access service token. It may do what it is granted.

    Raises `InvalidInput`, also for an id that is another program's.
    """
    program = User()
    program.set_unusable_password()
    return save_row(program, changes={"name": name, "client_id": client_id}, actor=actor)


def update_profile(*, user: User, name: str, language: str) -> User:
    """What people change about themselves. Raises `InvalidInput`."""
    return save_row(user, changes={"name": name, "language": language}, actor=user)


def deactivate_person(*, user: User, actor: User) -> None:
    """Close an account: sessions, tokens and links end at once, and for good. Closed already: nothing happens.

    Raises `NotAllowed` for one's own account and when the person outranks `actor`.
    """
    access.require_rank(actor, user)
    if actor.pk == user.pk:
        raise NotAllowed(_("You can't close your own account."))
    with transaction.atomic():
        open_row = User.objects.filter(pk=user.pk, is_active=True)
        if open_row.update(is_active=False):
            _note_account(user, "open", "closed", actor)
            audit.record("account closed", user, actor=actor, place=home_of(user))
            end_access(user.pk)
            SignInLink.objects.filter(user=user, used_at__isnull=True).delete()


def reactivate_person(*, user: User, actor: User) -> None:
    """Open a closed account, but no erased one; the person signs in anew.

    Raises `NotAllowed` when the person outranks `actor`.
    """
    access.require_rank(actor, user)
    with transaction.atomic():
        if User.objects.filter(pk=user.pk, is_active=False, erased_at__isnull=True).update(is_active=True):
            _note_account(user, "closed", "open", actor)
            audit.record("account opened", user, actor=actor, place=home_of(user))


@transaction.atomic
def grant_role(
    *,
    user: User,
    role: str,
    chain: Chain | None = None,
    branch: Branch | None = None,
    expires_at: datetime | None = None,
    actor: User | None = None,
) -> Grant:
    """Give a role where it can be given, until `expires_at` or for good. The same grant twice is one: the later end.

    Raises `InvalidInput`, and `NotAllowed` for a role that may do more there than `actor`; None is the product itself.
    """
    row = Role.objects.get(code=role)
    grant = Grant(user=user, role=row, chain=chain, branch=branch)
    allowed = ROLE_SCOPES.get(role)
    if allowed and grant.scope not in allowed:
        raise InvalidInput(errors={"role": [_("This role can't be given there.")]})
    if actor is not None:
        require_may_give(actor, row, branch or chain)
    kept, created = Grant.objects.get_or_create(
        user=user, role=row, chain=chain, branch=branch, defaults={"expires_at": expires_at}
    )
    if not created and kept.expires_at == expires_at:
        return kept
    if not created:
        kept.expires_at = expires_at
        kept.save(update_fields=["expires_at"])
    access.rights_changed(user.pk)
    note("granted", kept, actor=actor, user=str(user.pk), role=role)
    return kept


def require_may_give(actor: User, role: Role, place: Chain | Branch | None) -> None:
    """Raise `NotAllowed` for a role that may do more there than `actor`, and for one that is opened with a reason."""
    if role.code == RoleCode.SUPPORT_ACCESS:
        raise NotAllowed(_("Support access is opened with a reason and for a time, on its own page."))
    if not access.holds_all(actor, role.permissions, place):
        raise NotAllowed(_("You can't give a role that may do more than you may."))


def revoke_grant(*, grant: Grant, actor: User) -> None:
    """Take a role from somebody; what it allowed ends with their next request. Support access ends with its grant.

    Raises `NotAllowed` for a role that may do more there than `actor`.
    """
    if not access.holds_all(actor, grant.role.permissions, grant.branch or grant.chain):
        raise NotAllowed(_("You can't take a role that may do more than you may."))
    with transaction.atomic():
        SupportAccess.objects.filter(grant=grant, ended_at__isnull=True).update(ended_at=timezone.now())
        delete_row(grant, actor=actor)
        end_access(grant.user_id, back_office=_is_way_in(grant))


def end_access(user_id: UUID, *, back_office: bool = True) -> None:
    """What somebody could do changes now; of the back office, whoever is signed in as them is signed out everywhere.

    Their programs are, too: personal tokens end.
    """
    access.rights_changed(user_id)
    if back_office:
        sign_out_everywhere(user_id)
        end_personal_tokens(user_id)


def sweep_expired_grants() -> int:
    """Take the grants that ran out; whoever was let in by one is signed out. Returns how many."""
    ended = 0
    for grant in Grant.objects.filter(expires_at__lte=timezone.now()).select_related("role", "branch"):
        with transaction.atomic():
            if Grant.objects.filter(pk=grant.pk, expires_at__lte=timezone.now()).delete()[0]:
                note("ran out", grant, actor="clock", user=str(grant.user_id), role=grant.role.code)
                end_access(grant.user_id, back_office=_is_way_in(grant))
                ended += 1
    return ended


def _is_way_in(grant: Grant) -> bool:
    return grant.role.code not in NO_WAY_IN


def ensure_customer_grant(*, user: User, branch: Branch) -> None:
    """A person who rents at a branch is its customer from then on: its name and history stay visible to them."""
    if not _customer_grants(user_id=user.pk, branch_id=branch.pk):
        grant_role(user=user, role=RoleCode.CUSTOMER, branch=branch)


def ensure_shipped_roles() -> None:
    """Add the shipped roles that are missing; what a manager changed about one stays."""
    for code, permissions in SHIPPED_PERMISSIONS.items():
        Role.objects.get_or_create(code=code, defaults={"name": str(RoleCode(code).label), "permissions": permissions})


def _known_by(email: str | None, phone: str | None, name: str, language: str) -> dict[str, object]:
    return {"email": email.lower() if email else None, "phone": phone or None, "name": name, "language": language}


def home_of(user: User) -> Chain | Branch | None:
    """The one shop somebody works for: who manages it sees in the audit what was done to their account. One query."""
    rows = Grant.objects.filter(user=user).exclude(role__code=RoleCode.CUSTOMER).select_related("chain", "branch")
    places = {grant.branch or grant.chain for grant in rows}
    return places.pop() if len(places) == 1 else None


def _note_account(user: User, before: str, after: str, actor: User) -> None:
    StateChange.objects.create(
        entity=user._meta.label_lower,
        entity_id=user.pk,
        field="account",
        from_state=before,
        to_state=after,
        actor=str(actor.pk),
    )
