"""REST below a branch: carts, rentals, statistics."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

import django_filters
from django.db.models import QuerySet
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import generics
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from carts import selectors, services
from carts.api.serializers import (
    AssignOutput,
    BranchStatsOutput,
    CartChoiceInput,
    CartOutput,
    RentalOutput,
    RentalStatsOutput,
)
from carts.enums import OPEN_RENTALS, RentalStatus
from carts.models import Cart, Rental
from core import idempotency
from core.api import RowFilterSet
from core.errors import NotAllowed, NotFound
from core.keys import key_of_header
from tenants import access
from tenants.models import Branch
from tenants.selectors import branch_visible_to

IDEMPOTENCY_KEY = OpenApiParameter(
    "Idempotency-Key",
    OpenApiTypes.STR,
    OpenApiParameter.HEADER,
    required=True,
    description="One value per intent, at most 200 printable ASCII characters;"
    " a repeat gets the first answer, another body gets 422.",
)


class CartListView(generics.ListAPIView[Cart]):
    """Carts of a branch. Its customers see those that are free."""

    serializer_class = CartOutput
    filterset_fields = ("status", "condition", "lock_state", "cart_number")

    def get_queryset(self) -> QuerySet[Cart]:
        if getattr(self, "swagger_fake_view", False):
            return Cart.objects.none()
        return selectors.carts_visible_to(self.request.user, _branch(self.request, self.kwargs["branch_id"]))

    @extend_schema(operation_id="cart_list", tags=["carts"])
    def get(self, request: Request, *args: object, **kwargs: object) -> Response:
        return super().get(request, *args, **kwargs)


class CartDetailView(generics.RetrieveAPIView[Cart]):
    """One cart of a branch."""

    serializer_class = CartOutput
    lookup_url_kwarg = "cart_id"

    def get_queryset(self) -> QuerySet[Cart]:
        if getattr(self, "swagger_fake_view", False):
            return Cart.objects.none()
        return selectors.carts_visible_to(self.request.user, _branch(self.request, self.kwargs["branch_id"]))

    @extend_schema(operation_id="cart_detail", tags=["carts"])
    def get(self, request: Request, *args: object, **kwargs: object) -> Response:
        return super().get(request, *args, **kwargs)


class AssignView(APIView):
    """Rent a cart: reserves it and opens its lock. The rental is `active` once the lock says it opened."""

    @extend_schema(
        request=CartChoiceInput,
        responses={201: AssignOutput},
        parameters=[IDEMPOTENCY_KEY],
        operation_id="cart_assign",
        tags=["carts"],
    )
    def post(self, request: Request, branch_id: UUID) -> Response:
        customer = access.person(request.user)
        access.require_scope(customer, access.RENTS)
        answer: Any = services.start_chosen_rental(
            branch_id=branch_id,
            choice=_choice(request),
            customer=customer,
            idempotency_key=key_of_header(request),
        )
        return Response(AssignOutput(answer).data, status=201)


class ReturnView(APIView):
    """Say that a cart is back. The lock must say so too; it mostly does by itself before anybody asks."""

    @extend_schema(
        request=CartChoiceInput,
        responses={200: RentalOutput},
        parameters=[IDEMPOTENCY_KEY],
        operation_id="cart_return",
        tags=["carts"],
    )
    def post(self, request: Request, branch_id: UUID) -> Response:
        key = key_of_header(request)
        choice = _choice(request)
        answer = idempotency.once(
            scope=f"return:{request.user.pk}",
            key=key,
            request={"branch": branch_id, **choice},
            action=lambda: {"rental_id": str(self._return(request, branch_id, choice).pk)},
        )
        rental = selectors.rental_visible_to(request.user, UUID(answer["rental_id"]))
        return Response(RentalOutput(rental, context={"request": request}).data)

    def _return(self, request: Request, branch_id: UUID, choice: Mapping[str, Any]) -> Rental:
        # From the requester on: whether a cart they may not know of exists costs no query more.
        named = {name.replace("cart_number", "cart__cart_number"): value for name, value in choice.items()}
        rentals = selectors.rentals_visible_to(request.user).filter(branch=branch_id, **named)
        last = rentals.exclude(status=RentalStatus.VOIDED).order_by("-created_at").first()
        if last is None:
            raise NotFound
        if not access.may(request.user, "rentals:return", last):
            raise NotAllowed
        return services.return_cart(rental=last, actor=access.person(request.user))


class RentalFilter(RowFilterSet):
    """Rentals by state, cart and time."""

    cart_number = django_filters.NumberFilter(field_name="cart__cart_number")
    created_after = django_filters.IsoDateTimeFilter(field_name="created_at", lookup_expr="gte")
    created_before = django_filters.IsoDateTimeFilter(field_name="created_at", lookup_expr="lt")

    class Meta:
        model = Rental
        fields = ("status", "cart", "cart_number")


class RentalListView(generics.ListAPIView[Rental]):
    """Rentals of a branch; customers see their own."""

    serializer_class = RentalOutput
    filterset_class = RentalFilter

    def get_queryset(self) -> QuerySet[Rental]:
        if getattr(self, "swagger_fake_view", False):
            return Rental.objects.none()
        branch = _branch(self.request, self.kwargs["branch_id"])
        return selectors.rentals_visible_to(self.request.user).filter(branch=branch)


class ActiveRentalsView(RentalListView):
    """Rentals that are open: opening, running or overdue."""

    def get_queryset(self) -> QuerySet[Rental]:
        return super().get_queryset().filter(status__in=OPEN_RENTALS).order_by("-created_at", "-pk")

    @extend_schema(operation_id="rental_active_list", tags=["rentals"])
    def get(self, request: Request, *args: object, **kwargs: object) -> Response:
        return super().get(request, *args, **kwargs)


class RentalHistoryView(RentalListView):
    """Rentals that ended, newest first."""

    def get_queryset(self) -> QuerySet[Rental]:
        return super().get_queryset().exclude(status__in=OPEN_RENTALS).order_by("-created_at", "-pk")

    @extend_schema(operation_id="rental_history_list", tags=["rentals"])
    def get(self, request: Request, *args: object, **kwargs: object) -> Response:
        return super().get(request, *args, **kwargs)


class RentalStatsView(APIView):
    """Rentals of a branch by outcome, over all time."""

    @extend_schema(responses={200: RentalStatsOutput}, operation_id="rental_stats", tags=["rentals"])
    def get(self, request: Request, branch_id: UUID) -> Response:
        branch = branch_visible_to(request.user, branch_id, "rentals:view")
        return Response(selectors.rental_stats(branch))


class BranchStatsView(APIView):
    """Figures of a branch."""

    @extend_schema(responses={200: BranchStatsOutput}, operation_id="branch_stats", tags=["branches"])
    def get(self, request: Request, branch_id: UUID) -> Response:
        branch = branch_visible_to(request.user, branch_id, "rentals:view")
        return Response(selectors.branch_stats(branch))


def _branch(request: Request, branch_id: UUID) -> Branch:
    return branch_visible_to(request.user, branch_id)


def _choice(request: Request) -> dict[str, Any]:
    serializer = CartChoiceInput(data=request.data)
    serializer.is_valid(raise_exception=True)
    return dict(serializer.validated_data)
