"""People and their grants. Nobody gives, takes or takes over more than they hold."""

from datetime import datetime
from typing import Any
from uuid import UUID

from allauth.account.models import EmailAddress
from allauth.socialaccount.models import SocialAccount
from django.db import transaction
from django.db.models import Q
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

GIVES, TAKES = "grants:add", "grants:delete"

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
    """Change what a person is known by, which is how they sign in. `phone` is E.164. Another one ends their sessions.

    Raises `InvalidInput`, and `NotAllowed` when the person outranks `actor` or is erased.
    """
    access.require_rank(actor, user, "users:change")
    if user.erased_at:
        raise NotAllowed(_("This person is erased and stays so."))
    with transaction.atomic():
        # As it is stored: a form may have written the new values into `user` already.
        before = User.objects.select_for_update(no_key=True).get(pk=user.pk)
        saved = save_row(user, changes=_known_by(email, phone, name, language), actor=actor)
        EmailAddress.objects.filter(user=user).exclude(email=saved.email or "").delete()
        if {before.email, before.phone} - {None, saved.email, saved.phone}:
            # Whoever reads the old address or has the old number is this person no longer, nor is what they linked.
            if SocialAccount.objects.filter(user=user).delete()[0]:
                note("Google unlinked", user, actor=actor)
            end_personal_tokens(user.pk, actor=actor)
        if (before.email, before.phone) != (saved.email, saved.phone):
            SignInLink.objects.filter(user=user, used_at__isnull=True).delete()
            sign_out_everywhere(user.pk)
            saved.refresh_from_db(fields=["token_version"])
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

    Raises `NotAllowed` for one's own account, for the last manager's and when the person outranks `actor`.
    """
    access.require_rank(actor, user, "users:change")
    require_oneself(actor)
    if actor.pk == user.pk:
        raise NotAllowed(_("You can't close your own account."))
    with transaction.atomic():
        hold_person(user.pk)
        require_another_manager(user.pk)
        open_row = User.objects.filter(pk=user.pk, is_active=True)
        if open_row.update(is_active=False):
            _note_account(user, "open", "closed", actor)
            audit.record("account closed", user, actor=actor, place=home_of(user))
            end_access(user.pk, actor=actor)
            SignInLink.objects.filter(user=user, used_at__isnull=True).delete()


def require_oneself(actor: User | None) -> None:
    """Raise `NotAllowed` for who acts as somebody else: what is forbidden to oneself is not done in their name."""
    if actor is not None and actor.powers.behind:
        raise NotAllowed(_("You are acting as somebody else. Leave that first."))


def reactivate_person(*, user: User, actor: User) -> None:
    """Open a closed account, but no erased one; the person signs in anew.

    Raises `NotAllowed` when the person outranks `actor`.
    """
    access.require_rank(actor, user, "users:change")
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
    """Give a role where it can be given, until `expires_at` or for good. Given again, it ends as said the last time.

    Raises `InvalidInput`, and `NotAllowed` for a role that may do more there than `actor` (None is the product itself)
    and for an end of the last manager's. Locks the person.
    """
    row = _hold_role(role)
    grant = Grant(user=user, role=row, chain=chain, branch=branch)
    allowed = ROLE_SCOPES.get(role)
    if allowed and grant.scope not in allowed:
        raise InvalidInput(errors={"role": [_("This role can't be given there.")]})
    if actor is not None:
        require_may_give(actor, row, branch or chain)
    hold_person(user.pk)
    rows = Grant.objects.select_for_update(of=("self",))
    kept, created = rows.get_or_create(
        user=user, role=row, chain=chain, branch=branch, defaults={"expires_at": expires_at}
    )
    if created:
        note("granted", kept, actor=actor, **_told(kept))
    elif kept.expires_at == expires_at:
        return kept
    else:
        _change_end(kept, expires_at, actor)
    access.rights_changed(user.pk)
    return kept


def _hold_role(code: str) -> Role:
    """The role, locked as the new grant's foreign key will lock it: before the person, as a change of the role does."""
    found: Role = Role.objects.raw("SELECT * FROM tenants_role WHERE code = %s FOR KEY SHARE", [code])[0]
    return found


def _change_end(grant: Grant, expires_at: datetime | None, actor: User | None) -> None:
    if expires_at and grant.role.code == RoleCode.MANAGER:
        require_another_manager(grant.user_id)
    before, grant.expires_at = grant.expires_at, expires_at
    grant.save(update_fields=["expires_at"])
    audit.record("changed", grant, actor=actor, before={"expires_at": before}, after=_told(grant))


def _told(grant: Grant) -> dict[str, Any]:
    return {"user": str(grant.user_id), "role": grant.role.code, "expires_at": grant.expires_at}


