"""The fallback MQTT 3.1.1 broker: amqtt, amended to behave as the product needs and as Mosquitto does.

What amqtt 0.12 does otherwise, and why that would not do here:
- it ends an existing session before it has checked the newcomer's password;
- it replays everybody's retained messages to whoever connects, and walks its tables while they change;
- it never gives up on a silent client, so a last will is never sent;
- it ignores rights on last wills, and closes on every topic that begins with `$`;
- it knows neither shared subscriptions nor a limit on the size of a packet.
"""

import argparse
import asyncio
import logging
import signal
from collections import deque
from itertools import count
from pathlib import Path
from typing import Any

from amqtt.adapters import ReaderAdapter, StreamReaderAdapter, StreamWriterAdapter, WriterAdapter
from amqtt.broker import Broker
from amqtt.contexts import Action, BrokerConfig, ListenerConfig
from amqtt.errors import MQTTError, NoDataError
from amqtt.mqtt.connack import NOT_AUTHORIZED, ConnackPacket
from amqtt.mqtt.constants import QOS_0
from amqtt.mqtt.protocol.broker_handler import BrokerProtocolHandler
from amqtt.session import IncomingApplicationMessage, OutgoingApplicationMessage, Session
from amqtt.utils import gen_client_id

from deploy.stack.broker import CONTROL_TOPIC, MAX_PACKET_BYTES
from deploy.stack.layout import HOST
from deploy.stack.rights import Rights

RESPONSE_TOPIC = f"{CONTROL_TOPIC}/response"
SHARED = "$share/"
MAX_QUEUED_MESSAGES = 100_000
logger = logging.getLogger(__name__)


class LimitedReader(StreamReaderAdapter):
    """Ends the connection of a client that announces a larger packet than anyone here sends."""

    async def read(self, n: int = -1) -> bytes:
        if n > MAX_PACKET_BYTES:
            raise ConnectionAbortedError(f"packet of {n} bytes")
        return await super().read(n)


class Handler(BrokerProtocolHandler):
    """A connection that counts as lost once its client stays silent for one and a half keep-alives."""

    def handle_read_timeout(self) -> None:
        self._closing = asyncio.ensure_future(self.handle_connection_closed())


