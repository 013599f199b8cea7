"""`manage.py seed_demo --seed 1 --size small|large` builds demo data through the services."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand

from carts.demo import SIZES, seed_demo


class Command(BaseCommand):
    """Builds what is missing of the demo."""

    help = __doc__

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--seed", type=int, default=1)
        parser.add_argument("--size", choices=sorted(SIZES), default="small")

    def handle(self, *args: Any, **options: Any) -> None:
        seed_demo(seed=options["seed"], size=options["size"])
        self.stdout.write(f"demo data: {options['size']}, seed {options['seed']}")
