"""`manage.py run_mqtt_bridge`: the only MQTT speaker in the cloud; runs until SIGTERM or SIGINT."""

import signal
from typing import Any

from django.core.management.base import BaseCommand

from devices.mqtt.bridge import Bridge


class Command(BaseCommand):
    """Carries commands to devices and their words back."""

    help = __doc__

    def handle(self, *args: Any, **options: Any) -> None:
        bridge = Bridge()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: bridge.stop())
        bridge.run()
