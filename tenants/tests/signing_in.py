"""Signing people in for tests, as their browsers would be after the sign-in pages."""

import time

from django.test import Client

from tenants.models import User
from tenants.requester import METHODS, METHODS_OF


def sign_in(client: Client, user: User, *, second_factor: bool = True, method: str = "password") -> None:
    """A session of this person in the client; with a second factor given, unless told otherwise."""
    client.force_login(user)
    session = client.session
    methods = [method, "mfa"] if second_factor else [method]
    session[METHODS] = [{"method": each, "at": time.time()} for each in methods]
    session[METHODS_OF] = str(user.pk)
    session.save()


def browser_of(user: User, *, second_factor: bool = True) -> Client:
    """A browser in which this person is signed in."""
    client = Client()
    sign_in(client, user, second_factor=second_factor)
    return client
