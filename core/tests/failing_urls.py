"""Every kind of failure at an address of its own, beside the product's own addresses."""

from typing import Any

from django.core.exceptions import PermissionDenied, SuspiciousOperation
from django.db import OperationalError, transaction
from django.http import Http404
from django.urls import include, path
from rest_framework import exceptions, serializers
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from core import errors
from core.models import ComponentPulse

handler400 = "core.views.bad_request"
handler403 = "core.views.permission_denied"
handler404 = "core.views.page_not_found"
handler500 = "core.views.server_error"


class Line(serializers.Serializer[None]):
    sku = serializers.CharField()
    count = serializers.IntegerField(min_value=1)


class Order(serializers.Serializer[None]):
    name = serializers.CharField(max_length=5)
    lines = Line(many=True)


class Failing(APIView):
    """Raises what it was made with."""

    authentication_classes = ()
    permission_classes = (AllowAny,)
    error: Any = None

    def get(self, request: Request) -> Response:
        with transaction.atomic():
            ComponentPulse.objects.create(name="half done", at="2026-01-01T00:00:00Z")
            raise self.error


class Ordering(Failing):
    """Checks a nested body."""

    def post(self, request: Request) -> Response:
        serializer = Order(data=request.data)
        serializer.is_valid(raise_exception=True)
        return Response(serializer.data)


FAILURES = {
    "http404": Http404("row 17 of secret table"),
    "not-found": errors.NotFound(),
    "denied": PermissionDenied("because of a secret"),
    "not-allowed": errors.NotAllowed(),
    "too-many": errors.TooMany("Wait.", retry_after=17),
    "unavailable": errors.Unavailable("Later."),
    "field": errors.InvalidInput(errors={"phone": ["Not a phone."]}),
    "throttled": exceptions.Throttled(wait=3.2),
    "signed-out": exceptions.NotAuthenticated(),
    "suspicious": SuspiciousOperation("secret"),
    "bug": RuntimeError("password=secret"),
    "database-away": OperationalError("the connection is lost: password=secret"),
}
urlpatterns = [
    *(path(f"api/fails/{name}", Failing.as_view(error=error)) for name, error in FAILURES.items()),
    path("api/orders", Ordering.as_view()),
    *(path(f"fails/{name}", Failing.as_view(error=error)) for name, error in FAILURES.items()),
    path("", include("config.urls")),
]
