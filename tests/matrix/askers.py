"""Who asks: every role, every way in. Each has a side that is its own and others it must not learn of."""

from collections.abc import Callable, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from http.cookies import SimpleCookie
from typing import Any

from django.test import Client
from django.utils import timezone

from carts.tests.factories import make_cart, make_rental
from devices.models import Controller, Device
from devices.tests.factories import make_device_token
from tenants import requester
from tenants.enums import SHIPPED_PERMISSIONS, RoleCode
from tenants.models import Grant, Role, User
from tenants.services.personal_tokens import create_personal_token
from tenants.services.sessions import issue_access_token
from tenants.services.support_access import open_support_access
from tenants.tests.factories import make_grant, make_phone, make_user
from tenants.tests.signing_in import sign_in
from tests.matrix.declared import CLOSED, OPEN_TO_ALL, Open
from tests.matrix.estate import Side, build_side

EVERYTHING = frozenset({"*"})
PLATFORM, CHAIN, BRANCH = "platform", "chain", "branch"


@dataclass(slots=True)
class World:
    """Four branches: two of one chain, one of another, one of a third where somebody of ours rents."""

    ours: Side
    sister: Side
    theirs: Side
    abroad: Side
    askers: dict[str, "Asker"] = field(default_factory=dict)

    @property
    def sides(self) -> tuple[Side, ...]:
        return self.ours, self.sister, self.theirs, self.abroad


def build_world() -> World:
    ours = build_side("zqours")
    sister = build_side("zqsister", chain=ours.chain)
    return World(ours=ours, sister=sister, theirs=build_side("zqtheirs"), abroad=build_side("zqabroad"))


@dataclass(slots=True, eq=False)
class Asker:
    """Somebody, and what they should be able to do: said here, never asked of the product.

    `permissions` are held at `place` of the own side; `others` are the sides that must not exist for them.
    """

    name: str
    own: Side
    others: tuple[Side, ...]
    browser: Client
    program: Client
    permissions: frozenset[str] = frozenset()
    place: str = ""
    user: User | None = None
    device: Device | None = None
    staff: bool = False
    renter: bool = False
    owner: bool = False
    known: bool = True
    read_only: bool = False
    browses: bool = True
    one_factor: bool = False
    scoped: bool = False
    acting: bool = False
    everywhere: frozenset[str] = frozenset()
    # Addresses that are open to them beyond what is open to everybody: who may know of every chain.
    told_at: Mapping[str, Open] = field(default_factory=dict)

    def holds(self, permission: str, *, place: str = BRANCH) -> bool:
        """Whether they hold it on their side, on things of a branch, of the chain or of the whole platform."""
        if permission in self.everywhere:
            return True
        order = (PLATFORM, CHAIN, BRANCH)
        if not self.place or order.index(self.place) > order.index(place):
            return False
        resource = permission.partition(":")[0]
        return bool({"*", f"{resource}:*", permission} & self.permissions)

    def canaries(self, says: frozenset[str] = frozenset()) -> dict[Side, tuple[str, ...]]:
        """What must not be said to them, by side; where rows of the models `says` may be told of."""
        return {
            other: other.canaries(shared=self.own if other.chain == self.own.chain else None, says=says)
            for other in self.others
        }

    def open_at(self, name: str) -> Open:
        """What is open to them on purpose at an address."""
        return self.told_at.get(name) or OPEN_TO_ALL.get(name, CLOSED)

    @contextmanager
    def same_cookies(self) -> Any:
        """Whatever a request sets or takes away is forgotten: the database is rolled back too."""
        kept = [(client, SimpleCookie(client.cookies.output(header=""))) for client in (self.browser, self.program)]
        try:
            yield
        finally:
            for client, cookies in kept:
                client.cookies = cookies


def _shipped(role: str) -> frozenset[str]:
    return frozenset(SHIPPED_PERMISSIONS[role])


def browser(user: User | None, *, second_factor: bool = True, **session: Any) -> Client:
    """A signed-in browser whose session need not be written for a while."""
    client = Client(raise_request_exception=False)
    if user is not None:
        sign_in(client, user, second_factor=second_factor)
        stored = client.session
        stored.update({"seen_at": (timezone.now() + timedelta(days=1)).timestamp(), **session})
        stored.save()
        client.get("/i18n/setlang/")  # what is written into a session once
    return client


