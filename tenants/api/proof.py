"""What a client must have proved a moment ago before it changes how its person signs in, as pages ask for it."""

from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from rest_framework.request import Request

from core.addresses import client_address
from core.errors import InvalidInput, NotAllowed
from tenants import access
from tenants.access import person
from tenants.middleware import SecondFactorMissing
from tenants.models import User
from tenants.proof import missing_proof
from tenants.requester import RECENTLY
from tenants.services.second_factor import owns_second_factor, use_code
from tenants.services.sessions import proved_at


class ProofRequired(NotAllowed):
    """The sign-in lies too far back, or lacks the second factor."""

    code = "proof-required"
    title = _("Confirm that it is you")


def require_second_factor(user: User) -> None:
    """Raise `SecondFactorMissing`, as for pages, for staff and managers who came in without theirs."""
    if access.is_trusted(user) and not user.powers.second_factor:
        raise SecondFactorMissing


def require_proof(request: Request, *, second_factor: str) -> None:
    """A code of the person's second factor, used up here, or a sign-in within `RECENTLY`, but not by phone alone.

    Who has a second factor must have given it with that sign-in. Raises `ProofRequired`, `InvalidInput` for a wrong
    code, and `TooMany` or `Unavailable` from the limits.
    """
    user = person(request.user)
    owns = owns_second_factor(user)
    if owns and second_factor:
        try:
            use_code(user=user, code=second_factor, address=client_address(request._request))
        except InvalidInput as error:
            raise InvalidInput(errors={"second_factor": error.errors["code"]}) from None
    elif not _signed_in_recently(request, user, owns=owns):
        raise ProofRequired(
            _("Send a code of your authenticator app, or a recovery code, as second_factor.")
            if owns
            else _("Sign in again first, and do this within ten minutes.")
        )


def _signed_in_recently(request: Request, user: User, *, owns: bool) -> bool:
    if not isinstance(request.auth, str):
        return missing_proof(request._request.session, user) is None
    proved = proved_at(request.auth)
    recent = proved is not None and timezone.now() - proved <= RECENTLY
    return recent and (user.powers.second_factor or not owns)
