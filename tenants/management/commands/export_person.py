"""`manage.py export_person --email a@example.com [--to file]`: everything kept about a person, as JSON."""

import os
import sys
from argparse import ArgumentParser
from typing import Any, TextIO

from django.core.management.base import BaseCommand

from tenants.management.naming import add_person_arguments, person_named
from tenants.services import export_person


class Command(BaseCommand):
    """For whoever asks what is kept about them. Holds no secrets and nobody else's data."""

    help = __doc__

    def add_arguments(self, parser: ArgumentParser) -> None:
        add_person_arguments(parser)
        parser.add_argument("--to", help="A new file, which only its owner may read; else to the standard output.")

    def handle(self, *args: Any, **options: Any) -> None:
        pieces = export_person(person=person_named(options), actor="export_person")
        target: TextIO = self._open(options["to"]) if options["to"] else sys.stdout
        try:
            for piece in pieces:
                target.write(piece)
        finally:
            if target is not sys.stdout:
                target.close()

    def _open(self, path: str) -> TextIO:
        return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8")
