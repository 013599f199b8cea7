"""Chains, branches and people in the admin. One-time codes, sign-in links and tokens are not shown at all."""

from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from allauth.socialaccount.models import SocialAccount, SocialApp, SocialToken
from django.contrib import admin

from tenants.admin import branch, chain, grant, invitation, role, support_access, user

__all__ = ["branch", "chain", "grant", "invitation", "role", "support_access", "user"]

# allauth's own pages know nothing of grants; what staff may do about these rows are buttons on a person's page.
admin.site.unregister([EmailAddress, Authenticator, SocialAccount, SocialApp, SocialToken])
