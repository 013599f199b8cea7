"""Promises of one-time codes, against the real counters, the real database and the SMS simulator."""

import logging
from collections.abc import Callable
from contextlib import ExitStack
from datetime import timedelta
from typing import Any

import httpx
import pytest
from django.core import serializers
from django.db.models import F, QuerySet
from django.test import Client
from django.utils import timezone
from pytest_django import Settings
from redis import Redis

from core.errors import InvalidInput, TooMany, Unavailable
from core.limits import Limit, wait_of
from core.tests.fixtures import lose_counters
from core.tests.race import race
from core.turns import turn
from tenants.enums import RoleCode
from tenants.models import OtpChallenge, User
from tenants.services import otp
from tenants.tests.factories import make_branch, make_grant, make_user
from tenants.tests.mailbox import received_at

PHONE, OTHER_PHONE = "+972501234567", "+972502345678"
pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("sms")]


def ask(phone: str = PHONE, *, binding: str = "session-1", address: str = "203.0.113.9", language: str = "en") -> None:
    otp.request_otp(phone=phone, binding=binding, address=address, language=language, host="shop.example")


def guess(code: str, phone: str = PHONE, *, binding: str = "session-1", address: str = "203.0.113.9") -> bool:
    """Whether the code is taken."""
    try:
        otp.verify_otp(phone=phone, code=code, binding=binding, address=address)
    except InvalidInput:
        return False
    return True


def received(sms: httpx.Client, phone: str = PHONE) -> str:
    return received_at(sms, "shop.example", phone)


def other_than(code: str, count: int = 1) -> list[str]:
    return [f"{(int(code) + step) % 10**6:06d}" for step in range(1, count + 1)]


def a_minute_passes(redis_url: str) -> None:
    """The wait between two codes to one number is over."""
    with Redis.from_url(redis_url) as redis:
        redis.delete(*redis.keys("*otp-send:number:*"))


def test_code_has_six_digits_and_signs_in_once(sms: httpx.Client) -> None:
    ask()
    code = received(sms)

    assert (len(code), code.isascii(), code.isdigit()) == (6, True, True)
    assert [guess(code), guess(code)] == [True, False]


