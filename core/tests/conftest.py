from collections.abc import Callable

import pytest
from pytest_django import Settings

from tenants.tests.factories import People, make_people

PLENTY = 1_000_000
KINDS = ("sign-in", "write", "read", "device", "socket")


@pytest.fixture
def people() -> People:
    return make_people()


@pytest.fixture
def limit(settings: Settings) -> Callable[..., None]:
    """`limit(customer={"read": 2})`: those limits, and plenty of all else."""

    def set_limits(**given: dict[str, int]) -> None:
        tiers = ("anonymous", "customer", "manager", "staff", "program", "device", "address")
        settings.RATE_LIMITS = {tier: {**dict.fromkeys(KINDS, PLENTY), **given.get(tier, {})} for tier in tiers}

    set_limits()
    return set_limits