class AmendedBroker(Broker):
    """amqtt with the product's rights; see the module's docstring for what differs."""

    def __init__(self, config: BrokerConfig, rights: Rights) -> None:
        super().__init__(config)
        self._rights = rights
        self._turn = count()

    async def stream_connected(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, listener_name: str
    ) -> None:
        # asyncio sets TCP_NODELAY on its stream transports itself.
        await self._client_connected(listener_name, LimitedReader(reader), StreamWriterAdapter(writer))

    async def _initialize_client_session(
        self, reader: ReaderAdapter, writer: WriterAdapter, remote_address: str, remote_port: int
    ) -> tuple[BrokerProtocolHandler, Session]:
        try:
            handler, session = await Handler.init_from_connect(reader, writer, self.plugins_manager)
        except (NoDataError, ConnectionError, ValueError) as error:
            await writer.close()
            raise MQTTError(f"no CONNECT from {remote_address}:{remote_port}") from error
        if not self._admits(session):
            logger.warning("refused client id %s as %s", session.client_id, session.username)
            await ConnackPacket.build(0, NOT_AUTHORIZED).to_stream(writer)
            await writer.close()
            raise MQTTError("not authorised")
        session.client_id = session.client_id or gen_client_id()
        session.keep_alive += session.keep_alive // 2
        session.parent = 0
        if session.clean_session:
            await self._delete_session(session.client_id)
        else:
            await self._resume(session)
        return handler, session

    def _admits(self, session: Session) -> bool:
        if not self._rights.authenticate(
            username=session.username, password=session.password, client_id=session.client_id
        ):
            return False
        return not session.will_flag or self._rights.may_send(session.username, session.will_topic or "")

    async def _authenticate(self, session: Session, _: ListenerConfig) -> bool:
        # Done before the session was touched.
        return True

    async def _delete_session(self, client_id: str) -> None:
        await self._end_connection(client_id)
        await super()._delete_session(client_id)

    async def _end_connection(self, client_id: str) -> None:
        session, handler = self._sessions.get(client_id, (None, None))
        if session is not None and handler is not None and session.transitions.is_connected():
            await handler.handle_connection_closed()

    async def _resume(self, session: Session) -> None:
        """Move subscriptions and waiting messages to `session`; the old object dies with its connection."""
        assert session.client_id is not None
        await self._end_connection(session.client_id)
        old, _ = self._sessions.pop(session.client_id, (None, None))
        if old is None:
            return
        session.parent = 1
        session.retained_messages = old.retained_messages
        session.inflight_out, session.inflight_in = old.inflight_out, old.inflight_in
        for subscribers in self._subscriptions.values():
            subscribers[:] = [(session if known is old else known, qos) for known, qos in subscribers]

    async def _topic_filtering(self, session: Session, topic: str, action: Action) -> bool:
        # Must not yield: amqtt calls this while it walks its subscriptions.
        match action:
            case Action.SUBSCRIBE:
                return self._rights.may_subscribe(session.username, topic)
            case Action.PUBLISH:
                return self._rights.may_send(session.username, topic)
            case Action.RECEIVE:
                return self._rights.may_receive(session.username, topic)

    async def _handle_message_delivery(
        self, client_session: Session, handler: BrokerProtocolHandler, wait_deliver: asyncio.Future[Any]
    ) -> bool:
        message: IncomingApplicationMessage | None = wait_deliver.result()
        if message is None:
            return True
        if not message.topic or "#" in message.topic or "+" in message.topic:
            await handler.handle_connection_closed()
        elif not self._rights.may_send(client_session.username, message.topic):
            logger.warning("%s may not publish to %s", client_session.client_id, message.topic)
        elif message.topic == CONTROL_TOPIC:
            await self._control(message.data or b"")
        elif not message.topic.startswith("$"):
            await self._broadcast_message(client_session, message.topic, message.data, message.qos)
            if message.retain:
                await self.retain_message(client_session, message.topic, message.data, message.qos)
        return True

    async def _control(self, payload: bytes | bytearray) -> None:
        """Run dynamic-security commands, answer, and end the sessions whose rights changed without their wills."""
        response, kicked = self._rights.execute(payload)
        await self._broadcast_message(None, RESPONSE_TOPIC, response, QOS_0)
        for session, handler in list(self._sessions.values()):
            if session.username in kicked and session.transitions.is_connected():
                session.will_flag = False
                await handler.handle_connection_closed()

    async def _run_broadcast(self, running_tasks: deque[asyncio.Task[OutgoingApplicationMessage]]) -> None:
        message = await self._broadcast_queue.get()
        for session, subscribed_qos in self._recipients(str(message["topic"])):
            sent_qos = message.get("qos")
            qos = subscribed_qos if sent_qos is None else min(int(sent_qos), subscribed_qos)
            if session.transitions.is_connected():
                if handler := self._get_handler(session):
                    task = handler.mqtt_publish(message["topic"], message["data"], qos, retain=False)
                    running_tasks.append(asyncio.ensure_future(task))
            elif qos > QOS_0 and not session.clean_session and session.retained_messages.qsize() < MAX_QUEUED_MESSAGES:
                await self._retain_broadcast_message(message, qos, session)

    def _recipients(self, topic: str) -> list[tuple[Session, int]]:
        """Each session once, with its best QoS; of a shared subscription one member, connected ones in turn."""
        chosen: dict[str | None, tuple[Session, int]] = {}
        for topic_filter, subscribers in self._subscriptions.items():
            shared = topic_filter.startswith(SHARED)
            if not self._matches(topic, topic_filter.split("/", 2)[2] if shared else topic_filter):
                continue
            allowed = [entry for entry in subscribers if self._rights.may_receive(entry[0].username, topic)]
            if shared and allowed:
                connected = [entry for entry in allowed if entry[0].transitions.is_connected()] or allowed
                allowed = [connected[next(self._turn) % len(connected)]]
            for session, qos in allowed:
                known = chosen.get(session.client_id)
                chosen[session.client_id] = (session, max(qos, known[1] if known else 0))
        return list(chosen.values())

    async def add_subscription(self, subscription: tuple[str, int], session: Session) -> int:
        topic_filter, _ = subscription
        if topic_filter.startswith(SHARED) and topic_filter.count("/") < 2:
            return 0x80
        # A repeated subscription replaces the first one [MQTT-3.8.4-3].
        self._del_subscription(topic_filter, session)
        return await super().add_subscription(subscription, session)

    async def _publish_retained_messages_for_subscription(
        self, subscription: tuple[str, int], session: Session
    ) -> None:
        """Only for the session's own subscriptions, never for shared ones. Must not yield, see `_topic_filtering`."""
        topic_filter, qos = subscription
        subscribers = self._subscriptions.get(topic_filter, [])
        handler = self._get_handler(session)
        if topic_filter.startswith(SHARED) or handler is None or all(known is not session for known, _ in subscribers):
            return
        for topic, retained in self._retained_messages.items():
            if self._matches(topic, topic_filter) and self._rights.may_receive(session.username, topic):
                task = handler.mqtt_publish(topic, retained.data, min(qos, retained.qos or QOS_0), retain=True)
                self._tasks_queue.append(asyncio.ensure_future(task))


async def serve(port: int, rights: Path) -> None:
    """Serve until SIGTERM or SIGINT."""
    config = BrokerConfig(listeners={"default": ListenerConfig(bind=f"{HOST}:{port}")}, plugins={})
    broker = AmendedBroker(config, Rights(rights))
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await broker.start()
    await stop.wait()
    await broker.shutdown()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--rights", type=Path, required=True, help="a dynamic-security.json")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s %(message)s")
    asyncio.run(serve(arguments.port, arguments.rights))


if __name__ == "__main__":
    main()
