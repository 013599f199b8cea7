"""What a stack needs done before its first page: migrations, demo data, addresses and an enrolment code.

One process for all of it, because importing Django costs more than most of these commands. Speaks to the project
through its management commands, and empties one table.
"""

import argparse
import io
import json
import os
from pathlib import Path

import django
from django.apps import apps
from django.core.management import call_command

from deploy.stack.layout import write_private


def prepare(*, base_url: str, enrol: tuple[str, str] | None) -> dict[str, object]:
    """Returns `{"addresses": {"customer", "manager", "admin"}, "enrolment_code": str | None}`.

    `enrol` is (branch code, device name) of the device to make a code for.
    """
    call_command("migrate", interactive=False, verbosity=0)
    forget_pulses()
    call_command("seed_demo", seed=1, size="small", verbosity=0)
    code = None
    if enrol is not None:
        branch, device = enrol
        code = output_of("create_enrolment_code", "--branch", branch, "--device", device)
    return {"addresses": json.loads(output_of("print_addresses", "--base-url", base_url)), "enrolment_code": code}


def forget_pulses() -> None:
    """The last run's signs of life would speak for processes that have not been started yet: a Pi that comes before the
    bridge is not heard until its next heartbeat.
    """
    apps.get_model("core", "ComponentPulse")._default_manager.all().delete()


def output_of(command: str, *arguments: str) -> str:
    output = io.StringIO()
    call_command(command, *arguments, stdout=output)
    return output.getvalue().strip()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--base-url", required=True)
    parser.add_argument("--enrol", nargs=2, metavar=("BRANCH", "DEVICE"), help="make an enrolment code for this device")
    parser.add_argument("--result", type=Path, required=True, help="file the answers are written to (0600)")
    arguments = parser.parse_args()
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    django.setup()
    enrol = tuple(arguments.enrol) if arguments.enrol else None
    write_private(arguments.result, json.dumps(prepare(base_url=arguments.base_url, enrol=enrol)))


if __name__ == "__main__":
    main()
