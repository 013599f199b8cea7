"""The thread that keeps this device in touch: enrol, heartbeat, connect, and all of it again with patience."""

import logging
import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Protocol
from uuid import UUID, uuid4

from .backoff import Backoff
from .clock import ServerClock
from .contract import Presence, PresenceState, encode
from .enrolment import Enrolment
from .identity import Identity
from .ports import (
    Broker,
    BrokerConnection,
    BrokerListener,
    BrokerUnreachable,
    Clock,
    Cloud,
    CloudUnreachable,
    CredentialsRefused,
    EnrolmentRefused,
)
from .session import Session
from .site import Site, SiteError, read_site

log = logging.getLogger(__name__)

# So many refusals of the broker are waited out before a new token is asked for.
BROKER_PATIENCE = 5
# With an unknown clock nothing opens: ask again sooner than the next heartbeat.
CLOCKLESS_RETRY_S = 5.0


class Daemon(BrokerListener, Protocol):
    """What the link tells the rest of the daemon; called from the link's thread unless said otherwise."""

    def apply_site(self, identity: Identity, site: Site) -> None: ...
    def connected(self, connection: BrokerConnection) -> None: ...
    def disconnected(self) -> None: ...
    def late_commands(self, identity: Identity, commands: Any) -> None: ...
    def health(self) -> dict[str, Any]: ...


