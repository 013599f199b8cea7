"""`/healthz`: does every component work, and which one doesn't."""

from collections.abc import Callable
from datetime import timedelta

from django.conf import settings
from django.db import DatabaseError, connection
from django.http import HttpRequest, JsonResponse
from django.utils import timezone
from django.views.decorators.http import require_safe
from redis import Redis

from core.models import ComponentPulse

# A process that shows no sign of life for this long counts as gone.
SILENT_AFTER = timedelta(seconds=45)

Component = dict[str, str]


def record_pulse(name: str, *, ok: bool = True, detail: str = "") -> None:
    """Note that a process lives; `ok=False` when it lives but can't work."""
    ComponentPulse.objects.update_or_create(
        name=name, defaults={"at": timezone.now(), "ok": ok, "detail": detail[:200]}
    )


def works(name: str) -> bool:
    """Whether a process without a port has said lately that it can do its work."""
    return _pulse_of(name)["status"] == "ok"


@require_safe
def healthz(request: HttpRequest) -> JsonResponse:
    """200 with `ok`, or 503 with `degraded`, and each component's state."""
    components = {"web": {"status": "ok", "detail": ""}, "database": _asked(_ask_database), "redis": _asked(_ask_redis)}
    if components["database"]["status"] == "ok":
        try:
            components |= {name: _pulse_of(name) for name in ("bridge", "broker", "worker", "beat")}
        except DatabaseError as error:  # not migrated yet
            components["database"] = {"status": "down", "detail": type(error).__name__}
    healthy = all(component["status"] == "ok" for component in components.values())
    return JsonResponse(
        {"status": "ok" if healthy else "degraded", "components": components}, status=200 if healthy else 503
    )


def _asked(question: Callable[[], None]) -> Component:
    try:
        question()
    except Exception as error:  # whatever is wrong with it, the answer is the same: it doesn't work
        return {"status": "down", "detail": type(error).__name__}
    return {"status": "ok", "detail": ""}


def _ask_database() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")


def _ask_redis() -> None:
    with Redis.from_url(settings.REDIS_URL, socket_timeout=1, socket_connect_timeout=1) as redis:
        redis.ping()


def _pulse_of(name: str) -> Component:
    pulse = ComponentPulse.objects.filter(name=name).first()
    if pulse is None:
        return {"status": "down", "detail": "never seen"}
    age = timezone.now() - pulse.at
    if age > SILENT_AFTER:
        return {"status": "down", "detail": f"silent for {int(age.total_seconds())} s"}
    return {"status": "ok" if pulse.ok else "down", "detail": pulse.detail}
