"""`manage.py apply_retention`: forget now what every chain has kept long enough, as the clock does each day."""

from typing import Any

from django.core.management.base import BaseCommand

from core.privacy import run_retention


class Command(BaseCommand):
    """Says how many rows each job forgot. A bounded number a run: run it again until nothing is left."""

    help = __doc__

    def handle(self, *args: Any, **options: Any) -> None:
        for name, forgotten in run_retention().items():
            self.stdout.write(f"kept long enough, {name}: {forgotten}")
