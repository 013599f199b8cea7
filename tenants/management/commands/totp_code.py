"""`manage.py totp_code SECRET`: the code an authenticator app would show now (RFC 6238, 30 s, SHA-1, 6 digits)."""

from argparse import ArgumentParser
from typing import Any

from allauth.mfa.totp.internal.auth import format_hotp_value, hotp_value, yield_hotp_counters_from_time
from django.core.management.base import BaseCommand


class Command(BaseCommand):
    """For trying the product without a phone at hand. Computes from what the set-up page shows; looks up nothing."""

    help = __doc__

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("secret", help="As the page shows it; spaces don't matter.")

    def handle(self, *args: Any, **options: Any) -> None:
        counters = list(yield_hotp_counters_from_time())
        secret = options["secret"].replace(" ", "").upper()
        self.stdout.write(format_hotp_value(hotp_value(secret, counters[len(counters) // 2])))
