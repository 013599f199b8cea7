"""The figure strip of a branch's page."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from django.db.models import Count, Q
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from carts.enums import RUNNING_RENTALS, RentalStatus
from carts.models import Rental
from devices.enums import CommandStatus
from tenants.models import Branch

SPARK_WIDTH, SPARK_HEIGHT, SPARK_POINTS = 100, 32, 12


@dataclass(frozen=True, slots=True)
class Figure:
    """A number, what it counts, a line that explains it, and perhaps its course today as an SVG path (100 x 32)."""

    label: str
    value: str
    unit: str = ""
    note: str = ""
    spark: str = ""


def branch_figures(branch: Branch) -> list[Figure]:
    """How a branch is doing today, where it is. Two queries."""
    zone = ZoneInfo(branch.time_zone)
    now = timezone.now()
    midnight = timezone.localtime(now, zone).replace(hour=0, minute=0, second=0, microsecond=0)
    today = list(
        Rental.objects.filter(branch=branch, created_at__gte=midnight)
        .select_related("unlock_command")
        .only(
            "status",
            "start_time",
            "actual_return",
            "created_at",
            "unlock_command__status",
            "unlock_command__issued_at",
            "unlock_command__finished_at",
        )
        .order_by("created_at")
    )
    running = Rental.objects.filter(branch=branch, status__in=RUNNING_RENTALS).aggregate(
        out=Count("pk"), overdue=Count("pk", filter=Q(status=RentalStatus.OVERDUE))
    )
    note = _("kept too long") if running["overdue"] else _("all in time")
    return [
        _out_now(running["out"], today, midnight, now),
        _unlock_time(today),
        _opened(today),
        Figure(_("Overdue"), str(running["overdue"]), note=note),
    ]


def _out_now(out: int, today: list[Rental], midnight: datetime, now: datetime) -> Figure:
    step = (now - midnight) / SPARK_POINTS
    moments = [midnight + step * (index + 1) for index in range(SPARK_POINTS)]
    course = [
        sum(
            1
            for rental in today
            if rental.start_time
            and rental.start_time <= at
            and (rental.actual_return is None or rental.actual_return > at)
        )
        for at in moments
    ]
    note = ngettext("%(count)s rental today", "%(count)s rentals today", len(today)) % {"count": len(today)}
    return Figure(_("Out now"), str(out), note=note, spark=sparkline([float(value) for value in course]))


def _unlock_time(today: list[Rental]) -> Figure:
    times = [
        (rental.unlock_command.finished_at - rental.unlock_command.issued_at) / timedelta(milliseconds=1)
        for rental in today
        if rental.unlock_command
        and rental.unlock_command.finished_at
        and rental.unlock_command.status == CommandStatus.DONE
    ]
    if not times:
        return Figure(_("Unlock p95 today"), "–", note=_("no unlocks yet"))
    p95 = sorted(times)[max(0, -(-len(times) * 95 // 100) - 1)]
    note = ngettext("latch evidence, %(count)s unlock", "latch evidence, %(count)s unlocks", len(times)) % {
        "count": len(times)
    }
    return Figure(_("Unlock p95 today"), f"{p95:.0f}", unit=_("ms"), note=note, spark=sparkline(times))


def _opened(today: list[Rental]) -> Figure:
    settled = [rental for rental in today if rental.status != RentalStatus.PENDING_UNLOCK]
    voided = sum(1 for rental in settled if rental.status == RentalStatus.VOIDED)
    note = ngettext("%(count)s voided, none charged", "%(count)s voided, none charged", voided) % {"count": voided}
    if not settled:
        return Figure(_("Opened first time"), "–", note=note)
    return Figure(_("Opened first time"), f"{100 * (len(settled) - voided) / len(settled):.1f}", unit="%", note=note)


def sparkline(values: list[float]) -> str:
    """Path of a small line chart, newest at the end; empty when there is nothing to draw."""
    points = values[-SPARK_POINTS:]
    if len(points) < 2:
        return ""
    low, high = min(points), max(points)
    scale = (SPARK_HEIGHT - 4) / (high - low) if high > low else 0
    step = SPARK_WIDTH / (len(points) - 1)
    coordinates = (
        f"{index * step:.1f} {SPARK_HEIGHT - 2 - (value - low) * scale:.1f}" for index, value in enumerate(points)
    )
    return "M" + " L".join(coordinates)
