"""Shops whose every row can be told from every other's: what one of them says elsewhere is a leak.

A side is one branch with everything that hangs on it. Each text of its rows holds its canary, a word that stands
nowhere else; ids, phones, codes and addresses are its canaries too.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import count
from typing import Any
from uuid import UUID, uuid4

from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from django.apps import apps
from django.contrib.admin.models import LogEntry
from django.contrib.contenttypes.models import ContentType
from django.db import models
from django.utils import timezone

from carts.enums import RentalStatus
from carts.models import Cart
from carts.tests.factories import make_cart, make_rental
from core.models import ActorKind, AuditEntry, OutboxMessage, StateChange
from devices.models import Device, InboundMessage, KnownMac, TelemetryEvent
from devices.services import create_enrolment_code
from devices.services.telemetry import Event, store_telemetry
from devices.tests.factories import make_command, make_controller, make_device
from tenants.enums import RoleCode
from tenants.models import (
    Branch,
    BrowserSession,
    Chain,
    Invitation,
    PersonalToken,
    RefreshToken,
    Registration,
    Role,
    SignInLink,
    SupportAccess,
    User,
)
from tenants.tests.authenticators import give_app
from tenants.tests.factories import make_branch, make_chain, make_grant, make_user

_phones = count(1)

# Texts that mean something to the product; everything else is marked.
MEANT = {
    "devices.command": {"type", "topic"},
    "devices.controller": {"port"},
    "tenants.branch": {"time_zone"},
    "tenants.user": {"password"},
    "tenants.registration": {"password", "language"},
    "tenants.browsersession": {"session_data"},
    "core.auditentry": {"entity", "entity_id", "action"},
    "core.statechange": {"entity", "field", "from_state", "to_state"},
    "core.outboxmessage": {"event", "receiver"},
    "admin.logentry": {"object_id"},
    "devices.devicetoken": {"key_id"},
    "mfa.authenticator": {"type"},
}
# Nobody is shown these, and who made them counts on what they hold.
SECRET = {
    "token_hash",
    "code_hmac",
    "claim_hash",
    "fingerprint",
    "public_code",
    "mac_address",
    "phone",
    "email",
    "hint",
}


@dataclass(slots=True, eq=False)
class Side:
    """A branch and what belongs to it. `rows` holds one or more of every model, the one to ask for first."""

    canary: str
    chain: Chain
    branch: Branch
    manager: User
    customer: User
    rows: dict[type[models.Model], list[models.Model]] = field(default_factory=dict)

    def row(self, model: type[models.Model]) -> Any:
        return self.rows[model][0]

    def keep(self, *rows: models.Model) -> None:
        for row in rows:
            self.rows.setdefault(type(row), []).append(row)

    def everything(self) -> Iterator[models.Model]:
        for rows in self.rows.values():
            yield from rows

    def canaries(self, *, shared: "Side | None" = None, says: frozenset[str] = frozenset()) -> tuple[str, ...]:
        """Whatever tells of this side, in lower case; of a sister branch, without the chain it shares.

        Where the models `says` may be told of: each text that stands in the others' rows alone, whole.
        """
        known = {str(row.pk) for row in shared.everything()} if shared else set()
        told = [row for row in self.everything() if row._meta.label_lower in says]
        rows = [row for row in self.everything() if row._meta.label_lower not in says and str(row.pk) not in known]
        texts = {str(row.pk) for row in rows if isinstance(row.pk, UUID)}
        for row in rows:
            for name in ("public_code", "mac_address", "phone"):
                if value := getattr(row, name, None):
                    texts.add(str(value).lower())
        if not says:
            return tuple(sorted(texts | {self.canary}))
        marked = {text for row in rows for text in self._marked(row)}
        said = " ".join(text for row in told for text in self._marked(row))
        return tuple(sorted(text for text in texts | marked if text not in said))

    def _marked(self, row: models.Model) -> Iterator[str]:
        for column in row._meta.concrete_fields:
            value = getattr(row, column.attname)
            if isinstance(value, str) and self.canary in value.lower():
                yield value.lower()


def build_side(canary: str, *, chain: Chain | None = None) -> Side:
    """A branch, of a chain of its own unless one is named, with rows of every model that belongs to somebody."""
    given = chain
    chain = chain or make_chain(slug=f"{canary}-chain", name=f"{canary} chain")
    branch = make_branch(chain=chain, code=f"{canary.upper()}-1", name=f"{canary} branch")
    manager = make_user(email=f"{canary}-manager@example.com", name=f"{canary} manager", phone=_phone())
    customer = make_user(email=f"{canary}-customer@example.com", name=f"{canary} customer", phone=_phone())
    side = Side(canary=canary, chain=chain, branch=branch, manager=manager, customer=customer)
    side.keep(branch, manager, customer, *([] if given else [chain]))
    if given:
        side.rows[Chain] = [chain]
    for fill in FILLED_BY:
        fill(side)
    for row in side.everything():
        if row is not given:
            _mark(row, canary)
    return side


def _shop(side: Side) -> None:
    device = make_device(branch=side.branch)
    controller = make_controller(device=device)
    side.keep(device, controller, device.presence)
    side.keep(*(make_cart(controller=controller) for _ in range(3)))
    taken, back, late = (make_cart(controller=controller) for _ in range(3))
    open_, ended, overdue = (
        make_rental(cart=taken, customer=side.customer),
        make_rental(cart=back, customer=side.customer, status=RentalStatus.RETURNED),
        make_rental(cart=late, customer=side.customer, status=RentalStatus.OVERDUE),
    )
    side.keep(open_, ended, overdue, taken, back, late)
    side.keep(make_command(device=device, target_id=side.row(Cart).pk), open_.unlock_command)
    make_grant(user=side.customer, role=RoleCode.CUSTOMER, branch=side.branch)
    side.keep(make_grant(user=side.manager, role=RoleCode.BRANCH_MANAGER, branch=side.branch))


def _around_devices(side: Side) -> None:
    device = side.row(Device)
    side.keep(create_enrolment_code(branch=side.branch, device=device)[0])
    side.keep(KnownMac.objects.create(chain=side.chain, mac_address=_mac()))
    event = Event(uuid4(), "cart_sensor", timezone.now(), {"said": side.canary})
    store_telemetry(device=device, events=[event])
    side.keep(TelemetryEvent.objects.get(event_id=event.event_id))
    message = {"source_id": device.pk, "message_id": uuid4(), "topic": "t", "payload": {"said": side.canary}}
    side.keep(InboundMessage.objects.create(**message, received_at=timezone.now()))


def _histories(side: Side) -> None:
    cart = side.row(Cart)
    change = {"entity": "carts.cart", "field": "status", "from_state": "reserved", "to_state": "available"}
    side.keep(StateChange.objects.create(entity_id=cart.pk, actor=str(side.manager.pk), **change))
    side.keep(
        OutboxMessage.objects.create(
            event="test.Nothing",
            payload={"branch_id": str(side.branch.pk)},
            receiver="test.nobody",
            available_at=timezone.now(),
            parked_at=timezone.now(),
        ),
        AuditEntry.objects.create(
            actor_kind=ActorKind.PERSON,
            actor_id=side.manager.pk,
            action="changed",
            entity="carts.cart",
            entity_id=str(cart.pk),
            chain_id=side.chain.pk,
            branch_id=side.branch.pk,
            before={"maintenance_notes": side.canary},
            after={"maintenance_notes": f"{side.canary} 2"},
        ),
        LogEntry.objects.create(
            user=side.manager,
            content_type=ContentType.objects.get_for_model(Cart),
            object_id=str(cart.pk),
            object_repr=side.canary,
            action_flag=2,
        ),
    )


def _people(side: Side) -> None:
    soon = timezone.now() + timedelta(days=1)
    role = Role.objects.get(code=RoleCode.BRANCH_MANAGER)
    email = f"{side.canary}-invited@example.com"
    staff = make_user(email=f"{side.canary}-staff@example.com", name=f"{side.canary} staff")
    side.keep(
        Invitation.objects.create(
            token_hash=uuid4().hex, email=email, role=role, branch=side.branch, invited_by=side.manager, expires_at=soon
        ),
        SupportAccess.objects.create(staff=staff, chain=side.chain, reason="To look into it", ends_at=soon),
        PersonalToken.objects.create(
            user=side.customer, name="Till", token_hash=uuid4().hex, hint="abcd", scopes=["carts:view"], expires_at=soon
        ),
        BrowserSession.objects.create(
            session_key=uuid4().hex, session_data="", expire_date=soon, user=side.customer, user_agent="Browser"
        ),
        EmailAddress.objects.create(user=side.manager, email=side.manager.email, verified=True, primary=True),
        *(_app(user) for user in (side.customer, side.manager)),
        RefreshToken.objects.create(token_hash=uuid4().hex, family=uuid4(), user=side.customer, expires_at=soon),
        SignInLink.objects.create(token_hash=uuid4().hex, user=side.manager, expires_at=soon),
        Registration.objects.create(
            email=f"{side.canary}-registers@example.com", password="!", language="en", code_hmac="x", expires_at=soon
        ),
    )


FILLED_BY: list[Callable[[Side], None]] = [_shop, _around_devices, _histories, _people]


def _mark(row: models.Model, canary: str) -> None:
    """Put the canary into each text that means nothing to the product."""
    meant = MEANT.get(row._meta.label_lower, set()) | SECRET
    changes: dict[str, Any] = {}
    for column in row._meta.concrete_fields:
        if column.primary_key or column.unique or column.choices or column.name in meant:
            continue
        value = getattr(row, column.attname)
        if isinstance(column, models.CharField | models.TextField) and canary not in str(value).lower():
            changes[column.name] = f"{canary} {column.name}"[: column.max_length]
        elif isinstance(column, models.JSONField) and isinstance(value, dict):
            changes[column.name] = {**value, "canary": canary}
    if changes:
        type(row)._base_manager.filter(pk=row.pk).update(**changes)
        row.refresh_from_db()


def _app(user: User) -> Authenticator:
    give_app(user)
    found: Authenticator = Authenticator.objects.get(user=user, type="totp")
    return found


def _phone() -> str:
    """A number with digits no other number, id or time holds in a row."""
    return f"+9725{31_415_900 + next(_phones)}"


def _mac() -> str:
    return ":".join(f"{byte:02X}" for byte in uuid4().bytes[:6])


def owned_models() -> list[type[models.Model]]:
    """Every model whose rows belong to a chain, a branch or a person."""
    return [
        model
        for model in apps.get_models()
        if any(getattr(model, name, "") for name in ("chain_path", "branch_path", "owner_path"))
    ]
