"""`manage.py erase_person --phone +972… [--yes]`: forget for good who a person is; what they did stays."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from core.errors import DomainError
from core.views import say
from tenants.management.naming import add_person_arguments, person_named
from tenants.services import erase_person


class Command(BaseCommand):
    """For whoever asks to be forgotten. Can't be undone."""

    help = __doc__

    def add_arguments(self, parser: ArgumentParser) -> None:
        add_person_arguments(parser)
        parser.add_argument("--yes", action="store_true", help="Don't ask.")

    def handle(self, *args: Any, **options: Any) -> None:
        person = person_named(options)
        if not options["yes"] and input(f"Erase {person} for good? Type yes: ") != "yes":
            raise CommandError("nothing was done")
        try:
            erase_person(user=person, actor="erase_person")
        except DomainError as error:
            raise CommandError(say(error)) from error
        self.stdout.write(f"erased {person.pk}")
