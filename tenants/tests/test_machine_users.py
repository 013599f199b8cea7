"""Programs as people of a kind: made with a client id, granted like anyone, known by nothing else."""

import pytest
from django.test import Client

from core.errors import InvalidInput
from core.models import AuditEntry
from tenants import access
from tenants.models import User
from tenants.services import create_machine_user, grant_role
from tenants.tests.access_team import Team, client_with
from tenants.tests.api import problem
from tenants.tests.factories import People, make_branch, make_user
from tenants.tests.signing_in import sign_in

pytestmark = pytest.mark.django_db
CLIENT_ID = "0123456789abcdef.access"
EMPTY = {"name": "Till", "email": "", "phone": "", "language": "en", "grants-TOTAL_FORMS": 0, "grants-INITIAL_FORMS": 0}


def test_program_has_no_other_way_in(people: People) -> None:
    program = create_machine_user(name="Till", client_id=CLIENT_ID, actor=people.erin)

    assert (program.email, program.phone, program.has_usable_password()) == (None, None, False)
    assert not access.is_trusted(program)
    assert AuditEntry.objects.filter(action="created", entity_id=str(program.pk), actor_id=people.erin.pk).exists()


def test_client_id_is_one_programs(people: People) -> None:
    create_machine_user(name="Till", client_id=CLIENT_ID, actor=people.erin)

    with pytest.raises(InvalidInput) as refused:
        create_machine_user(name="Other", client_id=CLIENT_ID, actor=people.erin)
    assert (set(refused.value.errors), User.objects.filter(client_id=CLIENT_ID).count()) == ({"client_id"}, 1)


def test_program_holds_what_it_is_granted_and_no_more(people: People) -> None:
    program = create_machine_user(name="Till", client_id=CLIENT_ID, actor=people.erin)
    grant_role(user=program, role="branch_manager", branch=people.branch, actor=people.erin)
    program = User.objects.get(pk=program.pk)

    assert access.may(program, "carts:view", people.branch)
    assert not access.may(program, "carts:view", make_branch(chain=people.chain))


def test_staff_add_a_program_in_the_admin(people: People, client: Client) -> None:
    sign_in(client, people.erin)

    added = client.post("/admin/tenants/user/add/", {**EMPTY, "client_id": f" {CLIENT_ID} "})

    assert added.status_code == 302, added.content.decode()
    assert User.objects.filter(name="Till", client_id=CLIENT_ID, email=None).exists()


def test_program_with_an_address_is_refused_in_the_admin(people: People, client: Client) -> None:
    sign_in(client, people.erin)

    answer = client.post("/admin/tenants/user/add/", {**EMPTY, "client_id": CLIENT_ID, "email": "till@example.com"})

    assert "A program has no address" in answer.content.decode()
    assert not User.objects.filter(client_id=CLIENT_ID).exists()


def test_program_with_an_address_is_not_found_by_it(team: Team, people: People) -> None:
    """However it came to have one: a person's token is worth a first factor, a program's both."""
    make_user(email="till@example.com", client_id=CLIENT_ID)

    problem(client_with(team.mint(email="till@example.com")).get("/api/auth/me"), 403)
