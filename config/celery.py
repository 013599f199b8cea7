"""The Celery application. `celery -A config worker` and `celery -A config beat` find it here."""

import os
from typing import Any

from celery import Celery
from celery.signals import beat_init, worker_ready

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

app = Celery("cartwise")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()


@worker_ready.connect
def _say_worker_lives(**kwargs: Any) -> None:
    from core.health import record_pulse

    record_pulse("worker")


@beat_init.connect
def _say_beat_lives(**kwargs: Any) -> None:
    from core.health import record_pulse

    record_pulse("beat")