def test_codes_keep_their_leading_zeros(sms: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tenants.services.otp.secrets.randbelow", lambda limit: 7)

    ask()

    assert received(sms) == "000007"
    assert guess("000007")


@pytest.mark.parametrize("language", ["en", "he", "fa", "fr"])
def test_message_is_in_the_askers_language_and_says_the_code_first(sms: httpx.Client, language: str) -> None:
    ask(language=language)

    text = sms.get("/messages").json()[0]["text"]
    assert received(sms) in text.splitlines()[0]
    assert text.splitlines()[-1].isascii()


@pytest.mark.parametrize(("age", "expected"), [(timedelta(minutes=4, seconds=55), True), (timedelta(minutes=5), False)])
def test_code_lives_five_minutes(sms: httpx.Client, age: timedelta, expected: bool) -> None:
    ask()
    OtpChallenge.objects.update(expires_at=F("expires_at") - age)

    assert guess(received(sms)) is expected


def test_code_dies_of_five_wrong_guesses(sms: httpx.Client) -> None:
    ask()
    code = received(sms)

    wrong = [guess(other) for other in other_than(code, 5)]

    assert wrong == [False] * 5
    assert guess(code) is False


def test_fifth_guess_may_still_be_right(sms: httpx.Client) -> None:
    ask()
    code = received(sms)

    assert [guess(other) for other in [*other_than(code, 4), code]] == [False] * 4 + [True]


def test_code_is_bound_to_its_phone_and_to_who_asked(sms: httpx.Client) -> None:
    ask()
    ask(OTHER_PHONE)
    code = received(sms)

    assert not guess(code, binding="session-2")
    assert not guess(code, binding="")
    assert not guess(code, OTHER_PHONE) or code == received(sms, OTHER_PHONE)
    assert guess(code)


def test_guesses_of_a_stranger_do_not_use_up_the_askers(sms: httpx.Client) -> None:
    ask()
    code = received(sms)

    for other in other_than(code, 8):
        guess(other, binding="session-2")

    assert guess(code)


def test_new_code_ends_the_one_before(sms: httpx.Client, redis_url: str) -> None:
    ask()
    first = received(sms)
    a_minute_passes(redis_url)
    ask()
    second = received(sms)

    assert guess(first) is (first == second)
    assert guess(second) or first == second


def test_code_somebody_else_asks_for_does_not_end_the_own(sms: httpx.Client, redis_url: str) -> None:
    ask()
    code = received(sms)
    a_minute_passes(redis_url)

    ask(binding="session-2")

    assert guess(code)


@pytest.mark.parametrize(
    "typed", ["", " ", "12345", "1234567", "abcdef", "\x00", "９９９９９９", "' OR 1=1 --", "1" * 1000]
)
def test_nonsense_is_a_wrong_code_and_no_error(sms: httpx.Client, typed: str) -> None:
    ask()

    assert guess(typed) is False


def test_without_a_code_every_guess_is_wrong() -> None:
    assert guess("123456") is False


def guess_together(sms: httpx.Client) -> int:
    """Fifty different wrong guesses at one moment; how many of them were compared with the code."""
    ask()
    wrong = iter(other_than(received(sms), 50))
    compared: list[str] = []
    compare = otp.constant_time_compare

    def note(left: str, right: str) -> bool:
        compared.append(left)
        return compare(left, right)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(otp, "constant_time_compare", note)
        patch.setattr(otp, "take", lambda limits, fail_closed: None)
        race(lambda: guess(next(wrong)), times=50)
    return len(compared)


@pytest.mark.django_db(transaction=True)
def test_parallel_guesses_all_count(sms: httpx.Client) -> None:
    assert guess_together(sms) == otp.MAX_GUESSES


@pytest.mark.django_db(transaction=True)
def test_parallel_guesses_all_count_control(sms: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """Read, compare and write back later, and more than five are compared."""
    update = QuerySet.update

    def forget_the_condition(rows: QuerySet[Any], **values: Any) -> int:
        if "guesses" not in values:
            return update(rows, **values)
        row = rows.model.objects.get()
        allowed = row.guesses < otp.MAX_GUESSES
        update(rows.model.objects.all(), guesses=row.guesses + 1)
        return int(allowed)

    monkeypatch.setattr(QuerySet, "update", forget_the_condition)

    assert guess_together(sms) > otp.MAX_GUESSES


@pytest.mark.django_db(transaction=True)
def test_right_code_guessed_twice_at_once_is_used_once(sms: httpx.Client) -> None:
    ask()
    code = received(sms)

    assert sorted(race(lambda: guess(code), times=4)) == [False, False, False, True]


@pytest.mark.django_db(transaction=True)
def test_right_code_guessed_twice_at_once_is_used_once_control(
    sms: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the mark of use it opens as often as it is guessed."""
    update = QuerySet.update
    monkeypatch.setattr(QuerySet, "update", lambda rows, **values: 1 if "used_at" in values else update(rows, **values))
    ask()
    code = received(sms)

    assert race(lambda: guess(code), times=4) == [True] * 4


def sends_until_refused(make: Callable[[int], dict[str, str]], most: int = 60) -> int:
    """How many codes go out before the first refusal."""
    for number in range(most):
        try:
            ask(**make(number))
        except TooMany:
            return number
    return most


@pytest.fixture
def _sending_is_free(monkeypatch: pytest.MonkeyPatch) -> None:
    """No message leaves, so that only the limits are looked at."""

    class Silent:
        def send_otp(self, message: object) -> str:
            return ""

    monkeypatch.setattr(otp, "gateway", Silent)


@pytest.mark.usefixtures("_sending_is_free")
def test_sends_to_a_number_are_a_minute_apart() -> None:
    assert sends_until_refused(lambda number: {"binding": f"s{number}", "address": f"10.{number}.0.1"}) == 1


@pytest.mark.usefixtures("_sending_is_free")
def test_sends_to_a_number_are_five_an_hour(redis_url: str) -> None:
    def next_address(number: int) -> dict[str, str]:
        a_minute_passes(redis_url) if number else None
        return {"address": f"10.{number}.0.1"}

    assert sends_until_refused(next_address) == 5


@pytest.mark.usefixtures("_sending_is_free")
def test_sends_to_a_range_of_numbers_are_limited() -> None:
    def neighbours(number: int) -> dict[str, str]:
        return {"phone": f"+972501234{number:03d}", "address": f"10.{number}.0.1"}

    assert sends_until_refused(neighbours) == 20


@pytest.mark.usefixtures("_sending_is_free")
@pytest.mark.parametrize(
    ("address", "expected"),
    [
        pytest.param("203.0.113.9", 4, id="one-address"),
        pytest.param("203.0.113.{}", 40, id="network-of-ipv4"),
        pytest.param("2001:db8:1:1::{}", 4, id="one-client-of-ipv6"),
        pytest.param("2001:db8:1:{}::1", 40, id="network-of-ipv6"),
        pytest.param("10.{}.0.1", 60, id="far-apart"),
        pytest.param("not an address {}", 4, id="no-address"),
    ],
)
def test_sends_from_an_address_and_its_network_are_limited(settings: Settings, address: str, expected: int) -> None:
    settings.OTP_SENDS_PER_ADDRESS_PER_HOUR = 4

    def spread(number: int) -> dict[str, str]:
        return {"phone": f"+97250{2000 + number}000", "address": address.format(number)}

    assert sends_until_refused(spread) == expected


def abroad(prefix: str) -> Callable[[int], dict[str, str]]:
    return lambda number: {"phone": f"{prefix}{2000 + number}000", "address": f"{prefix[-2:]}.{number}.0.1"}


@pytest.mark.usefixtures("_sending_is_free")
def test_sends_to_a_country_and_in_all_stay_within_the_budget(settings: Settings) -> None:
    settings.OTP_DAILY_BUDGET = 10

    sent = [sends_until_refused(abroad(prefix)) for prefix in ("+97250", "+98912", "+33612")]

    assert sent == [5, 5, 0]


def of_the_service(caplog: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    return [record for record in caplog.records if record.name == otp.__name__]


@pytest.mark.usefixtures("_sending_is_free")
def test_budget_that_is_used_up_is_told_once(settings: Settings, caplog: pytest.LogCaptureFixture) -> None:
    settings.OTP_DAILY_BUDGET = 4

    for prefix in ("+97250", "+33612") * 2:
        sends_until_refused(abroad(prefix))

    told = of_the_service(caplog)
    used_up = ["otp-send:country:IL", "otp-send:country:FR", "otp-send:budget"]
    assert [(record.levelname, vars(record)["limit"]) for record in told] == [("ERROR", key) for key in used_up]
    assert "2000000" not in str([vars(record) for record in told])
    # The end of the next budget is told again, however soon it comes.
    day = timedelta(days=1)
    assert 0 < wait_of(Limit("otp-told:otp-send:budget", 1, day)) <= wait_of(Limit("otp-send:budget", 4, day))


def test_refusal_with_budget_left_tells_nothing_of_it(sms: httpx.Client, caplog: pytest.LogCaptureFixture) -> None:
    ask()

    with pytest.raises(TooMany):
        ask()

    assert of_the_service(caplog) == []


def sent(phones: str, *, used: int, ago: timedelta = timedelta(hours=1)) -> None:
    """Ten codes to numbers that begin so."""
    now = timezone.now()
    rows = [
        OtpChallenge(
            phone=f"{phones}00000{number}", binding="b", expires_at=now, used_at=now if number < used else None
        )
        for number in range(10)
    ]
    OtpChallenge.objects.bulk_create(rows)
    keys = [row.pk for row in rows]
    OtpChallenge.objects.filter(pk__in=keys).update(created_at=now - ago, expires_at=now - ago + otp.LIFETIME)


@pytest.mark.parametrize(
    ("many", "il", "fr", "expected"),
    [
        (10, 10, 10, []),
        (10, 4, 10, []),
        (10, 3, 10, ["IL"]),
        (11, 0, 10, []),
        (20, 0, 8, []),
        (20, 0, 7, ["all"]),
        (10, 0, 0, ["FR", "IL", "all"]),
    ],
)
def test_codes_that_are_mostly_not_used_are_told_by_country(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, many: int, il: int, fr: int, expected: list[str]
) -> None:
    monkeypatch.setattr(otp, "_MANY", many)
    sent("+972502", used=il)
    sent("+33612", used=fr)
    sent("+98912", used=0, ago=timedelta(days=2))

    otp.warn_of_unused_codes()

    told = of_the_service(caplog)
    assert sorted(vars(record)["country"] for record in told) == expected
    assert {record.levelname for record in told} <= {"WARNING"}


def test_countries_whose_codes_begin_alike_share_no_limit() -> None:
    keys = [{limit.key for limit in otp._send_limits(phone, "203.0.113.9")} for phone in (PHONE, "+971501234567")]

    assert [key for key in keys[0] if "country" in key] == ["otp-send:country:IL"]
    assert [key for key in keys[1] if "country" in key] == ["otp-send:country:AE"]


def test_gateway_that_hangs_takes_only_some_of_the_webs_threads(sms: httpx.Client) -> None:
    with ExitStack() as hanging:
        for _ in range(6):
            hanging.enter_context(turn(otp._SENDING, refusal=""))
        with pytest.raises(Unavailable):
            ask()
        assert not OtpChallenge.objects.exists()

    ask()
    assert guess(received(sms))


def test_guesses_of_a_stranger_do_not_lock_a_phone_out(sms: httpx.Client) -> None:
    ask()
    code = received(sms)

    strangers = [guess("123456", binding="stranger") for _ in range(40)]

    assert not any(strangers)
    assert guess(code)


@pytest.mark.parametrize("address", ["203.0.113.9", "2001:db8:1:2::{}"], ids=["ipv4", "ipv6"])
def test_guesses_from_one_client_are_limited(address: str) -> None:
    for number in range(100):
        guess("123456", address=address.format(number))

    with pytest.raises(TooMany):
        guess("123456", address=address.format(100))


def sign_in(code: str) -> User:
    return otp.sign_in_with_code(phone=PHONE, code=code, binding="session-1", address="203.0.113.9", language="fr")


def test_code_makes_a_customer_once(sms: httpx.Client, redis_url: str) -> None:
    ask()
    first = sign_in(received(sms))
    a_minute_passes(redis_url)
    ask()
    again = sign_in(received(sms))

    assert (first.pk, first.language) == (again.pk, "fr")


@pytest.mark.parametrize("role", [RoleCode.MANAGER, RoleCode.SUPPORT, RoleCode.BRANCH_MANAGER, RoleCode.CHAIN_MANAGER])
def test_phone_alone_opens_no_back_office(sms: httpx.Client, client: Client, role: str) -> None:
    """Staff and managers come in as customers: their grants wait for the second factor."""
    branch = make_branch(name="Secret branch")
    place = {RoleCode.BRANCH_MANAGER: {"branch": branch}, RoleCode.CHAIN_MANAGER: {"chain": branch.chain}}.get(role, {})
    user = make_user(phone=PHONE)
    make_grant(user=user, role=role, **place)
    client.post("/auth/phone", {"country": "IL", "phone": PHONE})

    came_in = client.post("/auth/phone/code", {"code": received_at(sms, "testserver")})
    pages = [client.get(path) for path in ("/control/", f"/control/branches/{branch.pk}", "/admin/", "/auth/email")]

    assert came_in.status_code == 302
    assert client.session["_auth_user_id"] == str(user.pk)
    assert [page["Location"].partition("?")[0] for page in pages] == ["/auth/second-factor"] * 4
    assert not any(b"Secret branch" in page.content for page in pages)
    assert client.get("/me/").status_code == 200


def test_refused_send_sends_nothing_and_keeps_the_code_before(sms: httpx.Client) -> None:
    ask()
    code = received(sms)

    with pytest.raises(TooMany):
        ask()

    assert len(sms.get("/messages").json()) == 1
    assert guess(code)


def test_without_counters_no_code_is_sent_and_none_is_taken(sms: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    ask()
    code = received(sms)
    lose_counters(monkeypatch)

    for refused in (lambda: ask(OTHER_PHONE), lambda: guess(code)):
        with pytest.raises(Unavailable):
            refused()
    assert len(sms.get("/messages").json()) == 1


@pytest.mark.parametrize("kind", ["rejected", "no_credit", "html", "http_500"])
def test_message_that_could_not_be_sent_says_so_and_leaves_no_code(
    sms: httpx.Client, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tenants.services.otp.secrets.randbelow", lambda limit: 123456)
    sms.post("/faults", json={"kind": kind}).raise_for_status()

    with pytest.raises(Unavailable) as caught:
        ask()

    assert str(caught.value.detail)
    assert guess("123456") is False
    assert OtpChallenge.objects.get().expires_at <= timezone.now()


def test_code_is_neither_in_the_database_nor_in_the_logs(
    sms: httpx.Client, caplog: pytest.LogCaptureFixture, redis_url: str
) -> None:
    caplog.set_level(logging.DEBUG)
    ask()
    code = received(sms)
    guess(other_than(code)[0])
    guess(code)

    with Redis.from_url(redis_url, decode_responses=True) as redis:
        counters = str([(key, redis.get(key)) for key in redis.scan_iter()])
    rows = serializers.serialize("json", OtpChallenge.objects.defer("id"), fields=["phone", "binding", "code_hmac"])
    ours = "".join(record.getMessage() for record in caplog.records if not record.name.startswith("django.db"))
    assert code not in rows + counters.replace(PHONE, "") + ours


def test_equal_codes_are_kept_differently(sms: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tenants.services.otp.secrets.randbelow", lambda limit: 123456)
    ask()
    ask(OTHER_PHONE)

    assert len(set(OtpChallenge.objects.values_list("code_hmac", flat=True))) == 2


def test_wait_until_the_next_code_is_told(sms: httpx.Client) -> None:
    before = otp.resend_wait(phone=PHONE, binding="session-1")
    ask()

    assert before == 0
    assert 55 <= otp.resend_wait(phone=PHONE, binding="session-1") <= 61
    OtpChallenge.objects.update(created_at=timezone.now() - timedelta(minutes=2))
    assert otp.resend_wait(phone=PHONE, binding="session-1") == 0
