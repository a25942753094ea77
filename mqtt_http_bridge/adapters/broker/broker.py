"""One connection to one broker, by one thread.

The thread only passes on what happens, as events with the moment they happened. It decides nothing
but which messages are not worth passing on, and how long to wait before it connects again.
"""

import logging
import re
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterable
from typing import Any, Final

from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode
from paho.mqtt.reasoncodes import ReasonCode

from mqtt_http_bridge.adapters.broker import lean
from mqtt_http_bridge.adapters.broker.bell import Bell
from mqtt_http_bridge.adapters.broker.bulk import BulkClient
from mqtt_http_bridge.adapters.broker.gathering import Gathering
from mqtt_http_bridge.adapters.broker.lean import paho
from mqtt_http_bridge.adapters.broker.trust import (
    is_login_refused,
    reason_of,
    refusal,
    silence,
    tls_context,
)
from mqtt_http_bridge.adapters.broker.waits import Outcome, Waits
from mqtt_http_bridge.core.backoff import Draw
from mqtt_http_bridge.core.events import Connected, Disconnected, Event, Message, Moment
from mqtt_http_bridge.core.latest import Received, still_telling
from mqtt_http_bridge.core.settings import MqttSettings
from mqtt_http_bridge.core.topics import keepalive_topic

log = logging.getLogger(__name__)

MQTT_KEEPALIVE_S: Final = 20
"""How long a dead connection goes unnoticed at most, twice over; a ping costs two bytes."""
CONNECT_TIMEOUT_S: Final = 10.0
LOOP_TIMEOUT_S: Final = 1.0

_KEEPALIVE_TOPIC: Final = re.compile(re.escape(keepalive_topic("@")).replace("@", "[^/+#]+"))


