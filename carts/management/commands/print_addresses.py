"""`manage.py print_addresses --base-url URL`: where a person looks first, as JSON; the links sign in once."""

import json
from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.urls import reverse

from carts.demo import ADMIN_EMAIL, FIRST_BRANCH
from carts.models import Cart
from tenants.models import Branch, User
from tenants.services import create_sign_in_link


class Command(BaseCommand):
    """Customer page of a demo cart, manager page, admin."""

    help = __doc__

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--base-url", required=True)

    def handle(self, *args: Any, **options: Any) -> None:
        if settings.PRODUCTION:
            raise CommandError("sign-in links for the demo are refused in production")
        branch = Branch.objects.get(code=FIRST_BRANCH)
        cart = Cart.objects.filter(branch=branch).order_by("cart_number").first()
        admin = User.objects.get(email=ADMIN_EMAIL)
        if cart is None:
            raise CommandError("there is no demo data: run seed_demo first")
        base = options["base_url"].rstrip("/")
        pages = {"manager": reverse("carts:branch-detail", args=[branch.pk]), "admin": reverse("admin:index")}
        links = {
            name: base + reverse("tenants:sign-in-link", args=[create_sign_in_link(user=admin, next_path=page)])
            for name, page in pages.items()
        }
        self.stdout.write(json.dumps({"customer": base + reverse("carts:cart", args=[cart.public_code]), **links}))
