"""“May X do Y to Z, and why” over REST."""

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from core.errors import InvalidInput
from tenants import access
from tenants.explain import explain
from tenants.questions import question_of
from tenants.reasons import words


class ReasonOutput(serializers.Serializer[None]):
    """One reason: its kind for programs, its text in the language asked for, and the grant it is about."""

    kind = serializers.CharField()
    text = serializers.CharField()
    role = serializers.CharField(allow_null=True)
    chain_id = serializers.UUIDField(allow_null=True)
    branch_id = serializers.UUIDField(allow_null=True)
    until = serializers.DateTimeField(allow_null=True)
    ended_at = serializers.DateTimeField(allow_null=True)


class ExplanationOutput(serializers.Serializer[None]):
    """The answer and every reason, in the order in which they count."""

    allowed = serializers.BooleanField()
    reasons = ReasonOutput(many=True)


class ExplainView(APIView):
    """May a person (you, when none is named) do something, to a thing when one is named, and why."""

    @extend_schema(
        operation_id="access_explain",
        tags=["access"],
        parameters=[
            OpenApiParameter("permission", str, required=True, description="`resource:action`"),
            OpenApiParameter("user", OpenApiTypes.UUID),
            OpenApiParameter("kind", str, description="Kind of the thing, like `carts.cart`"),
            OpenApiParameter("id", str, description="Key of the thing"),
        ],
        responses={200: ExplanationOutput},
    )
    def get(self, request: Request) -> Response:
        asker = access.person(request.user)
        asked = question_of(asker, request.query_params, person="user", thing="id")
        if not asked.permission:
            raise InvalidInput(errors={"permission": ["resource:action"]})
        told = explain(asked.person, asked.permission, asked.thing, asker=asker)
        reasons = [
            {
                "kind": reason.kind.value,
                "text": words(reason, told.names),
                "role": reason.held.role if reason.held else None,
                "chain_id": reason.held.chain_id if reason.held else None,
                "branch_id": reason.held.branch_id if reason.held else None,
                "until": reason.held.expires_at if reason.held else None,
                "ended_at": reason.at,
            }
            for reason in told.reasons
        ]
        return Response({"allowed": told.allowed, "reasons": reasons})
