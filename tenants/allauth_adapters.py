"""What allauth leaves to us: where people go, how mail is sent, how secrets are kept, who may sign up."""

from allauth.account.adapter import DefaultAccountAdapter
from allauth.mfa.adapter import DefaultMFAAdapter
from allauth.socialaccount.adapter import DefaultSocialAccountAdapter

from core.secrets import decrypt, encrypt

MFA_PLACE = "mfa.authenticator.data"


class AccountAdapter(DefaultAccountAdapter):
    """Accounts known by e-mail."""


class MfaAdapter(DefaultMFAAdapter):
    """Second factors; their secrets are encrypted with the field keys."""

    def encrypt(self, text: str) -> str:
        return encrypt(text, place=MFA_PLACE)

    def decrypt(self, encrypted_text: str) -> str:
        return decrypt(encrypted_text, place=MFA_PLACE)


class SocialAccountAdapter(DefaultSocialAccountAdapter):
    """Accounts of Google."""
