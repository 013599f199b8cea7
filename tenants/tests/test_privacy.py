"""Who is erased, told and forgotten, by whom; and who sees a number in full."""

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from pytest_django import Settings

from carts.models import Rental
from carts.tests.factories import make_cart, make_rental
from core.admin import base
from core.errors import NotAllowed
from core.models import AuditEntry
from core.tests.race import lock_no_rows, meet_before, race_each
from tenants.models import BrowserSession, Chain, Erasure, Grant, Invitation, PersonalToken, Role, SupportAccess, User
from tenants.requester import METHODS
from tenants.services import (
    ensure_customer,
    erase_person,
    export_person,
    grant_role,
    issue_tokens,
    privacy,
    reactivate_person,
    retention,
    update_person,
)
from tenants.services.retention import sweep_retention
from tenants.tests.factories import (
    People,
    again,
    make_branch,
    make_chain,
    make_grant,
    make_people,
    make_phone,
    make_user,
)
from tenants.tests.signing_in import sign_in

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def journal(tmp_path: Path, settings: Settings) -> Path:
    settings.ERASURE_JOURNAL = str(tmp_path / "erasures.jsonl")
    return tmp_path / "erasures.jsonl"


@pytest.fixture
def helper() -> User:
    """Support staff: holds far less than a manager."""
    user = make_user()
    make_grant(user=user, role="support")
    return user


def ago(days: int) -> Any:
    return timezone.now() - timedelta(days=days)


# Erasing


def test_whoever_holds_more_is_neither_told_nor_erased(people: People, helper: User) -> None:
    for attempt in (erase_person, lambda user, actor: export_person(person=user, actor=actor)):
        with pytest.raises(NotAllowed):
            attempt(user=people.erin, actor=helper)

    assert again(people.erin).email == people.erin.email
    assert not AuditEntry.objects.filter(action__in=("erased", "exported")).exists()


def test_last_manager_stays_even_when_they_ask(people: People) -> None:
    other = make_user()
    grant = make_grant(user=other, role="manager", expires_at=timezone.now() - timedelta(hours=1))
    for actor in (people.erin, "erase_person"):
        with pytest.raises(NotAllowed):
            erase_person(user=people.erin, actor=actor)

    Grant.objects.filter(pk=grant.pk).update(expires_at=None)
    erase_person(user=people.erin, actor=people.erin)

    assert again(people.erin).email is None


@pytest.mark.django_db(transaction=True)
def test_two_managers_who_go_at_once_leave_one() -> None:
    assert _two_managers_who_go() == ["NoneType", "NotAllowed"]
    assert Grant.objects.filter(role__code="manager").count() == 1


