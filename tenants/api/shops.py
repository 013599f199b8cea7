"""Chains and branches over REST."""

from typing import Any

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework import generics, serializers
from rest_framework.request import Request

from core.errors import NotAllowed, NotFound
from tenants import access
from tenants.models import Branch, Chain
from tenants.selectors import branches_visible_to, chains_visible_to
from tenants.services import shops


class ChainSerializer(serializers.ModelSerializer[Chain]):
    """A chain."""

    class Meta:
        model = Chain
        fields = ("id", "name", "slug", "active", "created_at")
        read_only_fields = ("id", "created_at")
        extra_kwargs: dict[str, Any] = {"slug": {"validators": []}}


class BranchSerializer(serializers.ModelSerializer[Branch]):
    """A branch; positions in degrees (WGS 84)."""

    chain_id = serializers.UUIDField()

    class Meta:
        model = Branch
        fields = (
            "id",
            "chain_id",
            "code",
            "name",
            "address",
            "city",
            "latitude",
            "longitude",
            "time_zone",
            "rental_minutes",
            "active",
            "created_at",
        )
        read_only_fields = ("id", "created_at")
        extra_kwargs: dict[str, Any] = {"code": {"validators": []}}


@extend_schema_view(
    get=extend_schema(operation_id="chain_list", tags=["chains"]),
    post=extend_schema(operation_id="chain_create", tags=["chains"]),
)
class ChainListView(generics.ListCreateAPIView[Chain]):
    """List the chains you may see; create one."""

    serializer_class = ChainSerializer
    filterset_fields = ("slug", "active")

    def get_queryset(self) -> QuerySet[Chain]:
        return chains_visible_to(self.request.user)

    def perform_create(self, serializer: serializers.BaseSerializer[Chain]) -> None:
        # A new chain is in no place somebody could hold it for.
        if not access.reach(self.request.user, "chains:add").everywhere:
            raise NotAllowed
        serializer.instance = shops.create_chain(actor=self.request.user, **serializer.validated_data)


@extend_schema_view(
    get=extend_schema(operation_id="chain_detail", tags=["chains"]),
    put=extend_schema(operation_id="chain_update", tags=["chains"]),
    delete=extend_schema(operation_id="chain_delete", tags=["chains"]),
)
class ChainDetailView(generics.RetrieveUpdateDestroyAPIView[Chain]):
    """One chain."""

    serializer_class = ChainSerializer
    http_method_names = ["get", "put", "delete", "head", "options"]
    lookup_url_kwarg = "chain_id"

    def get_queryset(self) -> QuerySet[Chain]:
        return chains_visible_to(self.request.user)

    def perform_update(self, serializer: serializers.BaseSerializer[Chain]) -> None:
        _require(self.request, "chains:change", serializer.instance)
        serializer.instance = shops.update_chain(
            chain=self.get_object(), actor=self.request.user, **serializer.validated_data
        )

    def perform_destroy(self, instance: Chain) -> None:
        _require(self.request, "chains:delete", instance)
        shops.delete_chain(chain=instance, actor=self.request.user)


@extend_schema_view(
    get=extend_schema(operation_id="branch_list", tags=["branches"]),
    post=extend_schema(operation_id="branch_create", tags=["branches"]),
)
class BranchListView(generics.ListCreateAPIView[Branch]):
    """List the branches you may see, by chain; create one."""

    serializer_class = BranchSerializer
    filterset_fields = ("chain", "code", "city", "active")

    def get_queryset(self) -> QuerySet[Branch]:
        return branches_visible_to(self.request.user)

    def perform_create(self, serializer: serializers.BaseSerializer[Branch]) -> None:
        chain = chains_visible_to(self.request.user).filter(pk=serializer.validated_data["chain_id"]).first()
        if chain is None:
            raise NotFound
        _require(self.request, "branches:add", chain)
        serializer.instance = shops.create_branch(actor=self.request.user, **serializer.validated_data)


@extend_schema_view(get=extend_schema(operation_id="branch_detail", tags=["branches"]))
class BranchDetailView(generics.RetrieveAPIView[Branch]):
    """One branch."""

    serializer_class = BranchSerializer
    lookup_url_kwarg = "branch_id"

    def get_queryset(self) -> QuerySet[Branch]:
        return branches_visible_to(self.request.user)


def _require(request: Request, permission: str, thing: object) -> None:
    if not access.may(request.user, permission, thing):
        raise NotAllowed
