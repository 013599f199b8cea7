"""Who a session belongs to."""

from typing import Any

from allauth.account.auth_backends import AuthenticationBackend

from tenants.models import User
from tenants.powers import Powers


class Backend(AuthenticationBackend):
    """allauth's. Whoever a session names has no second factor until `tenants.requester` finds that one was given."""

    def get_user(self, user_id: Any) -> User | None:
        user: User | None = super().get_user(user_id)
        if user is not None:
            user.powers = Powers(second_factor=False)
        return user
