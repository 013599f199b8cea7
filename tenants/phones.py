"""Phone numbers: every spelling of a number is one key."""

import phonenumbers
from django.conf import settings
from django.utils.translation import gettext_lazy as _
from phonenumbers import PhoneNumberType

from core.errors import InvalidInput

_MOBILE = {PhoneNumberType.MOBILE, PhoneNumberType.FIXED_LINE_OR_MOBILE}


def normalise_phone(raw: str, region: str = "IL") -> str:
    """E.164 of a mobile number in an allowed country, from any spelling: local, spaced, Persian or Arabic digits.

    Raises `InvalidInput`. `region` (ISO 3166-1) is what a number without a country code belongs to.
    """
    try:
        number = phonenumbers.parse(raw.strip(), region.upper())
    except phonenumbers.NumberParseException:
        raise _refused() from None
    if not phonenumbers.is_valid_number(number) or phonenumbers.number_type(number) not in _MOBILE:
        raise _refused()
    if phonenumbers.region_code_for_number(number) not in settings.OTP_COUNTRIES:
        raise InvalidInput(errors={"phone": [_("We can't send codes to this country.")]})
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


def countries() -> list[tuple[str, str]]:
    """(region, "+972") of each allowed country, for the country field."""
    return [(region, f"+{phonenumbers.country_code_for_region(region)}") for region in settings.OTP_COUNTRIES]


def _refused() -> InvalidInput:
    return InvalidInput(errors={"phone": [_("This is not a mobile number we can send a code to.")]})
