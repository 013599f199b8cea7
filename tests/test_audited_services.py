"""Whoever does something to another's thing is told of in the audit: each service with an actor, or a reason not to."""

import ast
import inspect
import pkgutil
import textwrap
from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any
from uuid import uuid4

import pytest
from django.conf import settings
from django.utils import timezone
from django_celery_beat.models import PeriodicTask
from pytest_django import Settings

from carts.enums import CartCondition, RentalStatus
from carts.services import start_rental
from carts.services.carts import command_cart, place_cart, put_in_maintenance, put_in_service
from carts.services.rentals import close_rental
from carts.tests.factories import make_cart, make_rental
from core import audit, audit_words, outbox, schedule
from core.models import AuditEntry, OutboxMessage
from core.outbox import forget_done
from core.rows import delete_row, note, save_row
from devices.enums import CommandStatus, DeviceState
from devices.services import commands, enrolment, setup
from devices.tests.factories import make_command, make_controller, make_device
from tenants.models import Branch, Chain, Invitation, PersonalToken, Role, SupportAccess, User
from tenants.services import (
    acting,
    invitations,
    links,
    people,
    personal_tokens,
    privacy,
    roles,
    shops,
    support_access,
)
from tenants.services.audit import note_audit_export, note_people_export
from tenants.services.second_factor import reset_second_factor
from tenants.session_store import SessionStore
from tenants.tests.factories import make_chain, make_grant, make_people, make_phone, make_user

pytestmark = pytest.mark.django_db

Deed = Callable[[Any], object]

