"""The MQTT side: one paho client, one thread, and a connection that is made again for ever.

The thread only passes on what happens, as events with the moment they happened. It decides nothing
but which messages are not worth passing on, and how long to wait before it connects again.
"""

import logging
import re
import ssl
import struct
import threading
from collections.abc import Callable
from typing import Any, Final

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode
from paho.mqtt.reasoncodes import ReasonCode

from mqtt_http_bridge.core import venus
from mqtt_http_bridge.core.backoff import Draw, full_jitter_s, steady_jitter_s
from mqtt_http_bridge.core.errors import ConfigError
from mqtt_http_bridge.core.events import Connected, Disconnected, Event, Message, Moment
from mqtt_http_bridge.core.settings import MqttSettings

log = logging.getLogger(__name__)

MQTT_KEEPALIVE_S: Final = 20
"""How long a dead connection goes unnoticed at most, twice over; a ping costs two bytes."""
CONNECT_TIMEOUT_S: Final = 10.0
LOOP_TIMEOUT_S: Final = 1.0

FIRST_WAIT_S: Final = 1.0
LONGEST_WAIT_S: Final = 60.0
STEADY_S: Final = 30.0
"""A connection that held so long was a good one: the next wait is a short one again. One that is
cut off at once, as by another client with our id, does not count."""
FIRST_REFUSED_WAIT_S: Final = 60.0
LONGEST_REFUSED_WAIT_S: Final = 900.0
"""The GX counts refused logins, 150 a day for all clients together (GX.md): spare them."""
_UNKNOWN_ISSUER: Final = (18, 19, 20, 21)
"""OpenSSL's codes for a certificate that leads to none that is trusted."""
_LOGIN_REFUSALS: Final = ("Bad user name or password", "Not authorized")
"""Other refusals, such as "Server unavailable", are a broker's passing trouble."""

_KEEPALIVE_TOPIC: Final = re.compile(re.escape(venus.keepalive_topic("@")).replace("@", "[^/+#]+"))


class Broker:
    """The connection to one broker. Any thread may call its methods."""

    def __init__(
        self,
        settings: MqttSettings,
        *,
        client_id: str,
        wants: Callable[[str], bool],
        now: Callable[[], Moment],
        emit: Callable[[Event], None],
        draw: Draw,
    ) -> None:
        """Nothing is connected until `start`.

        `emit` is called from the thread that it starts, for messages whose topic `wants` wants.

        Raises ConfigError if a file with certificates is none.
        """
        self._settings = settings
        self._wants = wants
        self._now = now
        self._emit = emit
        self._draw = draw
        self._stopping = threading.Event()
        self._outcome = _Outcome()
        self._client = self._make_client(client_id)
        self._thread = threading.Thread(target=self._run, name="broker", daemon=True)

    def _make_client(self, client_id: str) -> paho.Client:
        settings = self._settings
        client = paho.Client(
            CallbackAPIVersion.VERSION2,
            client_id=client_id,
            protocol=paho.MQTTv311,
            reconnect_on_failure=False,
        )
        client.connect_timeout = CONNECT_TIMEOUT_S
        if settings.username is not None:
            password = settings.password.reveal() if settings.password else None
            client.username_pw_set(settings.username, password)
        if settings.tls:
            context = _tls_context(settings)
            client.tls_set_context(context)
            # paho would look for the name itself where the context does not.
            client.tls_insecure_set(not context.check_hostname)
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_message = self._on_message
        # Without this, `publish` writes to the socket from the thread that calls it.
        client.on_socket_register_write = _leave_writing_to_the_loop
        return client

    # --- for other threads -----------------------------------------------------------------------

    def start(self) -> None:
        """Starts the thread: connects, and connects again, until `stop`."""
        self._thread.start()

    def stop(self, timeout_s: float) -> None:
        """Says goodbye to the broker and ends the thread, waiting for it at most `timeout_s`."""
        self._stopping.set()
        self._client.disconnect()
        if self._thread.is_alive():
            self._thread.join(timeout_s)

    def subscribe(self, topics: tuple[str, ...]) -> None:
        """Subscribes, QoS 0; of no effect while there is no connection."""
        self._client.subscribe([(topic, 0) for topic in topics])

    def publish(self, topic: str, payload: bytes) -> None:
        """Publishes a keepalive, QoS 0. Nothing else can be published: ValueError."""
        if not _KEEPALIVE_TOPIC.fullmatch(topic):
            raise ValueError(f"expected a keepalive topic, found {topic!r}")
        log.debug("keepalive to %s: %s", topic, payload.decode(errors="replace"))
        self._client.publish(topic, payload, qos=0, retain=False)

    def drop(self) -> None:
        """Ends the connection; the thread makes a new one."""
        self._client.disconnect()

    # --- the thread ------------------------------------------------------------------------------

    def _run(self) -> None:
        waits = _Waits(self._draw)
        while not self._stopping.is_set():
            self._outcome = _Outcome()
            self._connect_and_listen()
            if not self._stopping.is_set():
                self._emit(Disconnected(self._now(), self._outcome.reason))
                self._stopping.wait(waits.after(self._outcome, self._now().monotonic_s))

    def _connect_and_listen(self) -> None:
        """One connection from beginning to end; `self._outcome` tells how it went."""
        settings = self._settings
        try:
            self._client.connect(settings.host, settings.port, keepalive=MQTT_KEEPALIVE_S)
        except OSError as error:
            self._outcome.reason = _reason(error, settings)
            return
        while not self._stopping.is_set():
            if not self._loop():
                return
        # `stop` says goodbye, too, but it may have come before there was a connection to end.
        self._client.disconnect()
        self._loop()

    def _loop(self) -> bool:
        """Lets paho do what there is to do; false when the connection is over."""
        try:
            return self._client.loop(LOOP_TIMEOUT_S) == MQTTErrorCode.MQTT_ERR_SUCCESS
        except struct.error:
            # paho up to 2.1 lets this out for a PUBLISH that is cut short.
            self._outcome.reason = "the broker sent what is not MQTT"
            return False

    def _on_connect(
        self, _client: Any, _userdata: Any, _flags: Any, reason_code: ReasonCode, _properties: Any
    ) -> None:
        if reason_code.is_failure:
            self._outcome.is_refused = True
            self._outcome.is_login_refused = str(reason_code) in _LOGIN_REFUSALS
            self._outcome.reason = _refusal(reason_code, self._settings)
            return
        moment = self._now()
        self._outcome.connected_s = moment.monotonic_s
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
            self._outcome.reason = _silence(self._settings)

    def _on_message(self, _client: Any, _userdata: Any, message: paho.MQTTMessage) -> None:
        try:
            topic = message.topic
        except UnicodeDecodeError:
            return
        if self._wants(topic):
            self._emit(Message(self._now(), topic, bytes(message.payload), message.retain))


