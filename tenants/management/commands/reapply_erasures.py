"""`manage.py reapply_erasures`: after a restore, before anybody is let in: forget again what was forgotten before."""

from typing import Any

from django.core.management import call_command
from django.core.management.base import BaseCommand

from tenants.services import reapply_erasures


class Command(BaseCommand):
    """Erases again whoever the journal says was erased, and forgets what every chain has kept long enough."""

    help = __doc__

    def handle(self, *args: Any, **options: Any) -> None:
        self.stdout.write(f"people who had come back: {reapply_erasures()}")
        call_command("apply_retention", stdout=self.stdout)
