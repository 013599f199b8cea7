import pytest
from pytest_django import Settings

from core.errors import InvalidInput
from tenants.phones import countries, normalise_phone


@pytest.mark.parametrize(
    "spelling",
    [
        "+972501234567",
        "0501234567",
        "050-1234567",
        "050 123 4567",
        "(050) 123-4567",
        "050.123.4567",
        "  0501234567  ",
        "00972501234567",
        "972501234567",
        "+972 (0)50-123-4567",
        "+972-50-1234567",
        "tel:+972501234567",
        "۰۵۰۱۲۳۴۵۶۷",
        "٠٥٠١٢٣٤٥٦٧",
        "٠٥٠-١٢٣ ٤٥٦٧",
        "+٩٧٢٥٠١٢٣٤٥٦٧",
        "＋９７２５０１２３４５６７",
        "050\u2011123\u20114567",
        "\u200f050-1234567\u200e",
        "\u202a+972501234567\u202c",
        "050\u00a01234567",
    ],
)
def test_every_spelling_is_one_key(spelling: str) -> None:
    assert normalise_phone(spelling) == "+972501234567"


@pytest.mark.parametrize(
    ("spelling", "region", "key"),
    [
        ("09121234567", "IR", "+989121234567"),
        ("۰۹۱۲ ۱۲۳ ۴۵۶۷", "IR", "+989121234567"),
        ("00989121234567", "IL", "+989121234567"),
        ("06 12 34 56 78", "FR", "+33612345678"),
        ("06 12 34 56 78", "fr", "+33612345678"),
        ("+972501234567", "XX", "+972501234567"),
        ("0512345678", "IL", "+972512345678"),
    ],
)
def test_number_belongs_to_its_country(spelling: str, region: str, key: str) -> None:
    assert normalise_phone(spelling, region) == key


@pytest.mark.parametrize(
    ("spelling", "region"),
    [
        ("", "IL"),
        ("+", "IL"),
        ("not a phone", "IL"),
        ("12345", "IL"),
        ("05012345678", "IL"),
        ("050123456", "IL"),
        ("0" * 32, "IL"),
        ("0501234567", "XX"),
        ("0501234567", ""),
        ("02-1234567", "IL"),
        ("03-6123456", "IL"),
        ("072-2123456", "IL"),
        ("1-700-500-500", "IL"),
        ("1-800-123-123", "IL"),
        ("+33 8 99 12 34 56", "IL"),
        ("+33 1 42 68 53 00", "FR"),
        ("+98 21 1234 5678", "IR"),
    ],
)
def test_what_is_no_mobile_number_is_refused(spelling: str, region: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        normalise_phone(spelling, region)

    assert list(caught.value.errors) == ["phone"]


@pytest.mark.parametrize(
    "spelling", ["+14155552671", "+447400123456", "+79161234567", "+882161234567", "+970599123456"]
)
def test_country_we_do_not_send_to_is_refused(spelling: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        normalise_phone(spelling)

    assert list(caught.value.errors) == ["phone"]


def test_allowed_countries_are_a_setting(settings: Settings) -> None:
    settings.OTP_COUNTRIES = ["GB"]

    assert normalise_phone("+447400123456") == "+447400123456"
    assert countries() == [("GB", "+44")]
    with pytest.raises(InvalidInput):
        normalise_phone("+972501234567")
