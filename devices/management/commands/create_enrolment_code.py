"""`manage.py create_enrolment_code --branch BRANCH-001 [--device demo-pi]` prints a code."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from devices.models import Device
from devices.services import create_enrolment_code
from tenants.models import Branch


class Command(BaseCommand):
    """A single-use code that lets one Pi in; with `--device` whoever enrols becomes that prepared device."""

    help = __doc__

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--branch", required=True, help="The branch's code.")
        parser.add_argument("--device", help="Name or id of a prepared device of the branch.")

    def handle(self, *args: Any, **options: Any) -> None:
        branch = Branch.objects.filter(code=options["branch"]).first()
        if branch is None:
            raise CommandError(f"no branch has the code {options['branch']}")
        device = None
        if wanted := options["device"]:
            named = Device.objects.filter(branch=branch)
            device = named.filter(name=wanted).first() or next((d for d in named if str(d.pk) == wanted), None)
            if device is None:
                raise CommandError(f"{options['branch']} has no device {wanted}")
        _, code = create_enrolment_code(branch=branch, device=device)
        self.stdout.write(code)
