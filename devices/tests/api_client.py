"""REST as a person with an access token."""

from typing import Any

from django.http import HttpResponse
from django.test import Client

from tenants.models import User
from tenants.services.sessions import issue_access_token


class Api:
    """Somebody's program; nobody's when `user` is None. Paths go below `/api/`."""

    def __init__(self, user: User | None) -> None:
        self._headers = {"Authorization": f"Bearer {issue_access_token(user, second_factor=True)}"} if user else {}

    def get(self, path: str, **query: Any) -> HttpResponse:
        return Client().get(f"/api/{path}", query, headers=self._headers)

    def post(self, path: str, body: Any = None, *, key: str | None = None) -> HttpResponse:
        """`key`: the `Idempotency-Key`."""
        headers = self._headers | ({"Idempotency-Key": key} if key is not None else {})
        return Client().post(f"/api/{path}", body or {}, content_type="application/json", headers=headers)

    def put(self, path: str, body: Any) -> HttpResponse:
        return Client().put(f"/api/{path}", body, content_type="application/json", headers=self._headers)