class CloudLink:
    """One thread. `stop`, `connection_lost` and `refresh_config` may be called from any other."""

    def __init__(
        self,
        enrolment: Enrolment,
        cloud: Cloud,
        broker: Broker,
        daemon: Daemon,
        *,
        session: Session,
        server_clock: ServerClock,
        clock: Clock,
        boot_id: UUID,
        firmware_version: str,
        backoff: Backoff | None = None,
    ) -> None:
        self._enrolment = enrolment
        self._cloud = cloud
        self._broker = broker
        self._daemon = daemon
        self._session = session
        self._server_clock = server_clock
        self._clock = clock
        self._boot_id = boot_id
        self._version = firmware_version
        self._backoff = backoff or Backoff()
        self._wake = threading.Event()
        self._stopping = False
        self._lost: str | None = None
        self._refreshes: list[Callable[[bool], None]] = []
        self._heartbeat_at = 0.0
        self._heartbeat_failed = False
        self._site = Site()
        self._subscribed: list[str] = []
        self._thread = threading.Thread(target=self.run, name="cloud", daemon=True)

    @property
    def alive(self) -> bool:
        return self._thread.is_alive()

    def start(self) -> None:
        self._thread.start()

    def stop(self, timeout_s: float = 5.0) -> None:
        self._stopping = True
        self._wake.set()
        if self._thread.ident is not None:
            self._thread.join(timeout_s)

    def connection_lost(self, why: str) -> None:
        self._lost = why
        self._wake.set()

    def refresh_config(self, done: Callable[[bool], None]) -> None:
        self._refreshes.append(done)
        self._wake.set()

    def run(self) -> None:
        while not self._stopping:
            wait = self._attempt()
            if not self._stopping:
                self._wake.wait(wait)
                self._wake.clear()

    def _attempt(self) -> float:
        """One connection from enrolment to its loss; the seconds to wait before the next."""
        try:
            self._serve(self._enrolment.ensure())
        except EnrolmentRefused as error:
            return self._failed(f"enrolment refused ({error}): check branch_code and enrolment_code", 30.0)
        except (CloudUnreachable, BrokerUnreachable) as error:
            return self._failed(str(error), getattr(error, "retry_after_s", None))
        except CredentialsRefused as error:
            wait = self._failed(f"token refused: {error}", None)
            self._recover(by_broker=str(error).startswith("broker"))
            return wait
        return self._backoff.next()

    def _failed(self, why: str, retry_after_s: float | None) -> float:
        level = logging.WARNING if self._backoff.failures == 0 else logging.DEBUG
        log.log(level, "not connected: %s", why)
        return self._backoff.next(retry_after_s)

    def _recover(self, *, by_broker: bool) -> None:
        # The cloud tells the broker of a new token a moment after it gave it out.
        if by_broker and self._backoff.failures < BROKER_PATIENCE:
            return
        try:
            self._enrolment.recover(by_broker=by_broker)
        except (CloudUnreachable, EnrolmentRefused, CredentialsRefused) as error:
            log.warning("still without a valid token: %s", error)

    # One connection

    def _serve(self, identity: Identity) -> None:
        self._adopt(identity, identity.config)
        connection_id = uuid4()
        # Just before connecting, so that the clock is known when the first command comes. It names no connection: the
        # cloud takes a heartbeat's word for one that is up.
        self._heartbeat(None)
        identity = self._enrolment.ensure()
        status = identity.topics.device("status")
        self._lost = None
        connection = self._broker.connect(
            identity.mqtt,
            password=identity.token,
            will=(status, self._presence(PresenceState.OFFLINE, connection_id)),
            listener=self._daemon,
        )
        try:
            self._subscribed = []
            self._subscribe(connection, identity.topics.commands(self._site))
            self._session.open(connection_id)
            connection.publish(status, self._presence(PresenceState.ONLINE, connection_id))
            self._daemon.connected(connection)
            log.info("connected to %s:%d", identity.mqtt.broker, identity.mqtt.port)
            self._backoff.reset()
            self._stay(connection, connection_id)
            if self._lost is None:
                # A clean goodbye makes the broker forget the will, so it is said here.
                connection.publish(status, self._presence(PresenceState.OFFLINE, connection_id))
        finally:
            self._session.close()
            self._daemon.disconnected()
            connection.close()
        log.log(logging.INFO if self._stopping else logging.WARNING, "connection closed: %s", self._lost or "stopping")

    def _stay(self, connection: BrokerConnection, connection_id: UUID) -> None:
        while not self._stopping and self._lost is None:
            if self._heartbeat_due() <= 0:
                self._heartbeat(connection_id)
                self._enrolment.rotate_if_due(self._server_clock.now())
            self._run_refreshes()
            filters = self._enrolment.ensure().topics.commands(self._site)
            if filters != self._subscribed:
                self._subscribe(connection, filters)
            self._wake.wait(max(min(self._heartbeat_due(), 1.0), 0.0))
            self._wake.clear()

    def _heartbeat_due(self) -> float:
        identity = self._enrolment.identity
        interval = identity.heartbeat_interval if identity is not None else CLOCKLESS_RETRY_S
        if self._server_clock.now() is None:
            interval = min(interval, CLOCKLESS_RETRY_S)
        return self._heartbeat_at + interval - self._clock.monotonic()

    def _presence(self, state: PresenceState, connection_id: UUID) -> bytes:
        return encode(
            Presence(
                message_id=uuid4(),
                sent_at=self._server_clock.stamp(),
                state=state,
                connection_id=connection_id,
                boot_id=self._boot_id,
                firmware_version=self._version,
            )
        )

    def _subscribe(self, connection: BrokerConnection, filters: list[str]) -> None:
        """Make the subscriptions equal to `filters`, the device's own first."""
        gone = [name for name in self._subscribed if name not in filters]
        fresh = [name for name in filters if name not in self._subscribed]
        if gone:
            connection.unsubscribe(gone)
        denied = connection.subscribe(fresh)
        self._subscribed = filters
        if filters[0] in denied:
            raise BrokerUnreachable("the broker denied this device's own command topic")
        if denied:
            log.warning("the broker denied %d of %d topics, first %s", len(denied), len(filters), denied[0])

    # Heartbeat and configuration

    def _heartbeat(self, connection_id: UUID | None) -> None:
        """Tell and learn. An unreachable cloud is only logged: the broker may still be there."""
        identity = self._enrolment.ensure()
        self._heartbeat_at = self._clock.monotonic()
        body = {
            "sent_at": self._server_clock.stamp().isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "boot_id": str(self._boot_id),
            "connection_id": str(connection_id) if connection_id else None,
            "firmware_version": self._version,
            "config_version": self._site.version,
            **self._daemon.health(),
        }
        try:
            answer = self._server_clock.ask(lambda: self._cloud.heartbeat(identity.device_id, identity.token, body))
        except CloudUnreachable as error:
            log.log(logging.DEBUG if self._heartbeat_failed else logging.WARNING, "heartbeat failed: %s", error)
            self._heartbeat_failed = True
            return
        self._heartbeat_failed = False
        version = answer.get("config_version")
        if isinstance(version, int) and version != self._site.version:
            self._fetch_config()
        if answer.get("commands"):
            self._daemon.late_commands(identity, answer["commands"])

    def _run_refreshes(self) -> None:
        while self._refreshes:
            self._refreshes.pop(0)(self._fetch_config())

    def _fetch_config(self) -> bool:
        identity = self._enrolment.ensure()
        try:
            answer = self._cloud.config(identity.device_id, identity.token)
        except CloudUnreachable as error:
            log.warning("configuration not fetched: %s", error)
            return False
        inner = answer.get("config", answer)
        if not self._adopt(identity, inner):
            return False
        self._enrolment.keep_config(replace(identity, config=inner))
        return True

    def _adopt(self, identity: Identity, config: Any) -> bool:
        try:
            site = read_site(config)
        except SiteError as error:
            log.error("configuration is unusable, the earlier one stays: %s", error)
            return False
        self._site = site
        self._daemon.apply_site(identity, site)
        return True
