"""Looking at the product as another role, and acting as another person: both live in the session of who does it."""

import logging

from django.contrib.sessions.backends.base import SessionBase
from django.db import transaction
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from core import audit
from core.errors import InvalidInput, NotAllowed
from core.rows import note
from tenants import access
from tenants.enums import ROLE_SCOPES, GrantScope
from tenants.models import Branch, Chain, Role, User
from tenants.requester import ACTING_AS, SEEN_AS, acting_entry, seen_as_entry

logger = logging.getLogger(__name__)


def see_as_role(*, session: SessionBase, role: Role, place: Chain | Branch | None, actor: User) -> None:
    """From now on this session sees what the role shows in that place (None: the platform), and changes nothing.

    Raises `NotAllowed` for a role that may do more there than `actor`, and for a second change of clothes;
    `InvalidInput` where the role can't be given.
    """
    _require_plain(actor)
    scope = GrantScope.PLATFORM if place is None else GrantScope[type(place).__name__.upper()]
    if scope not in ROLE_SCOPES.get(role.code, frozenset(GrantScope)):
        raise InvalidInput(errors={"place": [_("This role can't be held there.")]})
    if not access.is_trusted(actor) or not access.holds_all(actor, role.permissions, place):
        raise NotAllowed(_("You can only look at it as a role that may do no more than you may."))
    with transaction.atomic():
        note("seen as role", role, actor=actor, place=str(place.pk) if place else "")
        session[SEEN_AS] = seen_as_entry(role, place)


def act_as_person(*, session: SessionBase, user: User, reason: str, actor: User) -> None:
    """From now on, for 30 minutes, this session is that person's, but for what is theirs alone.

    Raises `NotAllowed` unless `actor` outranks them and may impersonate people wherever they hold something, for
    oneself and for a closed account;
    `InvalidInput` without a reason. Told in the audit of every chain where the person holds something.
    """
    _require_plain(actor)
    if actor.pk == user.pk:
        raise NotAllowed(_("This is you."))
    if not user.is_active:
        raise NotAllowed(_("This account is closed: nobody can act as them."))
    if not access.may(actor, access.IMPERSONATES, user):
        raise NotAllowed
    access.require_rank(actor, user, access.IMPERSONATES)
    if not reason.strip():
        raise InvalidInput(errors={"reason": [_("Say why, so that it can be understood later.")]})
    entry = acting_entry(user)
    with transaction.atomic():
        _note_acting("acting begun", user, actor, reason=reason.strip(), until=entry["until"])
        session[ACTING_AS] = {**entry, "reason": reason.strip()}


def leave(*, session: SessionBase, actor: User) -> None:
    """Be oneself again; `actor` is who really sits there. Nothing to leave: nothing happens."""
    if entry := session.pop(ACTING_AS, None):
        _note_end("acting ended", entry, actor)
    if session.pop(SEEN_AS, None):
        note("seen as role no more", actor, actor=actor)


def drop_what_ended(*, session: SessionBase, actor: User, user: User) -> bool:
    """Forget what this session may be no more, and tell the audit; whether there was anything to forget.

    `user` is whom it is now.
    """
    dropped = False
    if ACTING_AS in session and user.powers.behind is None:
        _note_end("acting ran out", session.pop(ACTING_AS), actor)
        dropped = True
    if SEEN_AS in session and user.powers.seen_as is None:
        del session[SEEN_AS]
        dropped = True
    return dropped


def _require_plain(actor: User) -> None:
    powers = actor.powers
    if powers.behind or powers.seen_as is not None or powers.scopes is not None or not powers.second_factor:
        raise NotAllowed(_("Leave what you are looking at first."))


def _note_end(what: str, entry: dict[str, str], actor: User) -> None:
    user = User.objects.filter(pk=entry["user"]).first()
    if user is not None:
        with transaction.atomic():
            _note_acting(what, user, actor, reason=entry.get("reason", ""))


def _note_acting(what: str, user: User, actor: User, *, reason: str, until: str = "") -> None:
    """In the audit of every chain where the person holds something; in the platform's alone when they hold nothing."""
    chains = Chain.objects.filter(Q(grants__user=user) | Q(branches__grants__user=user)).distinct()
    after = {"until": until} if until else None
    places: list[Chain | None] = [*chains]
    for chain in places or [None]:
        audit.record(what, user, actor=actor, after=after, reason=reason, place=chain)
    logger.info(what, extra={"actor": str(actor.pk), "entity_id": str(user.pk)})