@pytest.mark.django_db(transaction=True)
def test_two_managers_who_go_at_once_leave_one_control(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the lock on the role each finds the other one."""
    lock_no_rows(monkeypatch)
    meet_before(monkeypatch, privacy, "_forget", parties=2)

    assert _two_managers_who_go() == ["NoneType", "NoneType"]
    assert not Grant.objects.filter(role__code="manager").exists()


def _two_managers_who_go() -> list[str]:
    managers = [make_people().erin, make_user()]
    make_grant(user=managers[1], role="manager")
    answers = race_each([lambda user=user: erase_person(user=user, actor=user) for user in managers])
    return sorted(type(answer).__name__ for answer in answers)


def test_erased_person_does_not_come_back(people: People) -> None:
    erase_person(user=people.dora, actor=people.erin)

    reactivate_person(user=again(people.dora), actor=people.erin)
    with pytest.raises(NotAllowed):
        update_person(
            user=again(people.dora), email="d@example.com", phone=None, name="", language="en", actor=people.erin
        )

    now = again(people.dora)
    assert (now.is_active, now.email) == (False, None)


def test_same_phone_is_somebody_new_after_an_erasure(people: People) -> None:
    phone = people.dora.phone
    erase_person(user=people.dora, actor=people.erin)

    assert ensure_customer(phone=phone).pk != people.dora.pk


def test_staff_who_look_into_a_chain_are_out_once_erased(people: People, helper: User) -> None:
    opened = SupportAccess.objects.create(
        staff=helper, chain=people.chain, reason="a call", ends_at=timezone.now() + timedelta(hours=1)
    )

    erase_person(user=helper, actor=people.erin)

    opened.refresh_from_db()
    assert not opened.in_force


# One's own page


def test_more_downloads_than_an_hour_allows_are_told_to_wait(people: People, client: Client) -> None:
    sign_in(client, people.dora, second_factor=False)

    answers = [client.post(reverse("tenants:my-data-download")).status_code for _ in range(31)]

    assert answers == [200] * 30 + [429]


def sign_in_phone(client: Client, user: User) -> None:
    sign_in(client, user, second_factor=False, method="phone")


def test_customer_takes_their_data_along(client: Client, people: People) -> None:
    sign_in_phone(client, people.dora)

    page = client.get(reverse("tenants:my-data"))
    answer = client.post(reverse("tenants:my-data-download"))

    assert "Download my data" in page.content.decode()
    assert answer["Content-Disposition"].startswith('attachment; filename="data-')
    assert "no-store" in answer["Cache-Control"]
    assert json.loads(b"".join(answer.streaming_content))["data"]["tenants.user"][0]["phone"] == people.dora.phone
    assert AuditEntry.objects.get(action="exported").actor_id == people.dora.pk


def test_customer_has_themselves_forgotten(client: Client, people: People) -> None:
    sign_in_phone(client, people.dora)

    refused = client.post(reverse("tenants:my-data-delete"), follow=True)
    assert "Tick the box if you are sure." in refused.content.decode()
    assert again(people.dora).phone == people.dora.phone

    answer = client.post(reverse("tenants:my-data-delete"), {"sure": "yes"}, follow=True)

    assert "Your account is gone" in answer.content.decode()
    assert again(people.dora).phone is None
    assert not client.get(reverse("tenants:my-data")).context
    assert not BrowserSession.objects.filter(user=people.dora).exists()


def make_stale(client: Client) -> None:
    """As if the sign-in had been hours ago."""
    session = client.session
    session[METHODS] = [{**each, "at": each["at"] - 86_400} for each in session[METHODS]]
    session.save()


@pytest.mark.parametrize("name", ["tenants:my-data-download", "tenants:my-data-delete"])
def test_old_session_has_to_prove_itself_first(client: Client, people: People, name: str) -> None:
    sign_in_phone(client, people.dora)
    make_stale(client)

    answer = client.post(reverse(name), {"sure": "yes"})

    assert (answer.status_code, answer["Location"]) == (302, reverse("tenants:my-data"))
    assert "Sign out, sign in again" in client.get(reverse("tenants:my-data")).content.decode()
    assert again(people.dora).phone == people.dora.phone
    assert not AuditEntry.objects.filter(action="exported").exists()


def test_ticked_box_of_an_old_session_is_not_asked_for_again(client: Client, people: People) -> None:
    sign_in_phone(client, people.dora)
    make_stale(client)

    page = client.post(reverse("tenants:my-data-delete"), {"sure": "yes"}, follow=True).content.decode()

    assert "Nothing was deleted yet." in page
    assert "First confirm that it is you." in page
    assert "Tick the box" not in page


@pytest.mark.parametrize("name", ["tenants:my-data-download", "tenants:my-data-delete"])
def test_phone_code_alone_gets_nothing_of_a_manager(client: Client, people: People, name: str) -> None:
    """A number can be taken over at a counter of its operator; what staff did and where must not follow."""
    User.objects.filter(pk=people.alice.pk).update(phone=make_phone())
    sign_in_phone(client, again(people.alice))

    answer = client.post(reverse(name), {"sure": "yes"})

    assert answer.status_code == 302
    assert again(people.alice).email == people.alice.email
    assert not AuditEntry.objects.filter(action="exported").exists()


def test_person_with_a_password_gives_it_first(client: Client, people: People) -> None:
    customer = make_user(password="a long password")
    sign_in(client, customer, second_factor=False)
    make_stale(client)

    answer = client.post(reverse("tenants:my-data-download"))

    assert answer["Location"] == reverse("tenants:my-data")
    page = client.get(reverse("tenants:my-data")).content.decode()
    assert f"{reverse('account_reauthenticate')}?next=%2Fauth%2Fmy-data" in page


def test_reading_the_page_changes_nothing(client: Client, people: People) -> None:
    sign_in_phone(client, people.dora)

    for name in ("tenants:my-data-download", "tenants:my-data-delete"):
        assert client.get(reverse(name)).status_code == 405


# The admin


def press(client: Client, user: User, button: str, **data: str) -> Any:
    return client.post(reverse("admin:tenants_user_press", args=[user.pk, button]), data)


def test_manager_downloads_and_erases_in_the_admin(client: Client, people: People) -> None:
    sign_in(client, people.erin)

    answer = press(client, people.dora, "export")
    asked = client.get(reverse("admin:tenants_user_press", args=[people.dora.pk, "erase"]))
    press(client, people.dora, "erase")

    assert json.loads(b"".join(answer.streaming_content))["person"] == str(people.dora.pk)
    assert "Nobody can undo this" in asked.content.decode()
    assert again(people.dora).erased_at
    page = client.get(reverse("admin:tenants_user_change", args=[people.dora.pk])).content.decode()
    assert "/do/export/" not in page
    assert "/do/reactivate/" not in page


@pytest.mark.parametrize("button", ["export", "erase"])
def test_support_does_neither(client: Client, people: People, helper: User, button: str) -> None:
    sign_in(client, helper)

    assert press(client, people.dora, button).status_code == 403
    assert again(people.dora).phone == people.dora.phone


# Numbers in full


@pytest.fixture
def clerk() -> User:
    """Platform staff who may look at everybody, change them, and see grants and rentals, but not their numbers."""
    Role.objects.create(
        code="clerk", name="Clerk", permissions=["users:view", "users:change", "grants:*", "rentals:view"]
    )
    user = make_user()
    make_grant(user=user, role="clerk")
    return user


def user_pages(people: People) -> list[str]:
    phone = people.dora.phone or ""
    return [
        reverse("admin:tenants_user_changelist"),
        reverse("admin:tenants_user_change", args=[people.dora.pk]),
        reverse("admin:tenants_user_press", args=[people.dora.pk, "deactivate"]),
        f"{reverse('admin:search')}?s={people.dora.name}",
        f"{reverse('admin:tenants_user_changelist')}?q={people.dora.name}",
        f"{reverse('admin:autocomplete')}?app_label=tenants&model_name=grant&field_name=user&term={phone[-4:]}",
    ]


def test_number_is_shown_in_full_to_those_who_need_it(client: Client, people: People, helper: User) -> None:
    sign_in(client, helper)

    pages = [client.get(page).content.decode() for page in user_pages(people)[:2]]

    assert all(str(people.dora.phone) in page for page in pages)
    found = client.get(reverse("admin:tenants_user_changelist"), {"q": people.dora.phone}).content.decode()
    assert str(people.dora.pk) in found


def test_number_is_masked_for_everybody_else(client: Client, people: People, clerk: User) -> None:
    sign_in(client, clerk)

    for page in user_pages(people):
        answer = client.get(page)
        assert answer.status_code == 200, page
        assert str(people.dora.phone) not in answer.content.decode(), page
    listed = client.get(reverse("admin:tenants_user_changelist")).content.decode()
    assert people.dora.masked_phone in listed


@pytest.mark.parametrize(
    "query", [{"q": "{end}"}, {"phone__endswith": "{end}"}, {"phone": "{phone}"}, {"phone__isnull": "0"}]
)
def test_number_can_not_be_guessed_digit_by_digit(
    client: Client, people: People, clerk: User, query: dict[str, str]
) -> None:
    phone = str(people.dora.phone)
    asked = {name: value.format(phone=phone, end=phone[-5:]) for name, value in query.items()}
    sign_in(client, clerk)

    answer = client.get(reverse("admin:tenants_user_changelist"), asked)

    assert str(people.dora.pk) not in answer.content.decode()


def test_number_could_be_guessed_control(
    client: Client, people: People, clerk: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(base, "_leads_to_hidden", lambda model, lookup: False)
    sign_in(client, clerk)

    answer = client.get(reverse("admin:tenants_user_changelist"), {"phone__endswith": str(people.dora.phone)[-5:]})

    assert str(people.dora.pk) in answer.content.decode()


def test_whoever_reads_no_number_changes_none(client: Client, people: People, clerk: User) -> None:
    sign_in(client, clerk)
    page = reverse("admin:tenants_user_change", args=[people.dora.pk])
    form = {"name": "Dora Levi", "email": "", "phone": "+972522999999", "language": "he"}
    grants = {"grants-TOTAL_FORMS": "0", "grants-INITIAL_FORMS": "0"}

    client.post(page, {**form, **grants})

    now = again(people.dora)
    assert (now.name, now.language, now.phone) == ("Dora Levi", "he", people.dora.phone)


ADDRESS = "dora.levi@example.com"


@pytest.fixture
def addressed(people: People) -> People:
    """Dora has an address too, and rents."""
    User.objects.filter(pk=people.dora.pk).update(email=ADDRESS)
    make_rental(cart=make_cart(branch=people.branch), customer=people.dora)
    return people


def test_address_of_a_customer_is_masked_for_whoever_may_not_contact_them(
    client: Client, addressed: People, clerk: User
) -> None:
    sign_in(client, clerk)
    pages = [
        *user_pages(addressed),
        reverse("admin:carts_rental_changelist"),
        reverse("admin:carts_rental_change", args=[Rental.objects.get().pk]),
        f"{reverse('admin:search')}?s=BRANCH",
    ]

    shown = {page: client.get(page).content.decode() for page in pages}

    assert [page for page, text in shown.items() if ADDRESS in text] == []
    assert "d•••@example.com" in shown[pages[0]]


def test_rentals_name_nobody_to_whoever_may_not_look_at_people(client: Client, addressed: People) -> None:
    technician = make_user()
    make_grant(user=technician, role="technical")
    sign_in(client, technician)

    for page in ("changelist", "change"):
        rows = [Rental.objects.get().pk] if page == "change" else []
        shown = client.get(reverse(f"admin:carts_rental_{page}", args=rows)).content.decode()
        assert addressed.dora.masked_phone in shown, page
        assert [text for text in ("Dora", ADDRESS) if text in shown] == [], page


def test_address_of_a_colleague_is_shown_to_whoever_sees_who_holds_what(
    client: Client, people: People, clerk: User
) -> None:
    sign_in(client, clerk)

    for page in (
        reverse("admin:tenants_user_changelist"),
        reverse("admin:tenants_user_change", args=[people.alice.pk]),
    ):
        assert people.alice.email in client.get(page).content.decode(), page


@pytest.mark.parametrize("query", ["?q=dora.levi", f"?email={ADDRESS}", "?email__startswith=dora"])
def test_address_is_not_guessed_letter_by_letter(client: Client, addressed: People, clerk: User, query: str) -> None:
    sign_in(client, clerk)

    for model, row in (("tenants_user", addressed.dora.pk), ("carts_rental", Rental.objects.get().pk)):
        asked = query.replace("email", "customer__email") if model == "carts_rental" else query
        answer = client.get(reverse(f"admin:{model}_changelist") + asked)
        assert str(row) not in answer.content.decode(), model


def test_whoever_reads_no_address_changes_none(client: Client, addressed: People, clerk: User) -> None:
    sign_in(client, clerk)
    page = reverse("admin:tenants_user_change", args=[addressed.dora.pk])
    grants = {"grants-TOTAL_FORMS": "0", "grants-INITIAL_FORMS": "0"}

    client.post(page, {"name": "Dora Levi", "email": "new@example.com", "language": "he", **grants})

    assert (again(addressed.dora).name, again(addressed.dora).email) == ("Dora Levi", ADDRESS)


# Kept long enough


def invite(email: str, *, branch: Any = None, chain: Chain | None = None, **times: Any) -> Invitation:
    role = Role.objects.get(code="branch_manager")
    made = {"token_hash": email.ljust(64, "x")[:64], "expires_at": timezone.now() + timedelta(days=3), **times}
    return Invitation.objects.create(email=email, role=role, branch=branch, chain=chain, **made)


def test_invitations_that_are_over_go_when_their_chain_says() -> None:
    quick, patient = make_chain(retention_days=30), make_chain(retention_days=365)
    shop = make_branch(chain=quick)
    invite("accepted@x.example", branch=shop, accepted_at=ago(31))
    invite("withdrawn@x.example", chain=quick, withdrawn_at=ago(31))
    invite("run-out@x.example", branch=shop, expires_at=ago(31))
    kept = [
        invite("new@x.example", branch=shop, accepted_at=ago(29)),
        invite("open@x.example", branch=shop),
        invite("theirs@x.example", chain=patient, accepted_at=ago(31)),
        invite("platform@x.example", accepted_at=ago(31)),
    ]
    invite("platform-old@x.example", accepted_at=ago(366))

    assert (sweep_retention(), sweep_retention()) == (4, 0)

    assert set(Invitation.objects.all()) == set(kept)


def seen(user: User, days_ago: int) -> User:
    User.objects.filter(pk=user.pk).update(created_at=ago(1000), last_login=ago(days_ago))
    return user


def test_people_nobody_knows_any_more_are_erased_as_late_as_any_chain_says(people: People) -> None:
    Chain.objects.update(retention_days=30)
    Chain.objects.filter(pk=people.strange_chain.pk).update(retention_days=365)
    gone = seen(make_user(phone=make_phone()), 366)
    never_back = make_user(phone=make_phone())
    User.objects.filter(pk=never_back.pk).update(created_at=ago(366))
    kept = [
        seen(make_user(phone=make_phone()), 364),
        seen(people.alice, 999),
        make_user(),
        seen(make_user(client_id="a-program", email="program@example.com"), 999),
    ]
    token = seen(make_user(), 999)
    issue_tokens(token, second_factor=False)
    program = seen(make_user(), 999)
    PersonalToken.objects.create(
        user=program, name="x", token_hash="y", hint="z", scopes=[], expires_at=timezone.now() + timedelta(days=1)
    )
    browser = seen(make_user(), 999)
    sign_in(Client(), browser)
    User.objects.filter(pk=browser.pk).update(last_login=ago(999))

    sweep_retention()

    assert set(Erasure.objects.values_list("user_id", flat=True)) == {gone.pk, never_back.pk}
    assert all(again(user).erased_at is None for user in [*kept, token, program, browser])


def test_grant_of_a_customer_keeps_them_known(people: People) -> None:
    customer = seen(make_user(phone=make_phone()), 2000)
    grant_role(user=customer, role="customer", branch=people.branch)

    sweep_retention()

    assert again(customer).phone == customer.phone


def test_many_people_are_forgotten_a_bounded_number_a_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "BATCH", 2)
    for _ in range(3):
        seen(make_user(), 1000)

    assert [sweep_retention() for _ in range(3)] == [2, 1, 0]
