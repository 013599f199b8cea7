"""The audit over REST, page by page from the newest on."""

from typing import Any

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework import generics, serializers
from rest_framework.pagination import CursorPagination
from rest_framework.request import Request

from core.errors import NotAllowed
from core.models import AuditEntry
from tenants import access, audit_trail
from tenants.audit_trail import Wanted


class AuditEntrySerializer(serializers.ModelSerializer[AuditEntry]):
    """An entry as it was written; people are told by id."""

    class Meta:
        model = AuditEntry
        fields = (
            "id",
            "at",
            "actor_kind",
            "actor_id",
            "actor_name",
            "behind_id",
            "token_id",
            "action",
            "entity",
            "entity_id",
            "chain_id",
            "branch_id",
            "before",
            "after",
            "reason",
            "address",
            "request_id",
        )


class AuditQuery(serializers.Serializer[None]):
    """What the list is narrowed to; the same words as the page's."""

    who = serializers.CharField(max_length=100, required=False, help_text="Id, e-mail address or part of a name.")
    action = serializers.CharField(max_length=60, required=False)
    kind = serializers.CharField(max_length=60, required=False, help_text="Like carts.cart.")
    place = serializers.UUIDField(required=False, help_text="Id of a chain or a branch.")
    since = serializers.DateField(required=False, help_text="First day (UTC).")
    until = serializers.DateField(required=False, help_text="Last day (UTC).")
    thing = serializers.CharField(max_length=100, required=False, help_text="Exact id of anything an entry names.")

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        for name in ("since", "until"):
            if name in attrs and audit_trail.day(attrs[name].isoformat()) is None:
                raise serializers.ValidationError({name: "Between 2000 and 2999."})
        return attrs


class AuditPages(CursorPagination):
    """`?cursor=…&page_size=100`; at most 200 rows, never counted."""

    ordering = "-id"
    page_size = 50
    page_size_query_param = "page_size"
    max_page_size = 200


@extend_schema_view(
    get=extend_schema(operation_id="audit_list", tags=["audit"], parameters=[AuditQuery]),
)
class AuditListView(generics.ListAPIView[AuditEntry]):
    """Who did what to which thing, in the places where you hold `audit:view`; newest first."""

    serializer_class = AuditEntrySerializer
    pagination_class = AuditPages
    filter_backends = ()
    queryset = AuditEntry.objects.none()

    def get_queryset(self) -> QuerySet[AuditEntry]:
        request: Request = self.request
        asker = access.person(request.user)
        if not access.may(asker, audit_trail.VIEW):
            raise NotAllowed
        query = AuditQuery(data=request.query_params)
        query.is_valid(raise_exception=True)
        return audit_trail.entries(asker, Wanted(**query.validated_data))
