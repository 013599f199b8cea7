"""People with something in every table that tells of people."""

from dataclasses import dataclass
from datetime import timedelta
from uuid import uuid4

from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from allauth.socialaccount.models import SocialAccount
from django.contrib.admin.models import CHANGE, LogEntry
from django.test import Client
from django.utils import timezone

from carts.enums import RentalStatus
from carts.models import Rental
from carts.tests.factories import make_cart, make_rental
from core import audit
from tenants.models import (
    Branch,
    BrowserSession,
    Chain,
    Grant,
    Invitation,
    OtpChallenge,
    PersonalToken,
    Registration,
    Role,
    SupportAccess,
    User,
)
from tenants.services import create_sign_in_link, grant_role, issue_tokens
from tenants.tests.factories import make_phone, make_user
from tenants.tests.signing_in import sign_in


@dataclass(frozen=True, slots=True)
class Known:
    """A person, what the tables say about them (`marks`), a rental of theirs that ended, and their browser."""

    user: User
    marks: tuple[str, ...]
    rental: Rental
    browser: Client


def make_known(name: str, *, branch: Branch, staff: User) -> Known:
    """Somebody called `name`, with rows in every table that tells of people; every value of theirs holds a mark."""
    now, later = timezone.now(), timezone.now() + timedelta(days=3)
    email, other, phone = f"{name}@example.com", f"{name}.other@example.com", make_phone()
    user = make_user(email=email, phone=phone, name=f"{name} Levi")
    EmailAddress.objects.create(user=user, email=email, verified=True, primary=True)
    EmailAddress.objects.create(user=user, email=other, verified=True)
    role = Role.objects.get(code="branch_manager")
    for address in (email, other.upper()):
        Invitation.objects.create(
            token_hash=uuid4().hex, email=address, name=f"{name} invited", role=role, branch=branch, expires_at=later
        )
    Registration.objects.create(email=email, password="!", name=f"{name} asked", language="en", expires_at=later)
    OtpChallenge.objects.create(phone=phone, binding="api", code_hmac="secret-hmac", expires_at=later)
    PersonalToken.objects.create(
        user=user, name=f"{name}'s script", token_hash=uuid4().hex, hint="xyz", scopes=["carts:view"], expires_at=later
    )
    SocialAccount.objects.create(user=user, provider="google", uid=f"{name}-uid", extra_data={"n": f"{name} G"})
    Authenticator.objects.create(user=user, type="totp", data={"secret": f"{name}-seed"})
    issue_tokens(user, second_factor=True)
    create_sign_in_link(user=user, next_path="/")
    browser = Client(headers={"User-Agent": f"{name}-browser"})
    sign_in(browser, user)
    BrowserSession.objects.filter(user=user).update(user_agent=f"{name}-browser", address="192.0.2.7", seen_at=now)
    with audit.origin(audit.Origin(address="192.0.2.7")):
        grant_role(user=user, role="customer", branch=branch)
        audit.record(f"{name} looked", user, actor=user)
    rental = make_rental(
        cart=make_cart(branch=branch), customer=user, status=RentalStatus.RETURNED, notes=f"{name} was late"
    )
    SupportAccess.objects.create(staff=user, chain=branch.chain, reason=f"{name} asked why", ends_at=later)
    grant = Grant.objects.filter(user=user).get()
    LogEntry.objects.log_actions(staff.pk, [user], CHANGE, f"[{name}]", single_object=True)
    LogEntry.objects.log_actions(staff.pk, [grant], CHANGE, "", single_object=True)
    LogEntry.objects.log_actions(user.pk, [branch], CHANGE, f"by {email}", single_object=True)
    return Known(user=user, marks=(name, phone), rental=rental, browser=browser)


def age(chain: Chain, days: int) -> None:
    """Let what happened in a chain's shops have happened so many days earlier."""
    by = timedelta(days=days)
    for rental in Rental.objects.filter(branch__chain=chain):
        rental.created_at -= by
        rental.start_time = rental.start_time and rental.start_time - by
        rental.actual_return = rental.actual_return and rental.actual_return - by
        rental.save()
