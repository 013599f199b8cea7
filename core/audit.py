"""Who did what to which thing: one append-only table for every app (decision 11)."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.core.serializers.json import DjangoJSONEncoder
from django.db import models
from django.db.models import Q

from core.keys import key_of_text
from core.models import ActorKind, AuditEntry
from core.places import place_of
from core.privacy import personal_of
from core.request_id import current_request_id
from core.secrets import EncryptedTextField

HIDDEN = "•"
# Parts of the names of fields that hold what lets somebody in, if only hashed.
_SECRETS = ("password", "_hash", "_hmac")


@dataclass(frozen=True, slots=True)
class Origin:
    """From where something is done: the address of a request, who acts as the actor, the personal token used."""

    address: str | None = None
    behind: UUID | None = None
    token: UUID | None = None


_origin: ContextVar[Origin] = ContextVar("audit_origin", default=Origin())  # noqa: B039 (frozen)


@contextmanager
def origin(known: Origin) -> Iterator[None]:
    """Whatever is recorded inside comes from there."""
    before = _origin.set(known)
    try:
        yield
    finally:
        _origin.reset(before)


def amend_origin(*, behind: UUID | None = None, token: UUID | None = None) -> None:
    """Add what only became known while the request was served."""
    now = _origin.get()
    _origin.set(Origin(address=now.address, behind=behind or now.behind, token=token or now.token))


def record(
    action: str,
    thing: models.Model,
    *,
    actor: object,
    before: Mapping[str, Any] | None = None,
    after: Mapping[str, Any] | None = None,
    reason: str = "",
    place: models.Model | None = None,
) -> None:
    """Append a row, in the transaction of the deed. One query.

    `actor` is a person, a program, a device or the name of a job; a bare id is a device's. `place` is the shop the deed
    belongs to where the thing itself is in none. Values of personal and of encrypted fields are hidden: that they
    changed is told, what they were is not.
    """
    known = _origin.get()
    chain, branch = place_of(thing if place is None else place)
    kind, who, name = _actor(actor, known)
    AuditEntry.objects.create(
        actor_kind=kind,
        actor_id=who,
        actor_name=name,
        behind_id=known.behind,
        token_id=known.token,
        action=action,
        entity=thing._meta.label_lower,
        entity_id=str(thing.pk),
        chain_id=chain,
        branch_id=branch,
        before=_plain(thing._meta.model, before),
        after=_plain(thing._meta.model, after),
        reason=reason[:300],
        address=known.address,
        request_id=current_request_id.get(),
    )


def _actor(actor: object, known: Origin) -> tuple[ActorKind, UUID | None, str]:
    if isinstance(actor, UUID):
        return ActorKind.DEVICE, actor, ""
    key = getattr(actor, "pk", None)
    if isinstance(key, UUID):
        kind = getattr(actor, "actor_kind", ActorKind.PERSON)
        program = known.token is not None or bool(getattr(actor, "client_id", None))
        return (ActorKind.PROGRAM if program and kind == ActorKind.PERSON else kind), key, ""
    return ActorKind.JOB, None, str(actor or "system")[:80]


def naming(thing: str) -> Q:
    """Entries that name this exact id: of the thing, the request, whoever did it or was behind it, the token.

    All of them are indexed, whatever the size of the table.
    """
    condition = Q(entity_id=thing) | Q(request_id=thing)
    if key := key_of_text(thing):
        condition |= Q(entity_id=str(key)) | Q(actor_id=key) | Q(behind_id=key) | Q(token_id=key)
    return condition


def hidden_fields(model: type[models.Model]) -> frozenset[str]:
    """Fields whose values go into no log and no audit row."""
    encrypted = {field.name for field in model._meta.get_fields() if isinstance(field, EncryptedTextField)}
    personal = personal_of(model)
    secret = {field.name for field in model._meta.get_fields() if any(part in field.name for part in _SECRETS)}
    return (personal.fields if personal else frozenset()) | encrypted | secret


class _Plain(DjangoJSONEncoder):
    """Times as RFC 3339, decimals as they are written, rows as their keys, anything else as text."""

    def default(self, o: Any) -> Any:
        if isinstance(o, models.Model):
            return o.pk
        try:
            return super().default(o)
        except TypeError:
            return str(o)


def _plain(model: type[models.Model], values: Mapping[str, Any] | None) -> Any:
    if values is None:
        return None
    hidden = hidden_fields(model)
    shown = {name: HIDDEN if name in hidden and value else value for name, value in values.items()}
    return json.loads(json.dumps(shown, cls=_Plain))
