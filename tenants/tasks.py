"""Jobs about people."""

from datetime import timedelta

from celery import shared_task

from core.schedule import periodic
from tenants import services
from tenants.services.accounts import forget_unproved_accounts
from tenants.services.links import forget_old_links
from tenants.services.otp import forget_old_challenges, warn_of_unused_codes
from tenants.services.registration import forget_old_registrations
from tenants.services.retention import sweep_retention as forget_what_is_old
from tenants.services.sessions import forget_old_sessions, forget_old_tokens

periodic("tenants.sweep_sign_in", timedelta(days=1))
periodic("tenants.sweep_expired_grants", timedelta(minutes=1))
periodic("tenants.sweep_retention", timedelta(days=1))


@shared_task(name="tenants.sweep_sign_in")
def sweep_sign_in() -> None:
    """Forget codes, accounts nobody proved, links, sessions and tokens that can't be used any more.

    Logs before that whether most codes by SMS went unused.
    """
    warn_of_unused_codes()
    forget_old_challenges()
    forget_old_registrations()
    forget_unproved_accounts()
    forget_old_links()
    forget_old_tokens()
    forget_old_sessions()


@shared_task(name="tenants.sweep_expired_grants")
def sweep_expired_grants() -> None:
    """End what ran out, and the sessions that leaned on it."""
    services.sweep_expired_grants()


@shared_task(name="tenants.sweep_retention")
def sweep_retention() -> int:
    """Forget people and invitations that were kept long enough."""
    return forget_what_is_old()