# What each service is tried with; `who` are the people of the tests.
DEEDS: dict[str, Deed] = {
    "carts.services.carts.command_cart": lambda who: command_cart(
        cart=make_cart(branch=who.branch), type="lock", actor=who.alice, idempotency_key=uuid4().hex
    ),
    "carts.services.carts.place_cart": lambda who: place_cart(
        branch=who.branch,
        cart_number=77,
        controller=make_controller(device=make_device(branch=who.branch)),
        locker_id=1,
        actor=who.bob,
    ),
    "carts.services.carts.put_in_maintenance": lambda who: put_in_maintenance(
        cart=make_cart(branch=who.branch), note="A wheel", actor=who.alice
    ),
    "carts.services.carts.put_in_service": lambda who: put_in_service(
        cart=make_cart(branch=who.branch, condition=CartCondition.MAINTENANCE), actor=who.alice
    ),
    "carts.services.rentals.close_rental": lambda who: close_rental(
        rental=make_rental(cart=make_cart(branch=who.branch), status=RentalStatus.ACTIVE),
        reason="It is here",
        actor=who.alice,
    ),
    "devices.services.commands.cancel_command": lambda who: commands.cancel_command(
        command=make_command(device=make_device(branch=who.branch), status=CommandStatus.QUEUED), actor=who.bob
    ),
    "devices.services.enrolment.approve_device": lambda who: enrolment.approve_device(
        device=make_device(branch=who.branch, state=DeviceState.PENDING), actor=who.bob
    ),
    "devices.services.enrolment.create_enrolment_code": lambda who: enrolment.create_enrolment_code(
        branch=who.branch, actor=who.bob
    ),
    "devices.services.enrolment.revoke_device": lambda who: enrolment.revoke_device(
        device=make_device(branch=who.branch), actor=who.bob, reason="Stolen"
    ),
    "devices.services.setup.add_known_mac": lambda who: setup.add_known_mac(
        chain=who.chain, mac_address="02:00:00:00:00:AA", actor=who.bob
    ),
    "devices.services.setup.change_controller": lambda who: setup.change_controller(
        controller=make_controller(device=make_device(branch=who.branch)), baudrate=9600, actor=who.bob
    ),
    "devices.services.setup.change_known_mac": lambda who: setup.change_known_mac(
        known=setup.add_known_mac(chain=who.chain, mac_address="02:00:00:00:00:AB", actor="test"),
        chain=who.chain,
        mac_address="02:00:00:00:00:AC",
        actor=who.bob,
    ),
    "devices.services.setup.place_controller": lambda who: setup.place_controller(
        device=make_device(branch=who.branch), address=3, actor=who.bob
    ),
    "devices.services.setup.prepare_device": lambda who: setup.prepare_device(
        branch=who.branch, name="pi-new", actor=who.bob
    ),
    "devices.services.setup.remove_controller": lambda who: setup.remove_controller(
        controller=make_controller(device=make_device(branch=who.branch)), actor=who.bob
    ),
    "devices.services.setup.remove_known_mac": lambda who: setup.remove_known_mac(
        known=setup.add_known_mac(chain=who.chain, mac_address="02:00:00:00:00:AD", actor="test"), actor=who.bob
    ),
    "devices.services.setup.rename_device": lambda who: setup.rename_device(
        device=make_device(branch=who.branch), name="pi-other", actor=who.bob
    ),
    "devices.services.setup.request_firmware": lambda who: setup.request_firmware(
        device=make_device(branch=who.branch), version="9.9", actor=who.bob
    ),
    "devices.services.setup.restart_device": lambda who: setup.restart_device(
        device=make_device(branch=who.branch), actor=who.bob
    ),
    "devices.services.setup.send_config": lambda who: setup.send_config(
        device=make_device(branch=who.branch), actor=who.bob
    ),
    "tenants.services.acting.act_as_person": lambda who: acting_as(who.alice, who.erin),
    "tenants.services.acting.drop_what_ended": lambda who: acting.drop_what_ended(
        session=acting_as(who.alice, who.erin), actor=who.erin, user=who.erin
    ),
    "tenants.services.acting.leave": lambda who: acting.leave(session=acting_as(who.alice, who.erin), actor=who.erin),
    "tenants.services.acting.see_as_role": lambda who: acting.see_as_role(
        session=SessionStore(), role=Role.objects.get(code="support"), place=None, actor=who.erin
    ),
    "tenants.services.audit.note_audit_export": lambda who: note_audit_export(
        actor=who.bob, format="csv", filters={}, place=who.chain
    ),
    "tenants.services.audit.note_people_export": lambda who: note_people_export(
        actor=who.bob, format="csv", place=who.chain
    ),
    "tenants.services.invitations.invite_person": lambda who: invited(who.branch, who.bob),
    "tenants.services.invitations.resend_invitation": lambda who: invitations.resend_invitation(
        invitation=invited(who.branch, who.bob), actor=who.bob
    ),
    "tenants.services.invitations.withdraw_invitation": lambda who: invitations.withdraw_invitation(
        invitation=invited(who.branch, who.bob), actor=who.bob
    ),
    "tenants.services.links.create_sign_in_link": lambda who: links.create_sign_in_link(
        user=who.alice, next_path="/", actor=who.erin
    ),
    "tenants.services.people.create_machine_user": lambda who: people.create_machine_user(
        name="Till", client_id="till.access", actor=who.erin
    ),
    "tenants.services.people.create_person": lambda who: people.create_person(
        email="new@example.com", phone=None, name="New", language="en", actor=who.erin
    ),
    "tenants.services.people.deactivate_person": lambda who: people.deactivate_person(user=who.alice, actor=who.erin),
    "tenants.services.people.end_access": lambda who: people.end_access(token_of(who.alice).user_id, actor=who.erin),
    "tenants.services.people.grant_role": lambda who: people.grant_role(
        user=who.dora, role="branch_manager", branch=who.branch, actor=who.bob
    ),
    "tenants.services.people.reactivate_person": lambda who: people.reactivate_person(
        user=make_user(is_active=False), actor=who.erin
    ),
    "tenants.services.people.revoke_grant": lambda who: people.revoke_grant(
        grant=make_grant(user=who.dora, role="branch_manager", branch=who.branch), actor=who.bob
    ),
    "tenants.services.people.take_grants_of": lambda who: people.take_grants_of(chain=who.chain, actor=who.erin),
    "tenants.services.people.update_person": lambda who: people.update_person(
        user=who.alice, email=who.alice.email, phone=None, name="Alicia", language="fr", actor=who.erin
    ),
    "tenants.services.personal_tokens.end_personal_tokens": lambda who: personal_tokens.end_personal_tokens(
        token_of(who.alice).user_id, actor=who.erin
    ),
    "tenants.services.personal_tokens.revoke_personal_token": lambda who: personal_tokens.revoke_personal_token(
        token=token_of(who.alice), actor=who.erin
    ),
    "tenants.services.privacy.erase_person": lambda who: privacy.erase_person(user=who.dora, actor=who.erin),
    "tenants.services.privacy.export_person": lambda who: privacy.export_person(person=who.dora, actor=who.erin),
    "tenants.services.roles.create_role": lambda who: roles.create_role(
        code="till", name="Till", permissions=["carts:view"], actor=who.erin
    ),
    "tenants.services.roles.delete_role": lambda who: roles.delete_role(
        role=roles.create_role(code="till", name="Till", permissions=[], actor=who.erin), actor=who.erin
    ),
    "tenants.services.roles.update_role": lambda who: roles.update_role(
        role=roles.create_role(code="till", name="Till", permissions=[], actor=who.erin), name="Desk", actor=who.erin
    ),
    "tenants.services.second_factor.reset_second_factor": lambda who: reset_second_factor(
        user=who.alice, actor=who.erin
    ),
    "tenants.services.shops.create_branch": lambda who: shops.create_branch(
        chain=who.chain, code="NEW", name="New", actor=who.bob
    ),
    "tenants.services.shops.create_chain": lambda who: shops.create_chain(name="New", slug="new", actor=who.erin),
    "tenants.services.shops.delete_chain": lambda who: shops.delete_chain(chain=make_chain(), actor=who.erin),
    "tenants.services.shops.update_branch": lambda who: shops.update_branch(
        branch=who.branch, name="Other", actor=who.bob
    ),
    "tenants.services.shops.update_chain": lambda who: shops.update_chain(
        chain=who.chain, name="Other", actor=who.erin
    ),
    "tenants.services.support_access.end_support_access": lambda who: support_access.end_support_access(
        opened=looking_into(who.chain, who.erin), actor=who.bob
    ),
    "tenants.services.support_access.open_support_access": lambda who: looking_into(who.chain, who.erin),
    "core.outbox.try_again": lambda who: outbox.try_again(message=parked_message(), actor=who.erin),
    "core.schedule.delete_schedule": lambda who: schedule.delete_schedule(row=some_task(), actor=who.erin),
    "core.schedule.pause_task": lambda who: schedule.pause_task(task=some_task(), actor=who.erin),
    "core.schedule.resume_task": lambda who: schedule.resume_task(task=some_task(), actor=who.erin),
    "core.schedule.run_task_now": lambda who: schedule.run_task_now(task=some_task(), actor=who.erin),
    "core.schedule.save_schedule": lambda who: schedule.save_schedule(
        row=some_task(), changes={"description": "Other"}, actor=who.erin
    ),
}
# Services that tell the audit nothing themselves, and why.
EXCEPTIONS: dict[str, str] = {
    "carts.services.rentals.return_cart": "a customer's own act: the rental tells of it",
    "devices.services.commands.queue_command": "the hot path of an unlock; whoever calls it for a person records",
    "devices.services.commands.stop_command": "also a customer's, who says that it did not open; staff cancel",
    "devices.services.setup.bump_config": "follows from what was changed, which is recorded",
    "tenants.services.people.require_may_give": "asks only",
    "tenants.services.people.require_oneself": "asks only",
}
# Services that tell the audit and are tried with others that call them.
TRIED_WITH_OTHERS: dict[str, str] = {
    "tenants.services.people.close_support_access": "the last step of end_support_access and of revoke_grant",
}
RECORDERS = (audit.record, note, save_row, delete_row)
PACKAGES = ("carts.services", "devices.services", "tenants.services")
OURS = ("core.", "tenants.", "devices.", "carts.")


