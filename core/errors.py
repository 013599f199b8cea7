"""What can go wrong on purpose: one kind of exception that every interface knows how to show."""

from collections.abc import Mapping, Sequence

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

Text = str | Promise


class DomainError(Exception):
    """Refused for a reason the asker can understand. Pages show `title` and `detail`; REST wraps them (RFC 9457)."""

    status: int = 409
    code: str = "conflict"
    title: Text = _("This can't be done now")

    def __init__(
        self,
        detail: Text = "",
        *,
        errors: Mapping[str, Sequence[Text]] | None = None,
        retry_after: int | None = None,
    ) -> None:
        super().__init__(str(detail))
        self.detail = detail
        self.errors = errors or {}
        self.retry_after = retry_after


class NotFound(DomainError):
    """Does not exist for this asker, which another tenant's things don't."""

    status = 404
    code = "not-found"
    title = _("Not found")


class NotAllowed(DomainError):
    """Visible, but not to be touched by this asker."""

    status = 403
    code = "not-allowed"
    title = _("You may not do this")


class InvalidInput(DomainError):
    """The request itself is wrong."""

    status = 400
    code = "invalid"
    title = _("Please check what you entered")


class TooLarge(DomainError):
    """More than anybody sends here in earnest."""

    status = 413
    code = "too-large"
    title = _("This is too large to send")


class TooMany(DomainError):
    """A limit was reached; `retry_after` says for how many seconds."""

    status = 429
    code = "too-many"
    title = _("Too many tries")


class Unavailable(DomainError):
    """Something this needs does not work right now."""

    status = 503
    code = "unavailable"
    title = _("This does not work right now")
