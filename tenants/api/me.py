"""Who is asking, and what they may do where."""

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.permissions import IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from tenants import access
from tenants.api.authentication import MayChangeAccount
from tenants.enums import GrantScope, Languages
from tenants.models import User
from tenants.powers import Held
from tenants.services import update_profile


class ProfileInput(serializers.Serializer[None]):
    """What people may change about themselves; what is left out stays."""

    name = serializers.CharField(max_length=255, required=False, allow_blank=True)
    language = serializers.ChoiceField(choices=Languages.choices, required=False)


class HeldOutput(serializers.Serializer[None]):
    """A role held in one place, with what of it counts the way this request came in."""

    role = serializers.CharField()
    scope = serializers.ChoiceField(choices=GrantScope.choices)
    chain = serializers.UUIDField(allow_null=True)
    branch = serializers.UUIDField(allow_null=True)
    permissions = serializers.ListField(child=serializers.CharField())
    expires_at = serializers.DateTimeField(allow_null=True)


class MeOutput(serializers.Serializer[None]):
    """The person, and what this way in is worth.

    `second_factor`: without one staff and managers hold what customers hold. `scopes`: a personal token's. `acting`:
    who acts as this person. `seen_as`: the role everything is looked at as, which changes nothing.
    """

    id = serializers.UUIDField()
    email = serializers.EmailField(allow_null=True)
    phone = serializers.CharField(allow_null=True)
    name = serializers.CharField()
    language = serializers.ChoiceField(choices=Languages.choices)
    second_factor = serializers.BooleanField()
    scopes = serializers.ListField(child=serializers.CharField(), allow_null=True)
    acting = serializers.UUIDField(allow_null=True)
    seen_as = serializers.CharField(allow_null=True)
    grants = HeldOutput(many=True)


class MeView(APIView):
    """The person who asks. Programs of theirs may look, too; only they themselves change it."""

    def get_permissions(self) -> list[Any]:
        return [IsAuthenticated() if self.request.method in ("GET", "HEAD", "OPTIONS") else MayChangeAccount()]

    @extend_schema(responses={200: MeOutput}, operation_id="me", tags=["auth"])
    def get(self, request: Request) -> Response:
        return Response(MeOutput(_described(access.person(request.user))).data)  # type: ignore[arg-type]

    @extend_schema(request=ProfileInput, responses={200: MeOutput}, operation_id="me_change", tags=["auth"])
    def patch(self, request: Request) -> Response:
        user = access.person(request.user)
        changes = ProfileInput(data=request.data)
        changes.is_valid(raise_exception=True)
        update_profile(user=user, **{"name": user.name, "language": user.language, **changes.validated_data})
        return Response(MeOutput(_described(user)).data)  # type: ignore[arg-type]


def _described(user: User) -> dict[str, Any]:
    powers = user.powers
    return {
        "id": user.pk,
        "email": user.email,
        "phone": user.masked_phone or None if powers.behind else user.phone,
        "name": user.name,
        "language": user.language,
        "second_factor": powers.second_factor,
        "scopes": None if powers.scopes is None else sorted(powers.scopes),
        "acting": powers.behind,
        "seen_as": powers.seen_as.role if powers.seen_as else None,
        "grants": [_held(each, powers.scopes) for each in access.grants_of(user)],
    }


def _held(held: Held, scopes: frozenset[str] | None) -> dict[str, Any]:
    permissions = held.permissions
    if scopes is not None:
        # Either side may say more with a star than the other.
        permissions = frozenset(
            {each for each in scopes if access.permits(held.permissions, each)}
            | {each for each in held.permissions if access.permits(scopes, each)}
        )
    return {
        "role": held.role,
        "scope": access.scope_of(held),
        "chain": held.chain_id,
        "branch": held.branch_id,
        "permissions": sorted(permissions),
        "expires_at": held.expires_at,
    }
