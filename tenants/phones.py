"""Phone numbers: every spelling of a number is one key."""

from unicodedata import category

import phonenumbers
from django.conf import settings
from django.utils.translation import gettext_lazy as _
from phonenumbers import PhoneNumber, PhoneNumberType

from core.errors import InvalidInput

_MOBILE = {PhoneNumberType.MOBILE, PhoneNumberType.FIXED_LINE_OR_MOBILE}
# What mobile numbers begin with after the country code (numbering plans of the three ministries).
_MOBILE_STARTS = {"IL": ("5",), "IR": ("9",), "FR": ("6", "7")}


def normalise_phone(raw: str, region: str = "IL") -> str:
    """E.164 of a mobile number in an allowed country, from any spelling: local, spaced, Persian or Arabic digits.

    Raises `InvalidInput`. `region` (ISO 3166-1) is what a number without a country code belongs to.
    """
    # Right-to-left pages and address books put invisible marks around a number that is copied from them.
    typed = "".join(sign for sign in raw.strip() if category(sign) != "Cf")
    try:
        number = phonenumbers.parse(typed, region.upper())
    except phonenumbers.NumberParseException:
        raise _refused() from None
    if not _is_mobile(number):
        raise _refused()
    if phonenumbers.region_code_for_number(number) not in settings.OTP_COUNTRIES:
        raise InvalidInput(errors={"phone": [_("We can't send codes to this country.")]})
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


def _is_mobile(number: PhoneNumber) -> bool:
    """Known as a mobile number, or at least as long as one and beginning like one.

    Operators are given new ranges faster than the library learns of them (051-2345678 is unknown to version 9.0).
    """
    if phonenumbers.is_valid_number(number):
        return phonenumbers.number_type(number) in _MOBILE
    starts = _MOBILE_STARTS.get(phonenumbers.region_code_for_number(number) or "", ())
    possible = phonenumbers.is_possible_number_for_type(number, PhoneNumberType.MOBILE)
    return possible and phonenumbers.national_significant_number(number).startswith(starts)


def region_of(phone: str) -> str:
    """The country (ISO 3166-1) of a number in E.164; "" where it is unknown."""
    return phonenumbers.region_code_for_number(phonenumbers.parse(phone)) or ""


def ascii_digits(typed: str) -> str:
    """The digits of what was typed, in any script, as 0 to 9; everything else is left out."""
    return "".join(str(int(sign)) for sign in typed if sign.isdecimal())


def countries() -> list[tuple[str, str]]:
    """(region, "+972") of each allowed country, for the country field."""
    return [(region, f"+{phonenumbers.country_code_for_region(region)}") for region in settings.OTP_COUNTRIES]


def _refused() -> InvalidInput:
    return InvalidInput(errors={"phone": [_("This is not a mobile number we can send a code to.")]})
