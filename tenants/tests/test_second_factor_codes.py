"""Codes count once, guesses are limited, and without the counters nobody gets in; resets and rotated keys."""

import base64
import json
import os
import time
from io import StringIO
from typing import Any

import pytest
from allauth.mfa.models import Authenticator
from django.core.management import CommandError, call_command
from django.test import Client

from core.errors import InvalidInput, NotAllowed, TooMany, Unavailable
from core.models import AuditEntry
from core.secrets import Rewritten, rewriters
from core.tests.fixtures import count_in_two_steps, lose_counters
from core.tests.race import lock_no_rows, meet_before, race, race_each
from tenants.models import BrowserSession, RefreshToken, User
from tenants.services import issue_tokens
from tenants.services import second_factor as service
from tenants.services.personal_tokens import create_personal_token, user_of_personal_token
from tenants.services.second_factor import (
    GUESSES_OF_A_PERSON,
    add_app,
    owns_second_factor,
    remove_factor,
    require_removable,
    reset_second_factor,
    use_code,
)
from tenants.services.sessions import user_of_token
from tenants.tests.authenticators import SECRET, code_of, give_app, step_now
from tenants.tests.factories import People, make_people, make_user
from tenants.tests.signing_in import sign_in

ADDRESS = "192.0.2.1"


@pytest.fixture
def _one_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    """The clock of the apps and of those who check their codes stands still: no half-minute begins in between."""
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now)


in_one_moment = pytest.mark.usefixtures("_one_moment")


def accepts(user: User, code: str, address: str = ADDRESS) -> bool:
    try:
        use_code(user=user, code=code, address=address)
    except InvalidInput:
        return False
    return True


def recovery_codes_of(user: User) -> list[str]:
    codes: list[str] = Authenticator.objects.get(user=user, type="recovery_codes").wrap().get_unused_codes()
    return codes


@pytest.mark.django_db
@in_one_moment
def test_codes_of_the_last_this_and_the_next_half_minute_count() -> None:
    answers = []
    for steps in (-2, -1, 0, 1, 2):
        user = make_user()
        answers.append(accepts(user, code_of(give_app(user), steps=steps)))

    assert answers == [False, True, True, True, False]


@pytest.mark.django_db
def test_code_counts_in_any_script_and_spacing() -> None:
    user = make_user()
    code = code_of(give_app(user))
    persian = "".join(chr(0x06F0 + int(digit)) for digit in code)

    assert accepts(user, f" {persian[:3]} {persian[3:]} ")


@pytest.mark.django_db
@in_one_moment
def test_code_counts_once_however_long_it_is_valid(monkeypatch: pytest.MonkeyPatch) -> None:
    """A code is valid for a minute and a half."""
    user = make_user()
    code = code_of(give_app(user), steps=1)
    now = step_now()

    answers = [accepts(user, code)]
    for later in (0, 1, 2):
        monkeypatch.setattr(service, "yield_hotp_counters_from_time", lambda at=now + later: range(at - 1, at + 2))
        answers.append(accepts(user, code))

    assert answers == [True, False, False, False]


@pytest.mark.django_db
@in_one_moment
def test_code_before_the_last_one_used_counts_no_more() -> None:
    user = make_user()
    secret = give_app(user)

    assert [accepts(user, code_of(secret, steps=steps)) for steps in (1, 0, -1)] == [True, False, False]


@pytest.mark.django_db
@in_one_moment
def test_code_that_set_the_app_up_is_used_up() -> None:
    user = make_user()
    add_app(user=user, secret=SECRET, step=step_now(), first=True)

    assert not accepts(user, code_of(SECRET))


@pytest.mark.django_db(transaction=True)
def test_code_used_in_parallel_counts_once() -> None:
    user = make_user()
    code = code_of(give_app(user))

    assert sorted(race(lambda: accepts(user, code), times=6)) == [False] * 5 + [True]