class Broker:
    """The connection to one broker. Any thread may call its methods."""

    def __init__(
        self,
        settings: MqttSettings,
        *,
        client_id: str,
        subscriptions: Iterable[tuple[str, ...]],
        wants: Callable[[str], bool],
        now: Callable[[], Moment],
        emit: Callable[[Event], None],
        draw: Draw,
        gather_s: float | None = None,
    ) -> None:
        """Nothing is connected until `start`.

        Each connection begins with `subscriptions`, one packet each. `emit` is called from the
        thread that it starts, for messages whose topic `wants` wants.
        With `gather_s`, messages come up to so much later, once nothing is waited for, and of
        measured numbers that were read together only the last of each: see `read_by`.

        Raises ConfigError if a file with certificates is none.
        """
        self._settings = settings
        self._subscriptions = tuple(subscriptions)
        self._wants = wants
        self._now = now
        self._emit = emit
        self._draw = draw
        self._stopping = threading.Event()
        self._has_begun = threading.Event()
        self._bell: Bell | None = None
        self._outcome = Outcome()
        self._client = self._make_client(client_id)
        # Stock paho reads one packet at a time, and would be woken for none of the others.
        longest_s = gather_s if isinstance(self._client, BulkClient) else None
        self._gathering = Gathering(longest_s, lambda: now().monotonic_s, self._ring)
        self._thread = threading.Thread(target=self._run, name="broker", daemon=True)

    def _make_client(self, client_id: str) -> paho.Client:
        settings = self._settings
        client = self._bulk_client(client_id) if lean.is_tested() else _stock_client(client_id)
        client.connect_timeout = CONNECT_TIMEOUT_S
        if settings.username is not None:
            password = settings.password.reveal() if settings.password else None
            client.username_pw_set(settings.username, password)
        if settings.tls:
            context = tls_context(settings)
            client.tls_set_context(context)
            # paho would look for the name itself where the context does not.
            client.tls_insecure_set(not context.check_hostname)
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_message = self._on_message
        # Without this, `publish` writes to the socket from the thread that calls it.
        client.on_socket_register_write = self._leave_writing_to_the_thread
        return client

    def _bulk_client(self, client_id: str) -> BulkClient:
        return BulkClient(
            CallbackAPIVersion.VERSION2,
            client_id=client_id,
            protocol=paho.MQTTv311,
            reconnect_on_failure=False,
            wants=self._wants,
            deliver=self._pass_on,
        )

    # --- for other threads -----------------------------------------------------------------------

    def start(self, wait_s: float = 0.0) -> None:
        """Starts the thread: connects, and connects again, until `stop`.

        Returns when the subscriptions are on their way, or the first attempt has failed, or after
        `wait_s`.
        """
        self._bell = Bell()
        self._thread.start()
        self._has_begun.wait(wait_s)

    def stop(self, timeout_s: float) -> None:
        """Reads what has come, says goodbye and ends the thread, waiting at most `timeout_s`."""
        self._stopping.set()
        self._ring()
        if self._thread.is_alive():
            self._thread.join(timeout_s)

    def subscribe(self, topics: tuple[str, ...]) -> None:
        """Subscribes, QoS 0; of no effect while there is no connection."""
        self._gathering.hold_off()
        self._client.subscribe([(topic, 0) for topic in topics])

    def publish(self, topic: str, payload: bytes) -> None:
        """Publishes a keepalive, QoS 0. Nothing else can be published: ValueError."""
        if not _KEEPALIVE_TOPIC.fullmatch(topic):
            raise ValueError(f"expected a keepalive topic, found {topic!r}")
        log.debug("keepalive to %s: %s", topic, payload.decode(errors="replace"))
        self._client.publish(topic, payload, qos=0, retain=False)

    def read_by(self, due_s: float) -> None:
        """Whoever gets the messages acts next at `due_s` on the monotonic clock.

        What has arrived half a second before is emitted by then. The latest call counts.
        """
        self._gathering.read_by(due_s)

    def drop(self) -> None:
        """Ends the connection; the thread makes a new one."""
        self._client.disconnect()

    def _ring(self) -> None:
        if self._bell is not None:
            self._bell.ring()

    def _leave_writing_to_the_thread(self, _client: Any, _userdata: Any, _sock: Any) -> None:
        """Called by paho, in any thread, when there is something to write."""
        self._ring()

    # --- the thread ------------------------------------------------------------------------------

    def _run(self) -> None:
        bell = self._bell or Bell()
        waits = Waits(self._draw)
        try:
            while not self._stopping.is_set():
                self._outcome = Outcome()
                self._connect_and_listen(bell)
                self._has_begun.set()
                if not self._stopping.is_set():
                    self._emit(Disconnected(self._now(), self._outcome.reason))
                    self._stopping.wait(waits.after(self._outcome, self._now().monotonic_s))
        finally:
            self._has_begun.set()
            bell.close()

    def _connect_and_listen(self, bell: Bell) -> None:
        """One connection from beginning to end; `self._outcome` tells how it went."""
        settings = self._settings
        self._gathering.start_afresh()
        try:
            self._client.connect(settings.host, settings.port, keepalive=MQTT_KEEPALIVE_S)
        except OSError as error:
            self._outcome.reason = reason_of(error, settings, CONNECT_TIMEOUT_S)
            return
        while not self._stopping.is_set():
            timeout_s = self._gathering.wait_s() if self._gathering.is_on else LOOP_TIMEOUT_S
            if self._turn(bell, timeout_s) != MQTTErrorCode.MQTT_ERR_SUCCESS:
                return
            if self._outcome.connected_s is not None and not self._has_begun.is_set():
                self._has_begun.set()
            if isinstance(sock := self._client.socket(), socket.socket):
                self._gathering.begin_or_end(sock)
        # Not in `stop`: a goodbye that goes out before the last words are read ends the reading.
        self._turn(bell, 0.0)
        self._client.disconnect()
        self._turn(bell, 0.0)

    def _turn(self, bell: Bell, timeout_s: float) -> MQTTErrorCode:
        """Waits for something to do, for so long at most, and does it."""
        client, sock = self._client, self._client.socket()
        if sock is None:
            return MQTTErrorCode.MQTT_ERR_NO_CONN
        # What the bell does not see: what TLS has taken out, and what is less than GATHER_BYTES.
        is_pending = isinstance(sock, ssl.SSLSocket) and sock.pending() > 0
        if is_pending or (isinstance(client, BulkClient) and client.has_more):
            timeout_s = 0.0
        bell.wait(sock, timeout_s, is_to_write=client.want_write())
        # Whatever ended the wait, all three: of less than GATHER_BYTES it tells nothing.
        for step in (self._read, client.loop_write, client.loop_misc):
            code = step()
            if code != MQTTErrorCode.MQTT_ERR_SUCCESS or client.socket() is None:
                return code
        return MQTTErrorCode.MQTT_ERR_SUCCESS

    def _read(self) -> MQTTErrorCode:
        try:
            return self._client.loop_read()
        except (struct.error, IndexError, KeyError, ValueError) as error:
            # paho's parser, which is strict only in part, met a packet that is none.
            log.debug("not MQTT: %r", error)
            self._client.disconnect()
            self._client.loop_write()
            self._outcome.reason = "the broker sent what is not MQTT"
            return MQTTErrorCode.MQTT_ERR_PROTOCOL

    def _on_connect(
        self, _client: Any, _userdata: Any, _flags: Any, reason_code: ReasonCode, _properties: Any
    ) -> None:
        if reason_code.is_failure:
            self._outcome.is_refused = True
            self._outcome.is_login_refused = is_login_refused(reason_code)
            self._outcome.reason = refusal(reason_code, self._settings)
            return
        moment = self._now()
        self._outcome.connected_s = moment.monotonic_s
        for topics in self._subscriptions:
            self.subscribe(topics)
        self._emit(Connected(moment))

    def _on_disconnect(
        self, _client: Any, _userdata: Any, _flags: Any, reason_code: ReasonCode, _properties: Any
    ) -> None:
        if self._outcome.is_refused:
            return
        if not reason_code.is_failure:
            self._outcome.reason = "ended by us, as nothing came"
        elif self._outcome.connected_s is not None:
            self._outcome.reason = f"the connection was lost ({reason_code})"
        else:
            self._outcome.reason = silence(self._settings)

    def _on_message(self, _client: Any, _userdata: Any, message: paho.MQTTMessage) -> None:
        try:
            topic = message.topic
        except UnicodeDecodeError:
            return
        if self._wants(topic):
            self._pass_on([(topic, bytes(message.payload), message.retain)])

    def _pass_on(self, received: list[Received]) -> None:
        """Emits messages that were read together, at one moment."""
        moment = self._now()
        for each in still_telling(received) if self._gathering.is_on else received:
            self._emit(Message(moment, *each))


def _stock_client(client_id: str) -> paho.Client:
    """Stock paho, for versions that the bulk reader has not been tested with."""
    log.warning(
        "paho-mqtt %s is not one of those tested (%s): reading with its own reader, which takes"
        " ten times the CPU time",
        lean.paho_version(),
        ", ".join(sorted(lean.TESTED_VERSIONS)),
    )
    return paho.Client(
        CallbackAPIVersion.VERSION2,
        client_id=client_id,
        protocol=paho.MQTTv311,
        reconnect_on_failure=False,
    )
