"""`manage.py issue_token --email a@example.com [--role manager] [--branch BRANCH-001]`."""

from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from tenants.enums import ROLE_SCOPES, GrantScope, RoleCode
from tenants.models import Branch
from tenants.services import ensure_user, grant_role
from tenants.services.sessions import issue_access_token


class Command(BaseCommand):
    """Prints an access token of a person, made when missing. For scripts and trials; refused in production."""

    help = __doc__

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--email", required=True)
        parser.add_argument("--role", choices=RoleCode.values)
        parser.add_argument("--branch", help="The branch's code; chain roles are given on its chain.")

    def handle(self, *args: Any, **options: Any) -> None:
        if settings.PRODUCTION:
            raise CommandError("issue_token is refused in production: people sign in, programs get their own tokens")
        user = ensure_user(email=options["email"])
        if role := options["role"]:
            branch = None
            if options["branch"]:
                branch = Branch.objects.select_related("chain").filter(code=options["branch"]).first()
                if branch is None:
                    raise CommandError(f"no branch has the code {options['branch']}")
            scopes = ROLE_SCOPES[role]
            if branch and GrantScope.BRANCH in scopes:
                grant_role(user=user, role=role, branch=branch)
            elif branch and GrantScope.CHAIN in scopes:
                grant_role(user=user, role=role, chain=branch.chain)
            elif GrantScope.PLATFORM in scopes:
                grant_role(user=user, role=role)
            else:
                raise CommandError(f"--role {role} needs --branch")
        self.stdout.write(issue_access_token(user, second_factor=True))