def some_task() -> PeriodicTask:
    return PeriodicTask.objects.get(name="core.sweep_outbox")


def acting_as(user: User, actor: User) -> SessionStore:
    """A session in which `actor` acts as `user`."""
    session = SessionStore()
    acting.act_as_person(session=session, user=user, reason="A call", actor=actor)
    return session


def invited(branch: Branch, by: User) -> Invitation:
    role = Role.objects.get(code="branch_manager")
    return invitations.invite_person(email="n@example.com", name="Nina", role=role, branch=branch, actor=by)


def looking_into(chain: Chain, staff: User) -> SupportAccess:
    return support_access.open_support_access(chain=chain, reason="A call", lasts=timedelta(hours=1), actor=staff)


def parked_message() -> OutboxMessage:
    now = timezone.now()
    return OutboxMessage.objects.create(event="e", receiver="r", payload={}, available_at=now, parked_at=now)


def token_of(user: User) -> PersonalToken:
    tomorrow = timezone.now() + timedelta(days=1)
    return PersonalToken.objects.create(user=user, name="t", token_hash="t", hint="t", scopes=[], expires_at=tomorrow)


def modules() -> Iterator[ModuleType]:
    yield from (schedule, outbox)
    for package in map(import_module, PACKAGES):
        for found in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
            yield import_module(found.name)


