"""Registering, signing in and out, and tokens of sessions over REST."""

from typing import Any
from uuid import uuid4

from django.contrib.auth import logout
from django.utils.translation import get_language
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from core.addresses import client_address
from tenants.access import person
from tenants.api.authentication import IsThemselves
from tenants.api.proof import require_second_factor
from tenants.enums import Languages
from tenants.phones import ascii_digits, normalise_phone
from tenants.services import issue_tokens, otp, refresh_tokens, registration
from tenants.services.sessions import TokenPair, sign_out
from tenants.services.sign_in import sign_in_with_password

LONGEST_PASSWORD = 256


class OtpRequestInput(serializers.Serializer[None]):
    """A phone in any spelling; without a country code it is read as one of `region`."""

    phone = serializers.CharField(max_length=32)
    region = serializers.CharField(max_length=2, default="IL")


class OtpVerifyInput(OtpRequestInput):
    """The code as typed, the phone it was sent to and the `challenge` of the answer to that request."""

    challenge = serializers.UUIDField()
    code = serializers.CharField(max_length=12)


class RegistrationInput(serializers.Serializer[None]):
    """What an account begins with. Without a language it is the request's."""

    email = serializers.EmailField(max_length=254)
    password = serializers.CharField(max_length=LONGEST_PASSWORD, trim_whitespace=False)
    name = serializers.CharField(max_length=255, required=False, allow_blank=True, default="")
    language = serializers.ChoiceField(choices=Languages.choices, required=False)


class VerifyInput(serializers.Serializer[None]):
    """Which registration, and the code that was mailed for it."""

    registration = serializers.UUIDField()
    code = serializers.CharField(max_length=12)


class LoginInput(serializers.Serializer[None]):
    """`second_factor` is a code of an authenticator app or a recovery code, where the account has a second factor."""

    email = serializers.EmailField(max_length=254)
    password = serializers.CharField(max_length=LONGEST_PASSWORD, trim_whitespace=False)
    second_factor = serializers.CharField(max_length=32, required=False, allow_blank=True, default="")


class RefreshInput(serializers.Serializer[None]):
    """A refresh token."""

    refresh = serializers.CharField(max_length=200)


class LogoutInput(serializers.Serializer[None]):
    """A refresh token of the same person to end as well; `everywhere`: all sessions and tokens but personal ones.

    For `everywhere` staff and managers need their second factor.
    """

    refresh = serializers.CharField(max_length=200, required=False, allow_blank=True, default="")
    everywhere = serializers.BooleanField(required=False, default=False)


class SentOutput(serializers.Serializer[None]):
    """What to verify with the code; when another may be asked for, and until when this one works."""

    challenge = serializers.UUIDField()
    resend_in_s = serializers.IntegerField()
    expires_in_s = serializers.IntegerField()


class AskedForOutput(serializers.Serializer[None]):
    """What to verify with the mailed code, and until when. The same whether or not the address has an account."""

    registration = serializers.UUIDField()
    expires_in_s = serializers.IntegerField()


class TokenPairOutput(serializers.Serializer[None]):
    """Bearer token and what it is renewed with."""

    access = serializers.CharField()
    refresh = serializers.CharField()


class OpenView(APIView):
    """For everyone: whoever comes here wants to become somebody."""

    authentication_classes = ()
    permission_classes = (AllowAny,)


class OtpRequestView(OpenView):
    """Send a code. Only whoever has the `challenge` of the answer can use it; the codes of others stay as they are."""

    @extend_schema(request=OtpRequestInput, responses={202: SentOutput}, operation_id="otp_request", tags=["auth"])
    def post(self, request: Request) -> Response:
        data = _valid(OtpRequestInput, request)
        phone = normalise_phone(data["phone"], data["region"])
        challenge = uuid4()
        otp.request_otp(
            phone=phone,
            binding=otp.binding_of(challenge),
            address=client_address(request._request),
            language=get_language() or "en",
            host=request._request.get_host().partition(":")[0],
        )
        asked = {
            "challenge": challenge,
            "resend_in_s": int(otp.RESEND_AFTER.total_seconds()),
            "expires_in_s": int(otp.LIFETIME.total_seconds()),
        }
        return Response(asked, status=202)


