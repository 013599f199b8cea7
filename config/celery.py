"""The Celery application. `celery -A config worker` and `celery -A config beat` find it here."""

import os
import sys
from typing import Any

from celery import Celery
from celery.signals import beat_init, import_modules, worker_ready
from django.core.exceptions import ImproperlyConfigured

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

app = Celery("cartwise")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()


# Before either of them connects to anything.
@import_modules.connect
def _refuse_weak_settings(**kwargs: Any) -> None:
    from config.checks import require_production_is_configured

    try:
        require_production_is_configured()
    except ImproperlyConfigured as error:
        # Celery goes on after any other exception of a receiver.
        sys.exit(str(error))


@worker_ready.connect
def _say_worker_lives(**kwargs: Any) -> None:
    from core.health import record_pulse

    record_pulse("worker")


@beat_init.connect
def _say_beat_lives(**kwargs: Any) -> None:
    from core.health import record_pulse

    record_pulse("beat")
