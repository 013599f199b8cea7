import pytest

from tenants.tests.access_team import team, team_process
from tenants.tests.factories import People, make_people

__all__ = ["people", "team", "team_process"]


@pytest.fixture
def people(db: None) -> People:
    return make_people()
