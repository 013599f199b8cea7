"""Signing in by password and second factor in one step, where there is no browser to lead through pages."""

from allauth.account.models import EmailAddress
from django.contrib.auth.models import update_last_login
from django.db.models import Exists, OuterRef
from django.utils.translation import gettext_lazy as _

from core.errors import DomainError, InvalidInput
from tenants import access
from tenants.models import User
from tenants.services.second_factor import owns_second_factor, use_code
from tenants.sign_in_limits import take_password_try


class WrongSignIn(DomainError):
    """Not this address, password or code; which of them is not said."""

    status = 401
    code = "wrong-sign-in"
    title = _("E-mail address, password or code is wrong")


class SecondFactorRequired(DomainError):
    """The password is right and the account has a second factor."""

    status = 401
    code = "second-factor-required"
    title = _("Give the code of your authenticator app, or a recovery code, as well")


class SecondFactorNotSetUp(DomainError):
    """Staff and managers get no tokens without one."""

    status = 403
    code = "second-factor-missing"
    title = _("Set up a second factor first: sign in with your browser and open your security page")


def sign_in_with_password(*, email: str, password: str, second_factor: str, address: str) -> tuple[User, bool]:
    """The person, and whether they gave a second factor. Takes the same time whatever is wrong.

    `second_factor` is a code of their app or a recovery code, empty when none was typed. Raises `WrongSignIn` (also for
    accounts that are closed or whose address was never verified), `SecondFactorRequired`, `SecondFactorNotSetUp`, and
    `TooMany` or `Unavailable` from the limits.
    """
    take_password_try(name=email, address=address)
    user = _known(email.lower())
    if user is None:
        User().set_password(password)  # as long as a comparison takes
        raise WrongSignIn
    if not user.check_password(password):
        raise WrongSignIn
    given = _give_second_factor(user, second_factor, address)
    update_last_login(User, user)
    return user, given


def _give_second_factor(user: User, code: str, address: str) -> bool:
    if not owns_second_factor(user):
        if access.is_trusted(user):
            raise SecondFactorNotSetUp
        return False
    if not code:
        raise SecondFactorRequired
    try:
        use_code(user=user, code=code, address=address)
    except InvalidInput:
        raise WrongSignIn from None
    return True


def _known(email: str) -> User | None:
    """Whoever may sign in with this address: the account is open and the address verified. One query."""
    verified = EmailAddress.objects.filter(user=OuterRef("pk"), email=OuterRef("email"), verified=True)
    return User.objects.filter(Exists(verified), email=email, is_active=True).first()