class _Outcome:
    """How one connection went: written and read by the broker's thread only."""

    def __init__(self) -> None:
        self.connected_s: float | None = None
        self.is_refused = False
        self.is_login_refused = False
        self.reason = "the broker did not answer"


class _Waits:
    """How long to wait before the next connection, by how the last ones went."""

    def __init__(self, draw: Draw) -> None:
        self._draw = draw
        self._failures = 0
        self._refusals = 0

    def after(self, outcome: _Outcome, now_s: float) -> float:
        """Seconds to wait after a connection that has just ended."""
        if outcome.is_login_refused:
            self._refusals += 1
            return steady_jitter_s(
                self._refusals,
                first_s=FIRST_REFUSED_WAIT_S,
                limit_s=LONGEST_REFUSED_WAIT_S,
                draw=self._draw,
            )
        if outcome.connected_s is not None:
            self._refusals = 0
            if now_s - outcome.connected_s >= STEADY_S:
                self._failures = 0
        self._failures += 1
        return full_jitter_s(
            self._failures, first_s=FIRST_WAIT_S, limit_s=LONGEST_WAIT_S, draw=self._draw
        )


def _leave_writing_to_the_loop(_client: Any, _userdata: Any, _sock: Any) -> None:
    """Tells paho that the loop, which it wakes, does the writing."""


def _tls_context(settings: MqttSettings) -> ssl.SSLContext:
    """A context that always verifies; see MqttSettings for what against."""
    trusted = settings.pinned_certificate or settings.ca_file
    if trusted is None:
        return ssl.create_default_context()
    # Not create_default_context: from Python 3.13 on it refuses certificates that, like the GX's,
    # are correct but not to the letter of RFC 5280.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = settings.pinned_certificate is None
    try:
        context.load_verify_locations(cafile=trusted)
    except (ssl.SSLError, OSError) as error:
        key = "mqtt.pinned_certificate" if settings.pinned_certificate else "mqtt.ca_file"
        raise ConfigError(
            f"{key}: expected certificates in PEM, found none in {trusted}"
        ) from error
    return context


def _reason(error: OSError, settings: MqttSettings) -> str:
    where = f"{settings.host}:{settings.port}"
    if isinstance(error, ssl.SSLCertVerificationError):
        if settings.pinned_certificate and error.verify_code in _UNKNOWN_ISSUER:
            return f"{where}: its certificate is not the pinned one: see mqtt.pinned_certificate"
        return f"{where}: its certificate is not trusted: {error.verify_message.rstrip('.')}"
    if isinstance(error, ssl.SSLError) or (settings.tls and isinstance(error, ConnectionError)):
        found = error.strerror or type(error).__name__
        return f"{where}: no TLS there ({found}): is mqtt.port right for mqtt.tls?"
    if isinstance(error, TimeoutError):
        return f"{where}: no answer within {CONNECT_TIMEOUT_S:.0f} s"
    return f"{where}: {error.strerror or error}"


def _silence(settings: MqttSettings) -> str:
    """Why a connection may end before the broker has answered to the login."""
    question = "is it a broker?" if settings.tls else "is it a broker, and one without TLS?"
    return f"{settings.host}:{settings.port}: hung up without an answer: {question}"


def _refusal(reason_code: ReasonCode, settings: MqttSettings) -> str:
    where = f"{settings.host}:{settings.port}"
    if str(reason_code) not in _LOGIN_REFUSALS:
        return f"{where}: the broker refused us ({reason_code})"
    if settings.password is None:
        return f"{where}: login refused ({reason_code}): set mqtt.password to the GX's password"
    return f"{where}: login refused ({reason_code}): is mqtt.password the GX's password?"
