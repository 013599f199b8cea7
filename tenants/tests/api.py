"""A person as a program that calls the REST API."""

from typing import Any

from django.test import Client

from tenants.models import User
from tenants.services.sessions import issue_access_token


def client_of(user: User | None) -> Client:
    """A client with the person's bearer token; without a person, with none."""
    headers = {"Authorization": f"Bearer {issue_access_token(user, second_factor=True)}"} if user else {}
    return Client(headers=headers)


def problem(response: Any, status: int) -> dict[str, list[str]]:
    """The fields an error names, when it is the one envelope with that status."""
    body = response.json()
    assert (response.status_code, body["status"]) == (status, status), body
    assert response["Content-Type"] == "application/problem+json"
    assert body["request_id"] == response["X-Request-Id"]
    errors: dict[str, list[str]] = body["errors"]
    return errors
