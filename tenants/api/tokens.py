"""Personal tokens over REST: made, listed and revoked by the person themselves."""

from uuid import UUID

from django.db.models import QuerySet
from django.shortcuts import get_object_or_404
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.generics import ListAPIView
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from tenants.access import person
from tenants.api.authentication import MayChangeAccount
from tenants.api.proof import require_proof
from tenants.models import PersonalToken
from tenants.services.personal_tokens import (
    create_personal_token,
    require_themselves,
    revoke_personal_token,
    tokens_of,
)


class PersonalTokenInput(serializers.Serializer[None]):
    """Scopes are permissions `resource:action` that you hold; the end is at most a year away.

    `second_factor` is a code of your authenticator app or a recovery code, unless you gave one in the last ten minutes.
    """

    name = serializers.CharField(max_length=80)
    scopes = serializers.ListField(child=serializers.CharField(max_length=60), min_length=1, max_length=50)
    expires_at = serializers.DateTimeField()
    second_factor = serializers.CharField(max_length=32, required=False, allow_blank=True, default="")


class PersonalTokenOutput(serializers.ModelSerializer[PersonalToken]):
    """A token without its secret; `hint` is how that ends."""

    class Meta:
        model = PersonalToken
        fields = ["id", "name", "hint", "scopes", "created_at", "expires_at", "last_used_at"]


class NewPersonalTokenOutput(PersonalTokenOutput):
    """A token with its secret, which is shown this once."""

    token = serializers.CharField()

    class Meta(PersonalTokenOutput.Meta):
        fields = [*PersonalTokenOutput.Meta.fields, "token"]


class TokenListView(ListAPIView[PersonalToken]):
    """Your tokens that were not revoked."""

    permission_classes = (MayChangeAccount,)
    serializer_class = PersonalTokenOutput
    queryset = PersonalToken.objects.none()  # what the OpenAPI document is made from

    def get_queryset(self) -> QuerySet[PersonalToken]:
        return tokens_of(person(self.request.user))

    @extend_schema(operation_id="token_list", tags=["auth"])
    def get(self, request: Request, *args: object, **kwargs: object) -> Response:
        return super().get(request, *args, **kwargs)

    @extend_schema(
        request=PersonalTokenInput, responses={201: NewPersonalTokenOutput}, operation_id="token_create", tags=["auth"]
    )
    def post(self, request: Request) -> Response:
        """Make a token for a program. It may never do more than you may, and dies with your account.

        `proof-required` (403): your sign-in is older than ten minutes. Send a code as `second_factor`; without a second
        factor, sign in again.
        """
        serializer = PersonalTokenInput(data=request.data)
        serializer.is_valid(raise_exception=True)
        data = dict(serializer.validated_data)
        user = person(request.user)
        require_themselves(user)
        require_proof(request, second_factor=data.pop("second_factor"))
        token, secret = create_personal_token(user=user, **data)
        return Response({**PersonalTokenOutput(token).data, "token": secret}, status=201)


class TokenDetailView(APIView):
    """One of your tokens."""

    permission_classes = (MayChangeAccount,)

    @extend_schema(responses={204: None}, operation_id="token_revoke", tags=["auth"])
    def delete(self, request: Request, token_id: UUID) -> Response:
        """Revoke a token: its next use is refused."""
        user = person(request.user)
        revoke_personal_token(token=get_object_or_404(tokens_of(user), pk=token_id), actor=user)
        return Response(status=204)
