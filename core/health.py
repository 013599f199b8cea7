"""`/healthz`: does every component work, and which one doesn't."""

from collections.abc import Callable
from datetime import timedelta

from django.conf import settings
from django.db import DatabaseError, connection
from django.db.models import Q
from django.http import HttpRequest, JsonResponse
from django.utils import timezone
from django.views.decorators.http import require_safe
from redis import Redis

from core.models import ComponentPulse

# A process that shows no sign of life for this long counts as gone.
SILENT_AFTER = timedelta(seconds=45)
# One of several that is gone for this long was taken away; it is told no more while another works.
FORGOTTEN_AFTER = timedelta(days=1)
_NAME_LENGTH = 40

Component = dict[str, str]


def record_pulse(name: str, *, ok: bool = True, detail: str = "", process: str = "") -> None:
    """Note that a process lives; `ok=False` when it lives but can't work. `process`: which, when there may be several.

    Names longer than 40 signs are cut.
    """
    row_name = f"{name}:{process}" if process else name
    ComponentPulse.objects.update_or_create(
        name=row_name[:_NAME_LENGTH], defaults={"at": timezone.now(), "ok": ok, "detail": detail[:200]}
    )


def works(name: str) -> bool:
    """Whether a process without a port, or one of several, has said lately that it can do its work."""
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
    """One word on all processes of a name: ok when one of them is. The detail tells what each has to tell."""
    pulses = list(ComponentPulse.objects.filter(Q(name=name) | Q(name__startswith=f"{name}:")).order_by("name"))
    if not pulses:
        return {"status": "down", "detail": "never seen"}
    newest = max(pulse.at for pulse in pulses)
    told = {pulse.name: _said_by(pulse) for pulse in pulses if newest - pulse.at < FORGOTTEN_AFTER}
    status = "ok" if any(said["status"] == "ok" for said in told.values()) else "down"
    if len(told) == 1:
        return {"status": status, "detail": next(iter(told.values()))["detail"]}
    details = (f"{row_name}: {said['detail']}" for row_name, said in told.items() if said["detail"])
    return {"status": status, "detail": "; ".join(details)}


def _said_by(pulse: ComponentPulse) -> Component:
    age = timezone.now() - pulse.at
    if age > SILENT_AFTER:
        return {"status": "down", "detail": f"silent for {int(age.total_seconds())} s"}
    return {"status": "ok" if pulse.ok else "down", "detail": pulse.detail}
