"""What is personal in the rows of libraries: addresses, second factors, accounts elsewhere, the admin's own log."""

from allauth.account.models import EmailAddress, EmailConfirmation
from allauth.mfa.models import Authenticator
from allauth.socialaccount.models import SocialAccount, SocialToken
from django.contrib.admin.models import LogEntry
from django.contrib.contenttypes.models import ContentType
from django.db.models import Q

from core.privacy import Personal, declare
from tenants.models import User


def scrub_admin_log(person: User) -> None:
    """What the admin called this person when it noted what was done to them; who did it stays."""
    own = ContentType.objects.get_for_model(User)
    named = Q(content_type=own, object_id=str(person.pk))
    for name in (*person.proved_addresses, person.phone, person.masked_phone):
        if name:
            named |= Q(object_repr__icontains=name) | Q(change_message__icontains=name)
    LogEntry.objects.filter(named).update(object_repr="", change_message="")


declare(
    EmailAddress,
    Personal(fields=frozenset({"email"}), subjects=("user",), told=("email", "verified", "primary")),
)
declare(EmailConfirmation, Personal(subjects=("email_address__user",), told=("created", "sent")))
declare(Authenticator, Personal(subjects=("user",), told=("type", "created_at", "last_used_at")))
declare(
    SocialAccount,
    Personal(
        fields=frozenset({"uid", "extra_data"}),
        subjects=("user",),
        told=("provider", "uid", "extra_data", "date_joined", "last_login"),
    ),
)
declare(SocialToken, Personal(subjects=("account__user",), told=("expires_at",)))
declare(
    LogEntry,
    Personal(
        fields=frozenset({"object_repr", "change_message"}),
        subjects=("user",),
        told=("action_time", "action_flag", "content_type__model"),
        on_erasure=scrub_admin_log,
    ),
)
