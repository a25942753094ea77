"""Keeps one connection to one broker, in one thread.

The thread only passes on what happens, as events with the moment they happened. It decides only
which messages are not worth passing on, and how long to wait before it connects again.
"""

import logging
import os
import re
import socket
import threading
import time
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, Final

import paho.mqtt.client as paho
from paho.mqtt.enums import MQTTErrorCode
from paho.mqtt.reasoncodes import ReasonCode

from mqtt_http_bridge.adapters import thread_start
from mqtt_http_bridge.adapters.broker.addresses import Addresses
from mqtt_http_bridge.adapters.broker.asked import Asked
from mqtt_http_bridge.adapters.broker.bulk_reader import BulkClient
from mqtt_http_bridge.adapters.broker.client import (
    NOT_MQTT,
    connect_timeout_s,
    make_client,
    tell_of_lack,
)
from mqtt_http_bridge.adapters.broker.read_marks import ReadMarks
from mqtt_http_bridge.adapters.broker.receive_batching import ReceiveBatching
from mqtt_http_bridge.adapters.broker.reconnect_delay import Outcome
from mqtt_http_bridge.adapters.broker.shared_id import SharedId, Trial, tried
from mqtt_http_bridge.adapters.broker.trust import failure_by
from mqtt_http_bridge.adapters.broker.wakeup import Wakeup, is_pending, is_readable
from mqtt_http_bridge.adapters.connection_error import failure_of
from mqtt_http_bridge.core.backoff import Draw
from mqtt_http_bridge.core.broker_failure import BrokerFailure, Cause, failure_at
from mqtt_http_bridge.core.events import (
    LONGEST_WAIT_S,
    Connected,
    Disconnected,
    Dropped,
    Event,
    Message,
    Moment,
    SubscriptionRefused,
)
from mqtt_http_bridge.core.settings import MqttSettings
from mqtt_http_bridge.core.venus.superseded import Received, make_room, without_superseded
from mqtt_http_bridge.core.venus.topics import above, keepalive_topic
from mqtt_http_bridge.core.watchdog import Progress

log = logging.getLogger(__name__)

MQTT_KEEPALIVE_S: Final = 20
"""Half the longest time that a dead connection can go unnoticed; a ping costs two bytes."""
LONGEST_CONNECT_S: Final = 180.0
"""The limit for a whole attempt: a resolver asks some servers several times, and a name may have
several addresses."""
MANY: Final = 256
"""If this many messages are read together, it is a flood, or a full publish, which has each value
only once."""

