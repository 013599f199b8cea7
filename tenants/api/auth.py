"""One-time codes and tokens over REST."""

from django.utils.translation import get_language
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from core.addresses import client_address
from tenants.phones import ascii_digits, normalise_phone
from tenants.services import issue_tokens, otp, refresh_tokens


class OtpRequestInput(serializers.Serializer[None]):
    """A phone in any spelling; without a country code it is read as one of `region`."""

    phone = serializers.CharField(max_length=32)
    region = serializers.CharField(max_length=2, default="IL")


class OtpVerifyInput(OtpRequestInput):
    """The code as typed."""

    code = serializers.CharField(max_length=12)


class RefreshInput(serializers.Serializer[None]):
    """A refresh token."""

    refresh = serializers.CharField(max_length=200)


class SentOutput(serializers.Serializer[None]):
    """When another code may be asked for, and until when this one works."""

    resend_in_s = serializers.IntegerField()
    expires_in_s = serializers.IntegerField()


class TokenPairOutput(serializers.Serializer[None]):
    """Bearer token and what it is renewed with."""

    access = serializers.CharField()
    refresh = serializers.CharField()


class OtpRequestView(APIView):
    """Send a code."""

    authentication_classes = ()
    permission_classes = (AllowAny,)

    @extend_schema(request=OtpRequestInput, responses={202: SentOutput}, operation_id="otp_request", tags=["auth"])
    def post(self, request: Request) -> Response:
        data = _valid(OtpRequestInput, request)
        phone = normalise_phone(data["phone"], data["region"])
        otp.request_otp(
            phone=phone,
            binding=otp.API_BINDING,
            address=client_address(request._request),
            language=get_language() or "en",
            host=request._request.get_host().partition(":")[0],
        )
        waits = {
            "resend_in_s": int(otp.RESEND_AFTER.total_seconds()),
            "expires_in_s": int(otp.LIFETIME.total_seconds()),
        }
        return Response(waits, status=202)


class OtpVerifyView(APIView):
    """Exchange a code for tokens (access: 30 days for customers)."""

    authentication_classes = ()
    permission_classes = (AllowAny,)

    @extend_schema(request=OtpVerifyInput, responses={200: TokenPairOutput}, operation_id="otp_verify", tags=["auth"])
    def post(self, request: Request) -> Response:
        data = _valid(OtpVerifyInput, request)
        phone = normalise_phone(data["phone"], data["region"])
        customer = otp.sign_in_with_code(
            phone=phone,
            code=ascii_digits(data["code"]),
            binding=otp.API_BINDING,
            address=client_address(request._request),
            language=get_language() or "en",
        )
        pair = issue_tokens(customer, second_factor=False)
        return Response({"access": pair.access, "refresh": pair.refresh})


class RefreshView(APIView):
    """Exchange a refresh token for a new pair; each works once."""

    authentication_classes = ()
    permission_classes = (AllowAny,)

    @extend_schema(request=RefreshInput, responses={200: TokenPairOutput}, operation_id="token_refresh", tags=["auth"])
    def post(self, request: Request) -> Response:
        pair = refresh_tokens(refresh=_valid(RefreshInput, request)["refresh"])
        return Response({"access": pair.access, "refresh": pair.refresh})


def _valid(serializer_class: type[serializers.Serializer[None]], request: Request) -> dict[str, str]:
    serializer = serializer_class(data=request.data)
    serializer.is_valid(raise_exception=True)
    return dict(serializer.validated_data)
