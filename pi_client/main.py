"""Wiring: settings to adapters to the app."""

import argparse
import logging
import signal
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from .adapters.http_cloud import HttpCloud
from .adapters.mqtt import PahoBroker
from .adapters.serial_line import PortLine
from .adapters.simulated import Simulated8A, SimulatedBoard, SimulatedLine
from .adapters.sqlite_store import SqliteStore
from .adapters.system_clock import SystemClock
from .adapters.systemd import Notifier
from .app import App, OpenLine
from .clock import ServerClock
from .codec import CU16
from .enrolment import Enrolment
from .identity import IdentityFile
from .lan_api import LanApi
from .ports import Clock, LineError, SerialLine
from .settings import Settings, SettingsError, load_settings
from .site import Controller

log = logging.getLogger(__name__)

SIMULATED_RETURN_S = 30.0
EXIT_CONFIG = 78  # EX_CONFIG of sysexits.h


def main(arguments: Sequence[str] | None = None) -> int:
    """The console script; the process's exit code."""
    options = _parse(arguments)
    try:
        settings = load_settings(options.config)
        settings.state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    except (SettingsError, OSError) as error:
        print(error, file=sys.stderr)  # noqa: T201  # logging is not set up yet
        return EXIT_CONFIG
    if options.simulate:
        settings = replace(settings, simulate=True)
    _set_up_logging(settings.log_level)
    return _serve(settings, options.config)


def _parse(arguments: Sequence[str] | None) -> Any:
    parser = argparse.ArgumentParser(prog="cartwise-pi", description="CartWise daemon for a Raspberry Pi")
    parser.add_argument("--config", type=Path, default=Path("config.json"))
    parser.add_argument("--simulate", action="store_true", help="lock boards in memory instead of serial ports")
    return parser.parse_args(arguments)


def _set_up_logging(level: str) -> None:
    # systemd adds the time itself, but a terminal does not.
    logging.basicConfig(level=level, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    # It logs every request at INFO.
    logging.getLogger("httpx").setLevel(logging.WARNING)
    logging.getLogger("httpcore").setLevel(logging.WARNING)


def _serve(settings: Settings, config: Path) -> int:
    notifier = Notifier()
    clock = SystemClock()
    server_clock = ServerClock(clock)
    store = SqliteStore(settings.state_dir / "journal.sqlite3")
    cloud = HttpCloud(settings.api_url, ca_file=settings.ca_file)
    enrolment = Enrolment(cloud, IdentityFile(settings.state_dir), lambda: load_settings(config), server_clock)
    app = App(
        settings,
        store=store,
        cloud=cloud,
        broker=PahoBroker(ca_file=settings.ca_file),
        open_line=_line_opener(settings, clock),
        clock=clock,
        server_clock=server_clock,
        enrolment=enrolment,
        alive=lambda status: notifier.send("READY=1", "WATCHDOG=1", f"STATUS={status}"),
    )
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda _number, _frame: app.stop())
    lan_api = _start_lan_api(settings, app)
    try:
        return app.run()
    finally:
        notifier.send("STOPPING=1")
        if lan_api is not None:
            lan_api.stop()
        cloud.close()


def _start_lan_api(settings: Settings, app: App) -> LanApi | None:
    if settings.lan_api is None:
        return None
    pages = {
        "/api/status": app.status_page,
        "/api/occupancy": app.occupancy_page,
        "/api/stats": app.stats_page,
    }
    try:
        api = LanApi(settings.lan_api, pages)
    except OSError as error:
        log.error("LAN API not served: %s", error)
        return None
    api.start()
    return api


def _line_opener(settings: Settings, clock: Clock) -> OpenLine:
    if settings.simulate:
        return lambda controllers: SimulatedLine([_simulated(controller) for controller in controllers], clock)

    def open_port(controllers: tuple[Controller, ...]) -> SerialLine:
        if not controllers:
            raise LineError("no boards on this line")
        port = settings.port_overrides.get(controllers[0].port, controllers[0].port)
        return PortLine(port, controllers[0].baudrate, rs485_mode=settings.rs485_mode)

    return open_port


def _simulated(controller: Controller) -> SimulatedBoard:
    kind = SimulatedBoard if controller.protocol == CU16.protocol else Simulated8A
    return kind(
        address=controller.address,
        hook_closed_bit=controller.hook_closed_bit,
        relatch_after_s=SIMULATED_RETURN_S,
    )