@pytest.mark.django_db(transaction=True)
def test_code_used_in_parallel_counts_once_control(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the last step remembered each of them counts."""
    user = make_user()
    code = code_of(give_app(user))
    monkeypatch.setattr(service, "_LAST_STEP", "nowhere")
    monkeypatch.setattr(Authenticator, "save", lambda row, **fields: None)

    assert race(lambda: accepts(user, code), times=6) == [True] * 6


@pytest.mark.django_db
def test_code_of_somebody_else_does_not_count() -> None:
    user, other = make_user(), make_user()
    give_app(user)
    foreign = code_of(give_app(other, secret="MFRGGZDFMZTWQ2LKMFRGGZDFMZTWQ2LK"))

    assert [accepts(user, foreign), accepts(user, recovery_codes_of(other)[0])] == [False, False]


@pytest.mark.django_db
@pytest.mark.parametrize("code", ["", " ", "x", "0", "\x00", "א" * 6, "١" * 200, "000000", "12345678"])
def test_code_that_is_none_does_not_count(code: str) -> None:
    user = make_user()
    give_app(user)

    assert not accepts(user, code)


@pytest.mark.django_db(transaction=True)
def test_recovery_code_used_in_parallel_counts_once() -> None:
    user = make_user()
    give_app(user)
    code = recovery_codes_of(user)[3]

    answers = race(lambda: accepts(user, code), times=6)

    assert sorted(answers) == [False] * 5 + [True]
    assert len(recovery_codes_of(user)) == 9


@pytest.mark.django_db(transaction=True)
def test_recovery_code_used_in_parallel_counts_once_control(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the row's lock several read that it is unused."""
    user = make_user()
    give_app(user)
    code = recovery_codes_of(user)[3]

    with monkeypatch.context() as bug:
        lock_no_rows(bug)
        answers = race(lambda: accepts(user, code), times=6)

    assert answers.count(True) > 1


@pytest.mark.django_db
def test_guesses_at_a_person_are_limited_even_with_the_right_code() -> None:
    user, other = make_user(), make_user()
    secret = give_app(user)
    give_app(other)
    guesses = [accepts(user, "000000", f"192.0.2.{number}") for number in range(GUESSES_OF_A_PERSON)]

    with pytest.raises(TooMany) as refused:
        accepts(user, code_of(secret), "192.0.2.200")

    assert not any(guesses)
    assert (refused.value.retry_after or 0) > 3000
    assert accepts(other, code_of(SECRET))


@pytest.mark.django_db(transaction=True)
def test_parallel_guesses_all_count() -> None:
    user = make_user()
    give_app(user)

    answers = race(lambda: accepts(user, "000000"), times=GUESSES_OF_A_PERSON + 4)

    assert sum(isinstance(each, TooMany) for each in answers) == 4


@pytest.mark.django_db(transaction=True)
def test_parallel_guesses_all_count_control(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Asked first and counted afterwards, none is refused."""
    user = make_user()
    give_app(user)
    times = GUESSES_OF_A_PERSON + 4
    count_in_two_steps(monkeypatch, redis_url, parties=times)

    assert race(lambda: accepts(user, "000000"), times=times) == [False] * times


@pytest.mark.django_db
def test_guesses_from_an_address_are_limited_over_all_people(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "GUESSES_FROM_AN_ADDRESS", 3)
    people = [make_user() for _ in range(4)]
    for each in people:
        give_app(each)

    for each in people[:3]:
        accepts(each, "000000")
    with pytest.raises(TooMany):
        accepts(people[3], code_of(SECRET))

    assert accepts(people[3], code_of(SECRET), "198.51.100.7")


@pytest.mark.django_db
def test_without_the_counters_no_code_counts(monkeypatch: pytest.MonkeyPatch, client: Client) -> None:
    """Redis is away; what is kept of codes used is not in it."""
    user = make_user()
    secret = give_app(user)
    sign_in(client, user, second_factor=False)
    lose_counters(monkeypatch)

    with pytest.raises(Unavailable):
        use_code(user=user, code=code_of(secret), address=ADDRESS)
    page = client.post("/auth/2fa/confirm", {"code": code_of(secret)})

    assert page.status_code == 503
    assert not any(each["method"] == "mfa" for each in client.session["account_authentication_methods"])


def test_page_says_how_long_to_wait(people: People, client: Client) -> None:
    give_app(people.alice)
    sign_in(client, people.alice, second_factor=False)

    answers = [client.post("/auth/2fa/confirm", {"code": "000000"}) for _ in range(GUESSES_OF_A_PERSON + 1)]

    assert [each.status_code for each in answers] == [200] * GUESSES_OF_A_PERSON + [429]
    assert int(answers[-1]["Retry-After"]) > 3000


# One change at a time.


@pytest.mark.django_db(transaction=True)
def test_of_two_first_factors_at_once_one_is_set_up() -> None:
    assert _four_first_factors_at_once() == ["NotAllowed"] * 3 + ["list"]


@pytest.mark.django_db(transaction=True)
def test_of_two_first_factors_at_once_one_is_set_up_control(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the person's lock nobody is told that there is a factor by now: only the table stops the others."""
    lock_no_rows(monkeypatch)
    meet_before(monkeypatch, service.TOTP, "activate", parties=4)

    assert _four_first_factors_at_once() == ["IntegrityError"] * 3 + ["list"]


def _four_first_factors_at_once() -> list[str]:
    user, steps = make_user(), iter(range(10, 20))
    answers = race(lambda: add_app(user=user, secret=SECRET, step=next(steps), first=True), times=4)
    return sorted(type(each).__name__ for each in answers)


@pytest.mark.django_db(transaction=True)
def test_managers_two_factors_removed_at_once_leave_one() -> None:
    people = make_people()
    give_app(people.alice)
    key = Authenticator.objects.create(user=people.alice, type="webauthn", data={"name": "x", "credential": {}})
    app = Authenticator.objects.get(type="totp")

    answers = race_each([lambda row=row: remove_factor(user=people.alice, factor=row) for row in (key, app)])

    assert sorted(type(each).__name__ for each in answers) == ["NoneType", "NotAllowed"]
    assert owns_second_factor(people.alice)


@pytest.mark.django_db(transaction=True)
def test_managers_two_factors_removed_at_once_leave_one_control(monkeypatch: pytest.MonkeyPatch) -> None:
    """Asked before the lock, both find the other one."""
    people = make_people()
    give_app(people.alice)
    key = Authenticator.objects.create(user=people.alice, type="webauthn", data={"name": "x", "credential": {}})
    app = Authenticator.objects.get(type="totp")
    for each in (key, app):
        require_removable(each)
    monkeypatch.setattr(service, "require_removable", lambda factor: None)

    race_each([lambda row=row: remove_factor(user=people.alice, factor=row) for row in (key, app)])

    assert not owns_second_factor(people.alice)


# Reset by staff.


def test_reset_takes_all_of_it_and_ends_everything(people: People, client: Client) -> None:
    give_app(people.alice)
    sign_in(client, people.alice)
    pair = issue_tokens(people.alice, second_factor=True)
    _, secret = create_personal_token(
        user=people.alice, name="x", scopes=["carts:view"], expires_at=RefreshToken.objects.get().expires_at
    )

    reset_second_factor(user=people.alice, actor=people.erin)

    assert not Authenticator.objects.filter(user=people.alice).exists()
    assert (user_of_token(pair.access), user_of_personal_token(secret)) == (None, None)
    assert not RefreshToken.objects.filter(user=people.alice).exists()
    assert not BrowserSession.objects.filter(user=people.alice).exists()
    assert client.get("/control/")["Location"].startswith("/auth/sign-in")
    told = AuditEntry.objects.filter(action="second factor reset").values_list("actor_id", "entity_id")
    assert list(told) == [(people.erin.pk, str(people.alice.pk))]


@pytest.mark.parametrize(
    ("who", "whose"), [("alice", "bob"), ("charlie", "alice"), ("dora", "alice"), ("erin", "erin")]
)
def test_reset_is_for_those_who_may_do_more(people: People, who: str, whose: str) -> None:
    give_app(getattr(people, whose))

    with pytest.raises(NotAllowed):
        reset_second_factor(user=getattr(people, whose), actor=getattr(people, who))

    assert owns_second_factor(getattr(people, whose))


def test_reset_is_a_button_of_the_admin(people: People, client: Client) -> None:
    give_app(people.alice)
    sign_in(client, people.erin)
    url = f"/admin/tenants/user/{people.alice.pk}/do/reset-second-factor/"

    page = client.get(f"/admin/tenants/user/{people.alice.pk}/change/").content.decode()
    asked = client.get(url)
    before = owns_second_factor(people.alice)
    client.post(url, {"sure": "1", "key": "once"})

    assert url in page
    assert (asked.status_code, before, owns_second_factor(people.alice)) == (200, True, False)


# What lies in the database.


@pytest.mark.django_db
def test_database_holds_no_secret_that_works() -> None:
    user = make_user()
    give_app(user)
    codes = recovery_codes_of(user)

    rows = json.dumps(list(Authenticator.objects.values_list("data", flat=True)))

    assert SECRET not in rows
    assert not any(code in rows for code in codes)


@pytest.mark.django_db
def test_secrets_move_to_the_newest_key(settings: Any) -> None:
    user = make_user()
    give_app(user)
    codes = recovery_codes_of(user)
    old = settings.FIELD_KEYS
    settings.FIELD_KEYS = {"new": base64.b64encode(os.urandom(32)).decode(), **old}

    before = list(Authenticator.objects.order_by("pk").values_list("data", flat=True))
    counted = rewriters()["mfa"](write=False)
    untouched = list(Authenticator.objects.order_by("pk").values_list("data", flat=True))
    counts = [rewriters()["mfa"](write=True), rewriters()["mfa"](write=True)]
    settings.FIELD_KEYS = {"new": settings.FIELD_KEYS["new"]}

    assert (counted, untouched) == (Rewritten(2), before)
    assert counts == [Rewritten(2), Rewritten(0)]
    assert recovery_codes_of(user) == codes
    assert accepts(user, code_of(SECRET))


@pytest.mark.django_db
def test_without_the_key_no_code_counts(settings: Any) -> None:
    user = make_user()
    give_app(user)
    settings.FIELD_KEYS = {"other": base64.b64encode(os.urandom(32)).decode()}

    with pytest.raises(Unavailable):
        use_code(user=user, code=code_of(SECRET), address=ADDRESS)


@pytest.mark.django_db
@pytest.mark.parametrize(("arguments", "word"), [((), "rewritten"), (("--dry-run",), "to rewrite")])
def test_rotation_tells_of_a_secret_whose_key_is_lost_and_fails(
    settings: Any, arguments: tuple[str, ...], word: str
) -> None:
    """Two people, each with an app and recovery codes; what one of them has was written with a key that is gone."""
    lost, kept = make_user(), make_user()
    old = settings.FIELD_KEYS
    settings.FIELD_KEYS = {"lost": base64.b64encode(os.urandom(32)).decode()}
    give_app(lost)
    before = list(Authenticator.objects.order_by("pk").values_list("data", flat=True))
    settings.FIELD_KEYS = old
    give_app(kept)
    settings.FIELD_KEYS = {"new": base64.b64encode(os.urandom(32)).decode(), **old}
    out = StringIO()

    with pytest.raises(CommandError, match="2 values can't be read"):
        call_command("rotate_keys", *arguments, stdout=out)

    assert f"mfa: 2 {word}, 2 unreadable" in out.getvalue().splitlines()
    of_lost = Authenticator.objects.filter(user=lost).order_by("pk")
    assert list(of_lost.values_list("data", flat=True)) == before