UNSPECIFIED: Final = 0x80
"""Paho's codes for an end by the other side; if the connection just goes silent, the code
differs."""
_KEEPALIVE_TOPIC: Final = keepalive_topic("[^/+#]+")
"""The topic of any GX, as a pattern."""


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
        batch_s: float | None = None,
        speaker_of: Callable[[str], str] = lambda topic: "",
        tells_reads: bool = False,
    ) -> None:
        """Connects only after `start`.

        Topics in events and in `wants` are those of the GX, without the prefix that this broker may
        put before them; only refused topics are reported as the broker has them. Each connection
        begins with `subscriptions`, one packet each. `emit` is called from the thread that `start`
        starts, for messages whose topic `wants` accepts.

        With `batch_s`, messages may be emitted up to that much later while no answer is expected,
        and of measured numbers that were read together only the last of each: see `read_by`. Of
        unwanted messages, one is emitted now and then for each speaker that `speaker_of` returns
        for their topics, under the speaker's own topic, to show that it is alive. With
        `tells_reads`, AllRead is emitted as well.

        Raises ConfigError if a file with certificates is not valid.
        """
        self._settings = settings
        self._addresses = Addresses(settings.each(), draw)
        self._prefix = settings.topic_prefix
        self._subscriptions = tuple(subscriptions)
        self._now = now
        self._emit = emit
        self._stopping = threading.Event()
        self._has_begun = threading.Event()
        self._wakeup: Wakeup | None = None
        self._outcome = Outcome()
        self._subscribed = 0
        """The number of GX devices subscribed to on this connection, one after another."""
        self._asked = Asked()
        self._shared_id = SharedId()
        self._client_id = client_id
        self._client = self._make_client(wants, speaker_of)
        # Stock paho reads one packet each time it is woken, and would not be woken for the others.
        longest_s = batch_s if isinstance(self._client, BulkClient) else None
        self._batching = ReceiveBatching(longest_s, lambda: now().monotonic_s, self._wake)
        self._may_batch = longest_s is not None
        self._marks = ReadMarks(emit, is_on=tells_reads)
        self.progress = Progress("broker", time.monotonic)
        """Shows the watchdog that the thread makes progress."""
        self._thread = threading.Thread(target=self._run, name="broker", daemon=True)

    def _make_client(
        self, wants: Callable[[str], bool], speaker_of: Callable[[str], str]
    ) -> paho.Client:
        client = make_client(
            self._settings,
            self._client_id,
            wants=wants,
            speaker_of=speaker_of,
            deliver=self._pass_on,
            prefix=self._prefix,
        )
        tell_of_lack(client)
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_subscribe = self._on_subscribe
        # Without this, `publish` would write to the socket from the calling thread.
        client.on_socket_register_write = self._leave_writing_to_the_thread
        return client

    # --- for other threads -----------------------------------------------------------------------

    def start(self, wait_s: float = 0.0) -> None:
        """Starts the thread, which connects, again and again, until `stop`.

        Returns when the subscriptions have been sent, or the first attempt has failed, or after
        `wait_s`.
        """
        self._wakeup = Wakeup()
        thread_start.start(self._thread)
        self._has_begun.wait(wait_s)

    def stop(self, timeout_s: float) -> None:
        """Reads what has arrived, disconnects and ends the thread; waits at most `timeout_s`."""
        self._stopping.set()
        self._wake()
        if self._thread.is_alive():
            self._thread.join(timeout_s)

    def subscribe(self, topics: tuple[str, ...]) -> None:
        """Subscribes with QoS 0; does nothing while there is no connection."""
        self._batching.read_at_once()
        self._subscribed += 1
        if isinstance(self._client, BulkClient):
            self._client.make_room(self._subscribed)
            make_room(self._subscribed)
        self._asked.subscribe(self._client, tuple(above(self._prefix, topic) for topic in topics))

    def unsubscribe(self, topics: tuple[str, ...]) -> None:
        """Undoes `subscribe`; does nothing while there is no connection."""
        self._client.unsubscribe([above(self._prefix, topic) for topic in topics])

    def publish(self, topic: str, payload: bytes) -> None:
        """Publishes a keepalive with QoS 0. Raises ValueError for anything else."""
        if not re.fullmatch(_KEEPALIVE_TOPIC, topic):
            raise ValueError(f"expected a keepalive topic, found {topic!r}")
        log.debug("keepalive to %s: %s", topic, payload.decode(errors="replace"))
        self._client.publish(above(self._prefix, topic), payload, qos=0, retain=False)

    def read_by(self, due_s: float) -> None:
        """Sets when the receiver of the messages acts next: at `due_s` on the monotonic clock.

        Whatever arrived until half a second before is emitted by then, followed by AllRead. The
        latest call counts.
        """
        self._batching.read_by(due_s)

    def read_at_once(self) -> None:
        """Reads messages at once for the next few seconds."""
        self._batching.read_at_once()

    def drop(self) -> None:
        """Ends the connection; the thread then makes a new one."""
        self._client.disconnect()

    def _wake(self) -> None:
        if self._wakeup is not None:
            self._wakeup.wake()

    def _leave_writing_to_the_thread(self, _client: Any, _userdata: Any, _sock: Any) -> None:
        """Wakes the thread, which does all the writing. Paho calls this in any thread."""
        if threading.current_thread() is not self._thread:
            self._wake()

    # --- the thread ------------------------------------------------------------------------------

    def _run(self) -> None:
        wakeup = self._wakeup or Wakeup()
        attempts = 0
        try:
            while not self._stopping.is_set():
                self._outcome = Outcome()
                self._connect_and_listen(wakeup)
                self.progress.turn()
                attempts += 1
                if attempts >= len(self._addresses):
                    self._has_begun.set()
                if not self._stopping.is_set():
                    self._shared_id.note(self._outcome, self._now().monotonic_s)
                    self._emit(Disconnected(self._now(), self._outcome.failure))
                    self._pause(self._addresses.after(self._outcome, self._now().monotonic_s))
                if self._shared_id.is_to_be_tried:
                    self._shared_id.take_in(self._try_another_id())
        finally:
            self.progress.end()
            self._has_begun.set()
            wakeup.close()

    def _pause(self, wait_s: float) -> None:
        """Waits, by the clock that also runs while the machine sleeps; not at all after `stop`."""
        until_s = self._now().monotonic_s + wait_s
        while (left_s := until_s - self._now().monotonic_s) > 0.0:
            self.progress.turn()
            if self._stopping.wait(min(left_s, LONGEST_WAIT_S)):
                return

    def _try_another_id(self) -> Trial:
        """Tests whether a connection under another id is cut off like those under ours."""
        self.progress.busy(LONGEST_CONNECT_S)
        other = partial(
            make_client,
            self._settings,
            f"{self._client_id}-{os.urandom(4).hex()}",
            wants=lambda topic: False,
            deliver=lambda received: None,
        )
        return tried(other, self._addresses.current, self._shared_id.trial_s, self._go_on)

    def _go_on(self) -> bool:
        self.progress.turn()
        return not self._stopping.is_set()

    def _connect_and_listen(self, wakeup: Wakeup) -> None:
        """Runs one connection from beginning to end; `self._outcome` says how it went."""
        settings = self._addresses.current
        self._batching.start_afresh()
        self._marks.start_afresh()
        self._asked.start_afresh()
        self._subscribed = 0
        self.progress.busy(LONGEST_CONNECT_S)
        try:
            self._client.connect(settings.host, settings.port, keepalive=MQTT_KEEPALIVE_S)
        except OSError as error:
            self._outcome.failure = failure_of(error, settings, connect_timeout_s(self._settings))
            return
        while not self._stopping.is_set():
            self.progress.turn()
            if self._turn(wakeup, self._batching.wait_s()) != MQTTErrorCode.MQTT_ERR_SUCCESS:
                return
            if self._outcome.connected_s is not None and not self._has_begun.is_set():
                self._has_begun.set()
            if isinstance(sock := self._client.socket(), socket.socket):
                self._batching.begin_or_end(sock)
        # Not in `stop`: a disconnect that is sent before the last messages are read ends the
        # reading.
        self._turn(wakeup, 0.0)
        self._client.disconnect()
        self._turn(wakeup, 0.0)

    def _turn(self, wakeup: Wakeup, timeout_s: float) -> MQTTErrorCode:
        """Waits for something to do, up to a limit, and does it."""
        client, sock = self._client, self._client.socket()
        if sock is None:
            return MQTTErrorCode.MQTT_ERR_NO_CONN
        # The wait cannot see what TLS has already taken out, nor less than BATCH_BYTES.
        if is_pending(sock) or (isinstance(client, BulkClient) and client.has_more):
            timeout_s = 0.0
        is_to_read = wakeup.wait(sock, timeout_s, is_to_write=client.want_write())
        # `loop_misc` comes after a read, or it would miss the answer to a ping that has come
        # meanwhile, and before writing, because it may have something to write: a ping.
        steps = (self._read, client.loop_misc, client.loop_write)
        for step in steps if is_to_read else steps[2:]:
            code = step()
            if code != MQTTErrorCode.MQTT_ERR_SUCCESS or client.socket() is None:
                return code
        return MQTTErrorCode.MQTT_ERR_SUCCESS

    def _read(self) -> MQTTErrorCode:
        """Reads what there is, and reports up to when everything has been read."""
        # Before reading: a message that arrives during the read may or may not be part of it.
        until_s = self._now().monotonic_s
        self._batching.note_read(until_s)
        code = self._read_packets()
        if isinstance(self._client, BulkClient) and (count := self._client.take_dropped()):
            self._emit(Dropped(self._now(), packets=count))
        is_connected = self._outcome.connected_s is not None
        if code != MQTTErrorCode.MQTT_ERR_SUCCESS or self._client.socket() is None:
            return code
        if is_connected and self._is_all_read():
            is_asked = self._batching.is_reading_due(until_s)
            self._marks.all_read(until_s, self._now, is_asked=is_asked)
        return code

    def _is_all_read(self) -> bool:
        client, sock = self._client, self._client.socket()
        if isinstance(client, BulkClient):
            return not client.has_more
        return not is_readable(sock)

    def _read_packets(self) -> MQTTErrorCode:
        try:
            return self._client.loop_read()
        except NOT_MQTT as error:
            log.debug("not MQTT: %r", error)
            self._client.disconnect()
            self._client.loop_write()
            self._outcome.failure = failure_at(self._addresses.current, Cause.NOT_MQTT)
            return MQTTErrorCode.MQTT_ERR_PROTOCOL

    def _on_connect(
        self, _client: Any, _userdata: Any, _flags: Any, reason_code: ReasonCode, _properties: Any
    ) -> None:
        if reason_code.is_failure:
            self._outcome.is_refused = True
            self._outcome.failure = failure_by(reason_code, self._addresses.current)
            return
        if self._outcome.connected_s is not None:
            return  # It was logged before on this connection.
        moment = self._now()
        self._outcome.connected_s = moment.monotonic_s
        for topics in self._subscriptions:
            self.subscribe(topics)
        self._emit(Connected(moment, tells_reads=self._marks.is_on, where=self._where))

    @property
    def _where(self) -> str:
        """Names host and port, if there are several."""
        return self._addresses.current.place if len(self._addresses) > 1 else ""

    def _on_subscribe(
        self, _client: Any, _userdata: Any, number: int, codes: list[ReasonCode], _properties: Any
    ) -> None:
        if refused := self._asked.refused(number, codes):
            self._emit(SubscriptionRefused(self._now(), refused))

    def _on_disconnect(
        self, _client: Any, _userdata: Any, _flags: Any, reason_code: ReasonCode, _properties: Any
    ) -> None:
        if self._outcome.is_refused:
            return
        if not reason_code.is_failure:
            self._outcome.failure = self._ended(Cause.GIVEN_UP)
        elif self._outcome.connected_s is not None:
            self._outcome.is_cut_off = reason_code.value == UNSPECIFIED
            self._outcome.failure = self._ended(Cause.LOST, str(reason_code))
        else:
            self._outcome.failure = failure_at(self._addresses.current, Cause.HUNG_UP)

    def _ended(self, cause: Cause, detail: str = "") -> BrokerFailure:
        """Says why a connection ended, and at which address if there are several."""
        if self._where:
            return failure_at(self._addresses.current, cause, detail)
        return BrokerFailure(cause, detail=detail)

    def _pass_on(self, received: list[Received]) -> None:
        """Emits messages that were read together, with the same moment."""
        moment = self._now()
        self._marks.before_messages(moment)
        is_batch = self._batching.is_on or (self._may_batch and len(received) > MANY)
        for each in without_superseded(received) if is_batch else received:
            self._emit(Message(moment, *each))
