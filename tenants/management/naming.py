"""How commands are told which person is meant."""

from argparse import ArgumentParser
from collections.abc import Mapping
from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import CommandError

from core.errors import InvalidInput
from tenants.models import User
from tenants.phones import normalise_phone


def add_person_arguments(parser: ArgumentParser) -> None:
    """`--email`, `--phone` (any spelling with a country code) or `--id`."""
    named = parser.add_mutually_exclusive_group(required=True)
    named.add_argument("--email")
    named.add_argument("--phone")
    named.add_argument("--id")


def person_named(options: Mapping[str, Any]) -> User:
    """The one person these options name. Raises `CommandError`."""
    try:
        if options["email"]:
            found = User.objects.filter(email=options["email"].lower())
        elif options["phone"]:
            found = User.objects.filter(phone=normalise_phone(options["phone"]))
        else:
            found = User.objects.filter(pk=options["id"])
        user = found.first()
    except (InvalidInput, ValidationError):
        user = None
    if user is None:
        raise CommandError("nobody is known by that")
    return user