class OtpVerifyView(OpenView):
    """Exchange a code for tokens (access: 30 days for customers)."""

    @extend_schema(request=OtpVerifyInput, responses={200: TokenPairOutput}, operation_id="otp_verify", tags=["auth"])
    def post(self, request: Request) -> Response:
        data = _valid(OtpVerifyInput, request)
        phone = normalise_phone(data["phone"], data["region"])
        customer = otp.sign_in_with_code(
            phone=phone,
            code=ascii_digits(data["code"]),
            binding=otp.binding_of(data["challenge"]),
            address=client_address(request._request),
            language=get_language() or "en",
        )
        return _tokens(issue_tokens(customer, second_factor=False, by_phone=True))


class RegisterView(OpenView):
    """Ask for an account. A code goes to the address; one that has an account gets a mail that says so instead."""

    @extend_schema(request=RegistrationInput, responses={202: AskedForOutput}, operation_id="register", tags=["auth"])
    def post(self, request: Request) -> Response:
        data = {"language": get_language() or "en", **_valid(RegistrationInput, request)}
        asked = registration.request_registration(**data, address=client_address(request._request))
        lifetime = int(registration.LIFETIME.total_seconds())
        return Response({"registration": asked.pk, "expires_in_s": lifetime}, status=202)


class VerifyView(OpenView):
    """Begin the account with the mailed code, and sign in."""

    @extend_schema(request=VerifyInput, responses={200: TokenPairOutput}, operation_id="register_verify", tags=["auth"])
    def post(self, request: Request) -> Response:
        data = _valid(VerifyInput, request)
        user = registration.verify_registration(
            registration_id=data["registration"],
            code=ascii_digits(data["code"]),
            address=client_address(request._request),
        )
        return _tokens(issue_tokens(user, second_factor=False))


class LoginView(OpenView):
    """Sign in with e-mail address and password. Access lasts 60 minutes for staff and managers, 30 days for customers.

    `second-factor-required` (401): send the code as well. `second-factor-missing` (403): staff and managers set a
    second factor up in the browser first.
    """

    @extend_schema(request=LoginInput, responses={200: TokenPairOutput}, operation_id="login", tags=["auth"])
    def post(self, request: Request) -> Response:
        data = _valid(LoginInput, request)
        user, given = sign_in_with_password(**data, address=client_address(request._request))
        return _tokens(issue_tokens(user, second_factor=given))


class RefreshView(OpenView):
    """Exchange a refresh token for a new pair; each works once."""

    @extend_schema(request=RefreshInput, responses={200: TokenPairOutput}, operation_id="token_refresh", tags=["auth"])
    def post(self, request: Request) -> Response:
        return _tokens(refresh_tokens(refresh=_valid(RefreshInput, request)["refresh"]))


class LogoutView(APIView):
    """Sign out: the access token that asks, its refresh tokens and, in a browser, the session end at once."""

    permission_classes = (IsThemselves,)

    @extend_schema(request=LogoutInput, responses={204: None}, operation_id="logout", tags=["auth"])
    def post(self, request: Request) -> Response:
        data = _valid(LogoutInput, request)
        token = request.auth if isinstance(request.auth, str) else None
        user = person(request.user)
        if data["everywhere"]:
            require_second_factor(user)
        sign_out(user=user, access_token=token, **data)
        if token is None:
            logout(request._request)
        return Response(status=204)


def _tokens(pair: TokenPair) -> Response:
    return Response({"access": pair.access, "refresh": pair.refresh})


def _valid(serializer_class: type[serializers.Serializer[None]], request: Request) -> dict[str, Any]:
    serializer = serializer_class(data=request.data)
    serializer.is_valid(raise_exception=True)
    return dict(serializer.validated_data)