def require_may_give(actor: User, role: Role, place: Chain | Branch | None) -> None:
    """Raise `NotAllowed` unless `actor` gives roles there and may do all this one may; support access is opened."""
    if role.code == RoleCode.SUPPORT_ACCESS:
        raise NotAllowed(_("Support access is opened with a reason and for a time, on its own page."))
    if not access.holds_all(actor, [GIVES], place):
        raise NotAllowed(_("You can't give roles there."))
    if not access.holds_all(actor, role.permissions, place):
        raise NotAllowed(_("You can't give a role that may do more than you may."))


def revoke_grant(*, grant: Grant, actor: User) -> None:
    """Take a role from somebody; what it allowed ends with their next request. Support access ends with its grant.

    Taken already: nothing happens. Locks the person. Raises `NotAllowed` for a role that may do more there than
    `actor`, and for the last manager's.
    """
    place = grant.branch or grant.chain
    if not access.holds_all(actor, [TAKES], place):
        raise NotAllowed(_("You can't take roles there."))
    if not access.holds_all(actor, grant.role.permissions, place):
        raise NotAllowed(_("You can't take a role that may do more than you may."))
    with transaction.atomic():
        hold_person(grant.user_id)
        if not Grant.objects.filter(pk=grant.pk).exists():
            return
        if grant.role.code == RoleCode.MANAGER:
            require_another_manager(grant.user_id)
        _take_grant(grant, actor)


@transaction.atomic
def take_grants_of(*, chain: Chain, actor: object) -> None:
    """Take every role anybody has in a chain that is to be no more; `actor` may do so. Locks the people."""
    for grant in Grant.objects.filter(chain=chain).select_related("role").order_by("user", "pk"):
        hold_person(grant.user_id)
        _take_grant(grant, actor)


def _take_grant(grant: Grant, actor: object) -> None:
    now = timezone.now()
    # A grant that ran out and was given again before the clock took it is that of older accesses too.
    open_rows = SupportAccess.objects.filter(grant=grant, ended_at__isnull=True, ends_at__gt=now)
    for opened in open_rows.select_for_update():
        close_support_access(opened=opened, actor=actor)
    delete_row(grant, actor=actor)
    end_access(grant.user_id, actor=actor, back_office=_is_way_in(grant))


def close_support_access(*, opened: SupportAccess, actor: object) -> None:
    """Note that it is over from now on, and who ended it. It is in force and locked; its grant goes with it."""
    opened.ended_at = timezone.now()
    opened.save(update_fields=["ended_at"])
    note("support access ended", opened, actor=actor, staff=str(opened.staff_id))


def hold_person(user_id: UUID) -> None:
    """Lock a person's row until the transaction ends: whoever changes what they hold does so before all else."""
    User.objects.select_for_update(no_key=True).filter(pk=user_id).values_list("pk").first()


def require_another_manager(user_id: UUID) -> None:
    """Raise `NotAllowed` unless somebody else manages the platform for good, where this person manages it.

    Locks the role where they do: of two who go at once one stays. The person is locked before.
    """
    in_force = Q(expires_at__isnull=True) | Q(expires_at__gt=timezone.now())
    managers = Grant.objects.filter(role__code=RoleCode.MANAGER, chain=None, branch=None, user__is_active=True)
    if not managers.filter(in_force, user=user_id).exists():
        return
    Role.objects.select_for_update(no_key=True).filter(code=RoleCode.MANAGER).first()
    if not managers.filter(expires_at__isnull=True).exclude(user=user_id).exists():
        raise NotAllowed(_("This is the last manager. Make somebody else a manager first."))


def end_access(user_id: UUID, *, actor: object, back_office: bool = True) -> None:
    """What somebody could do changes now; of the back office, whoever is signed in as them is signed out everywhere.

    Their programs are, too: personal tokens end.
    """
    access.rights_changed(user_id)
    if back_office:
        sign_out_everywhere(user_id)
        end_personal_tokens(user_id, actor=actor)


def sweep_expired_grants() -> int:
    """Take the grants that ran out; whoever was let in by one is signed out. Returns how many."""
    ended = 0
    for grant in Grant.objects.filter(expires_at__lte=timezone.now()).select_related("role", "branch"):
        with transaction.atomic():
            hold_person(grant.user_id)
            if Grant.objects.filter(pk=grant.pk, expires_at__lte=timezone.now()).delete()[0]:
                note("ran out", grant, actor="clock", user=str(grant.user_id), role=grant.role.code)
                end_access(grant.user_id, actor="clock", back_office=_is_way_in(grant))
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
