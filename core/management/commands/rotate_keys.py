"""`manage.py rotate_keys [--dry-run]`: encrypt with the newest key in FIELD_KEYS what older ones wrote.

The order: put the new key last in FIELD_KEYS, restart every process; move it first, restart every process; run this;
only then drop the old key, and not before this ends without an error.
"""

from argparse import ArgumentParser
from collections.abc import Iterator
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from core.secrets import Rewritten, encrypted_columns, rewrite_column, rewriters


class Command(BaseCommand):
    """Encrypts every secret anew that is not under the newest key. Stopped half way, it goes on where it was."""

    help = __doc__

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--dry-run", action="store_true", help="Only count what there is to do; write nothing.")

    def handle(self, *args: Any, **options: Any) -> None:
        write = not options["dry_run"]
        unreadable = 0
        for name, done in _rewrite(write=write):
            unreadable += done.unreadable
            lost = f", {done.unreadable} unreadable" if done.unreadable else ""
            self.stdout.write(f"{name}: {done.rewritten} {'rewritten' if write else 'to rewrite'}{lost}")
        if unreadable:
            raise CommandError(f"{unreadable} values can't be read with any of the keys: they stay as they are")


def _rewrite(*, write: bool) -> Iterator[tuple[str, Rewritten]]:
    """What became, or would become, of each kind of secret."""
    for column in encrypted_columns():
        yield column.place, rewrite_column(column, write=write)
    for name, rewrite in rewriters().items():
        yield name, rewrite(write=write)
