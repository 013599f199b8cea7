"""`manage.py rotate_keys [--dry-run]`: put a new key first in FIELD_KEYS, run this, then drop the old key."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from core.secrets import count_old, encrypted_columns, rewrite_column, rewriters


class Command(BaseCommand):
    """Encrypts every secret anew that is not under the newest key. Stopped half way, it goes on where it was."""

    help = __doc__

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--dry-run", action="store_true", help="Only count; secrets of other kinds are named.")

    def handle(self, *args: Any, **options: Any) -> None:
        unreadable = 0
        for column in encrypted_columns():
            if options["dry_run"]:
                self.stdout.write(f"{column.place}: {count_old(column)} to rewrite")
                continue
            done = rewrite_column(column)
            unreadable += done.unreadable
            self.stdout.write(f"{column.place}: {done.values - done.unreadable} rewritten")
        for name, rewrite in rewriters().items():
            self.stdout.write(f"{name}: not counted" if options["dry_run"] else f"{name}: {rewrite()} rewritten")
        if unreadable:
            raise CommandError(f"{unreadable} values can't be read with any of the keys: they stay as they are")
