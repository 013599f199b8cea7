"""Codes by mail: whoever types one reads that mail, which proves the address while it is still the account's."""

from typing import Any

from allauth.account import views as account
from allauth.account.internal.flows.login_by_code import LoginCodeVerificationProcess
from allauth.account.internal.flows.password_reset_by_code import PasswordResetVerificationProcess
from django.http import HttpResponse

from core.errors import InvalidInput
from tenants.models import User
from tenants.services.accounts import prove_address, require_still_theirs
from tenants.views.ways_in import way_in


class ConfirmSignInCode(account.ConfirmLoginCodeView):
    """Whoever typed the code reads that mail, and did not have to know the password."""

    def form_valid(self, form: Any) -> HttpResponse:
        user = _recipient(self._process)
        if user.is_active:
            prove_address(user=user, email=self._process.state["email"], keep_password=False)
        answer: HttpResponse = super().form_valid(form)
        return answer


class ConfirmResetCode(account.ConfirmPasswordResetCodeView):
    """The same, of whoever forgot the password; an address that staff had set is proved by it too."""

    def form_valid(self, form: Any) -> HttpResponse:
        prove_address(user=_recipient(self._process), email=self._process.state["email"], keep_password=False)
        answer: HttpResponse = super().form_valid(form)
        return answer


class CompleteReset(account.CompletePasswordResetView):
    """The new password, of whoever still reads the mail of that account."""

    def form_valid(self, form: Any) -> HttpResponse:
        _recipient(self._process)
        answer: HttpResponse = super().form_valid(form)
        return answer


def _recipient(process: LoginCodeVerificationProcess | PasswordResetVerificationProcess) -> User:
    """Whose mail the code went to. Raises `InvalidInput`, and ends what was begun, when that is not theirs any more."""
    user: User = process.user
    try:
        require_still_theirs(user, process.state["email"])
    except InvalidInput:
        process.abort()
        raise
    return user


confirm_sign_in = way_in(ConfirmSignInCode.as_view())
confirm_reset = way_in(ConfirmResetCode.as_view())
complete_reset = way_in(CompleteReset.as_view())