def services_with_an_actor() -> dict[str, Callable[..., object]]:
    """Public functions that say in whose name they are called."""
    return {
        f"{module.__name__}.{name}": inspect.unwrap(function)
        for module in modules()
        for name, function in vars(module).items()
        if inspect.isfunction(function) and not name.startswith("_") and function.__module__ == module.__name__
        if "actor" in inspect.signature(function).parameters
    }


def tells(function: Callable[..., object], met: set[object] | None = None) -> bool:
    """Whether it calls what writes audit rows, itself or through functions of ours."""
    function, met = inspect.unwrap(function), met if met is not None else set()
    if function in RECORDERS:
        return True
    if function in met or not inspect.isfunction(function) or not function.__module__.startswith(OURS):
        return False
    met.add(function)
    return any(tells(each, met) for each in called_by(function))


def called_by(function: Callable[..., object]) -> Iterator[Callable[..., object]]:
    """What its source names and calls, as far as its module knows the name."""
    for node in ast.walk(ast.parse(textwrap.dedent(inspect.getsource(function)))):
        if isinstance(node, ast.Name | ast.Attribute):
            found = _meaning(node, function.__globals__)
            if callable(found):
                yield found


def _meaning(node: ast.AST, known: Mapping[str, object]) -> object:
    if isinstance(node, ast.Name):
        return known.get(node.id)
    if isinstance(node, ast.Attribute) and isinstance(owner := _meaning(node.value, known), ModuleType):
        return getattr(owner, node.attr, None)
    return None


def test_every_service_with_an_actor_tells_the_audit_or_says_why_not() -> None:
    silent = {name for name, function in services_with_an_actor().items() if not tells(function)}

    assert silent == set(EXCEPTIONS)


def test_service_that_forgot_is_noticed_control() -> None:
    def forgets(*, thing: object, actor: object) -> None:
        forget_done()

    def remembers(*, thing: object, actor: object) -> None:
        schedule.pause_task(task=thing, actor=actor)

    # As if they stood in a module of ours.
    for function in (forgets, remembers):
        function.__module__ = "core.schedule"

    assert (tells(forgets), tells(remembers)) == (False, True)


def test_every_service_with_an_actor_is_tried_or_says_why_not() -> None:
    untried = set(services_with_an_actor()) - set(DEEDS)

    assert untried == EXCEPTIONS.keys() | TRIED_WITH_OTHERS.keys()
    assert set(DEEDS) - set(services_with_an_actor()) == set()


@pytest.mark.parametrize("name", sorted(DEEDS))
def test_deed_is_told_with_who_did_it(name: str, tmp_path: Path, settings: Settings) -> None:
    settings.ERASURE_JOURNAL = str(tmp_path / "erasures.jsonl")
    who = make_people()

    DEEDS[name](who)

    told = AuditEntry.objects.latest("pk")
    assert told.actor_id in {who.alice.pk, who.bob.pk, who.erin.pk}
    assert audit_words.deeds()[told.action]
    assert audit_words.kind_of(told.entity)


def test_customers_own_rental_costs_the_audit_nothing() -> None:
    cart, dora = make_cart(), make_user(phone=make_phone())

    start_rental(cart=cart, customer=dora, idempotency_key="k")

    # Being the branch's customer from now on is told, once; the rental tells the rest.
    assert [row.action for row in AuditEntry.objects.all()] == ["granted"]


def test_everything_that_is_recorded_has_a_word() -> None:
    """Actions stand in the code as plain texts."""
    written = {
        found.args[0].value
        for path in sources()
        for found in ast.walk(ast.parse(path.read_text()))
        if isinstance(found, ast.Call) and found.args and isinstance(found.args[0], ast.Constant)
        if _called(found) in ("record", "note") and len(found.args) == 2
    }

    assert len(written) > 20
    assert written - set(audit_words.deeds()) == set()


def sources() -> Iterator[Path]:
    for app in ("core", "tenants", "devices", "carts"):
        yield from (path for path in (settings.BASE_DIR / app).rglob("*.py") if "tests" not in path.parts)


def _called(call: ast.Call) -> str:
    return call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
