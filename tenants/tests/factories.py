"""Builders of shops, people and grants. Every argument goes by name; what is left out is made up, unique and valid."""

from dataclasses import dataclass
from datetime import datetime
from itertools import count
from typing import Any

from tenants.enums import RoleCode
from tenants.models import Branch, Chain, Grant, Role, User

_numbers = count(1)


def make_chain(*, slug: str = "", **fields: Any) -> Chain:
    number = next(_numbers)
    return Chain.objects.create(slug=slug or f"chain-{number}", **{"name": f"Chain {number}", **fields})


def make_branch(*, chain: Chain | None = None, code: str = "", **fields: Any) -> Branch:
    """A branch, of a chain of its own unless one is named."""
    number = next(_numbers)
    chain = chain or make_chain()
    return Branch.objects.create(chain=chain, code=code or f"BRANCH-{number}", **{"name": f"Branch {number}", **fields})


def make_user(
    *, email: str | None = None, phone: str | None = None, password: str | None = None, **fields: Any
) -> User:
    """A person without any grant; known by a made-up address when neither address nor phone is given."""
    if not email and not phone:
        email = f"person-{next(_numbers)}@example.com"
    return User.objects.create_user(email=email, phone=phone, password=password, **fields)


def make_phone() -> str:
    """An Israeli mobile number nobody else has, E.164."""
    return f"+97252{2_000_000 + next(_numbers)}"


def make_grant(
    *,
    user: User,
    role: str,
    chain: Chain | None = None,
    branch: Branch | None = None,
    expires_at: datetime | None = None,
) -> Grant:
    """A shipped role on the platform (neither chain nor branch), a chain or a branch."""
    row = Role.objects.get(code=role)
    return Grant.objects.create(user=user, role=row, chain=chain, branch=branch, expires_at=expires_at)


@dataclass(frozen=True, slots=True, kw_only=True)
class People:
    """Who appears in every test of access, and the shops they have to do with.

    `strange_chain` and `strange_branch` are charlie's; what stands there must not leak to alice, bob or dora.
    """

    chain: Chain
    branch: Branch
    strange_chain: Chain
    strange_branch: Branch
    alice: User
    bob: User
    charlie: User
    dora: User
    erin: User


def make_people() -> People:
    """Alice manages `branch`, bob its chain, charlie another, erin the platform; dora is a customer with a phone."""
    chain, strange_chain = make_chain(name="Ours"), make_chain(name="Theirs")
    people = People(
        chain=chain,
        branch=make_branch(chain=chain, name="Our branch"),
        strange_chain=strange_chain,
        strange_branch=make_branch(chain=strange_chain, name="Their branch"),
        alice=make_user(email=_address("alice"), name="Alice"),
        bob=make_user(email=_address("bob"), name="Bob"),
        charlie=make_user(email=_address("charlie"), name="Charlie"),
        dora=make_user(phone=make_phone(), name="Dora"),
        erin=make_user(email=_address("erin"), name="Erin"),
    )
    make_grant(user=people.alice, role=RoleCode.BRANCH_MANAGER, branch=people.branch)
    make_grant(user=people.bob, role=RoleCode.CHAIN_MANAGER, chain=people.chain)
    make_grant(user=people.charlie, role=RoleCode.CHAIN_MANAGER, chain=people.strange_chain)
    make_grant(user=people.erin, role=RoleCode.MANAGER)
    return people


def _address(name: str) -> str:
    return f"{name}-{next(_numbers)}@example.com"


def again(user: User) -> User:
    """The person as the next request sees them."""
    return User.objects.get(pk=user.pk)