def program(token: str | None) -> Client:
    return Client(raise_request_exception=False, headers={"Authorization": f"Bearer {token}"} if token else {})


def person(name: str, user: User, own: Side, others: tuple[Side, ...], **facts: Any) -> Asker:
    """Somebody who comes with a browser and with a token of their own."""
    token = issue_access_token(user, second_factor=True)
    return Asker(name, own, others, browser(user), program(token), user=user, **facts)


def anonymous(world: World) -> Asker:
    return Asker("anonymous", world.ours, (world.theirs, world.ours), browser(None), program(None), known=False)


def customer(world: World) -> Asker:
    """Whose sessions, personal tokens and second factor the side's are."""
    others = (world.sister, world.theirs)
    return person("customer", world.ours.customer, world.ours, others, renter=True, owner=True)


def customer_elsewhere(world: World) -> Asker:
    """Rents abroad, and has nothing to do with the others."""
    user = make_user(phone=make_phone(), name="Fay")
    make_grant(user=user, role=RoleCode.CUSTOMER, branch=world.abroad.branch)
    make_rental(cart=make_cart(controller=world.abroad.row(Controller)), customer=user)
    others = (world.ours, world.theirs)
    return person("customer elsewhere", user, world.abroad, others, renter=True)


def _manager(world: World, name: str, role: str, own: Side, others: tuple[Side, ...], place: str) -> Asker:
    user = make_user(email=f"{name.replace(' ', '-').replace(chr(39), '')}@example.com", name=name.title())
    where: dict[str, Any] = {"chain": own.chain} if place == CHAIN else {"branch": own.branch} if place else {}
    make_grant(user=user, role=role, **({} if place == PLATFORM else where))
    return person(name, user, own, others, permissions=_shipped(role), place=place, staff=place == PLATFORM)


def branch_manager(world: World) -> Asker:
    others = (world.sister, world.theirs)
    return _manager(world, "branch manager", RoleCode.BRANCH_MANAGER, world.ours, others, BRANCH)


def chain_manager(world: World) -> Asker:
    return _manager(world, "chain manager", RoleCode.CHAIN_MANAGER, world.ours, (world.theirs, world.abroad), CHAIN)


def other_chain_manager(world: World) -> Asker:
    others = (world.ours, world.abroad)
    return _manager(world, "another chain's manager", RoleCode.CHAIN_MANAGER, world.theirs, others, CHAIN)


def platform_manager(world: World) -> Asker:
    return _manager(world, "platform manager", RoleCode.MANAGER, world.ours, (), PLATFORM)


def technical(world: World) -> Asker:
    return _manager(world, "technical", RoleCode.TECHNICAL, world.ours, (), PLATFORM)


def support(world: World) -> Asker:
    return _manager(world, "support", RoleCode.SUPPORT, world.ours, (), PLATFORM)


def staff_of_one_chain(world: World) -> Asker:
    """Staff who were let into one chain and there may do everything: whom the admin must hold to it."""
    user = make_user(email="one-chain@example.com", name="One Chain")
    desk = Role.objects.create(code="desk", name="Desk", permissions=[])
    whole = Role.objects.create(code="whole", name="Whole", permissions=["*"])
    Grant.objects.create(user=user, role=desk)
    Grant.objects.create(user=user, role=whole, chain=world.ours.chain)
    others = (world.theirs,)
    return person("staff of one chain", user, world.ours, others, permissions=EVERYTHING, place=CHAIN, staff=True)


def support_access(world: World) -> Asker:
    """Staff who hold nothing but the right to be let in, and what the chain gave them for an hour."""
    user, opens = make_user(email="looks-in@example.com", name="Looks In"), frozenset({"support_access:open"})
    Grant.objects.create(user=user, role=Role.objects.create(code="opens", name="Opens", permissions=sorted(opens)))
    open_support_access(chain=world.ours.chain, reason="Asked to", lasts=timedelta(hours=1), actor=user)
    return person(
        "support access",
        User.objects.get(pk=user.pk),
        world.ours,
        (world.theirs,),
        permissions=_shipped(RoleCode.SUPPORT_ACCESS),
        place=CHAIN,
        staff=True,
        everywhere=opens,
        told_at={
            "people:support-access": Open(
                "they may look into any chain, and say why",
                frozenset({"chain"}),
                frozenset({"tenants.chain"}),
                frozenset({"tenants.supportaccess", "tenants.grant", "core.auditentry"}),
            )
        },
    )


