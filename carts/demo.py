"""Demo data, built through the services. The same seed gives the same chains, branches, devices and carts."""

import random
from dataclasses import dataclass
from decimal import Decimal

from django.db import transaction

from carts.services import place_cart
from devices.services import place_controller, prepare_device
from tenants.models import Branch, Chain
from tenants.services import ensure_user, grant_role, shops

ADMIN_EMAIL = "admin@cartwise.example"
FIRST_BRANCH = "BRANCH-001"
DEMO_DEVICE = "demo-pi"
LOCKS_PER_BOARD = 16


@dataclass(frozen=True, slots=True)
class Size:
    """How much of everything."""

    chains: int
    branches: int
    boards: int
    carts: int


SIZES = {
    "small": Size(chains=2, branches=2, boards=1, carts=12),
    "large": Size(chains=10, branches=20, boards=4, carts=41),
}
_CHAINS = ["Fresh Market", "Corner Basket", "Green Aisle", "Bazaar Plus", "Marché du Jour", "Daily Grove"]
_CITIES = [
    ("Haifa Center", "Haifa", "Asia/Jerusalem", 32.7940, 34.9896),
    ("Tel Aviv Port", "Tel Aviv", "Asia/Jerusalem", 32.0973, 34.7745),
    ("Tajrish", "Tehran", "Asia/Tehran", 35.8044, 51.4344),
    ("Crolles Gare", "Crolles", "Europe/Paris", 45.2857, 5.8838),
    ("Jerusalem Gate", "Jerusalem", "Asia/Jerusalem", 31.7683, 35.2137),
]


def seed_demo(*, seed: int, size: str) -> None:
    """Build what is missing of the demo; what is there stays as it is."""
    chance = random.Random(seed)
    wanted = SIZES[size]
    admin = ensure_user(email=ADMIN_EMAIL, name="Demo Admin")
    grant_role(user=admin, role="manager")
    number = 0
    for chain_index in range(wanted.chains):
        chain = _chain(chain_index)
        for _ in range(wanted.branches):
            number += 1
            with transaction.atomic():
                branch = _branch(chain, number, chance)
                _equip(branch, wanted, DEMO_DEVICE if number == 1 else f"pi-{number}")
        email = f"manager@{chain.slug}.example"
        grant_role(user=ensure_user(email=email, name=f"{chain.name} manager"), role="chain_manager", chain=chain)
    first = Branch.objects.get(code=FIRST_BRANCH)
    grant_role(user=ensure_user(email="branch@cartwise.example", name="Noa"), role="branch_manager", branch=first)


def _chain(index: int) -> Chain:
    name = _CHAINS[index % len(_CHAINS)] + (f" {index // len(_CHAINS) + 1}" if index >= len(_CHAINS) else "")
    slug = name.lower().replace("é", "e").replace(" ", "-")
    return Chain.objects.filter(slug=slug).first() or shops.create_chain(name=name, slug=slug)


def _branch(chain: Chain, number: int, chance: random.Random) -> Branch:
    name, city, zone, latitude, longitude = _CITIES[(number - 1) % len(_CITIES)]
    code = f"BRANCH-{number:03d}"
    spread = round(chance.uniform(-0.01, 0.01), 6)
    existing = Branch.objects.filter(code=code).first()
    return existing or shops.create_branch(
        chain=chain,
        code=code,
        name=name if number <= len(_CITIES) else f"{name} {number}",
        city=city,
        address=f"{chance.randint(1, 120)} Market Street, {city}",
        time_zone=zone,
        latitude=Decimal(f"{latitude + spread:.6f}"),
        longitude=Decimal(f"{longitude + spread:.6f}"),
    )


def _equip(branch: Branch, wanted: Size, device_name: str) -> None:
    device = prepare_device(branch=branch, name=device_name)
    boards = [place_controller(device=device, address=address) for address in range(wanted.boards)]
    for index in range(wanted.carts):
        board = boards[index // LOCKS_PER_BOARD % len(boards)]
        place_cart(branch=branch, cart_number=index + 1, controller=board, locker_id=index % LOCKS_PER_BOARD)