def device(world: World) -> Asker:
    own: Device = world.ours.row(Device)
    token = program(make_device_token(device=own))
    return Asker(
        "device", world.ours, (world.sister, world.theirs), browser(None), token, device=own, known=False, browses=False
    )


def personal_token(world: World) -> Asker:
    """A program of a chain manager that may look at carts alone."""
    user = make_user(email="with-token@example.com", name="With Token")
    make_grant(user=user, role=RoleCode.CHAIN_MANAGER, chain=world.ours.chain)
    soon = timezone.now() + timedelta(days=1)
    _, text = create_personal_token(user=user, name="Till", scopes=["carts:view", "branches:view"], expires_at=soon)
    scopes = frozenset({"carts:view", "branches:view"})
    others = (world.theirs, world.abroad)
    return Asker(
        "personal token",
        world.ours,
        others,
        browser(None),
        program(text),
        permissions=scopes,
        place=CHAIN,
        user=user,
        browses=False,
        scoped=True,
    )


def manager_without_second_factor(world: World) -> Asker:
    user = make_user(email="one-factor@example.com", name="One Factor")
    make_grant(user=user, role=RoleCode.CHAIN_MANAGER, chain=world.ours.chain)
    token = issue_access_token(user, second_factor=False)
    return Asker(
        "manager without second factor",
        world.ours,
        (world.theirs, world.ours),
        browser(user, second_factor=False),
        program(token),
        user=user,
        one_factor=True,
    )


def manager_seen_as_role(world: World) -> Asker:
    """The platform's manager looks at everything as a branch manager of ours would."""
    user = make_user(email="looks-as@example.com", name="Looks As")
    make_grant(user=user, role=RoleCode.MANAGER)
    role = Role.objects.get(code=RoleCode.BRANCH_MANAGER)
    client = browser(user, **{requester.SEEN_AS: requester.seen_as_entry(role, world.ours.branch)})
    return Asker(
        "manager seen as a role",
        world.ours,
        (world.sister, world.theirs),
        client,
        client,
        permissions=_shipped(RoleCode.BRANCH_MANAGER),
        place=BRANCH,
        user=user,
        read_only=True,
    )


def staff_acting_as_somebody(world: World) -> Asker:
    """The platform's manager acts as the manager of our branch."""
    user = make_user(email="acts-as@example.com", name="Acts As")
    make_grant(user=user, role=RoleCode.MANAGER)
    client = browser(user, **{requester.ACTING_AS: requester.acting_entry(world.ours.manager)})
    return Asker(
        "staff acting as somebody",
        world.ours,
        (world.sister, world.theirs),
        client,
        client,
        permissions=_shipped(RoleCode.BRANCH_MANAGER),
        place=BRANCH,
        user=world.ours.manager,
        acting=True,
    )


def inactive(world: World) -> Asker:
    user = make_user(email="gone@example.com", name="Gone")
    make_grant(user=user, role=RoleCode.MANAGER)
    asker = person("inactive account", user, world.ours, (world.theirs, world.ours), known=False)
    User.objects.filter(pk=user.pk).update(is_active=False)
    return asker


ASKERS: dict[str, Callable[[World], Asker]] = {
    make.__name__: make
    for make in (
        anonymous,
        customer,
        customer_elsewhere,
        branch_manager,
        chain_manager,
        other_chain_manager,
        platform_manager,
        technical,
        support,
        staff_of_one_chain,
        support_access,
        device,
        personal_token,
        manager_without_second_factor,
        manager_seen_as_role,
        staff_acting_as_somebody,
        inactive,
    )
}


def asker(world: World, name: str) -> Asker:
    """The one of that name in this world."""
    if name not in world.askers:
        world.askers[name] = ASKERS[name](world)
        world.askers[name].name = name.replace("_", " ")
    return world.askers[name]
