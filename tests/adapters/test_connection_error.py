"""Tests how errors of the system and of TLS are translated."""

import errno
import socket
import ssl
from pathlib import Path

import pytest

from mqtt_http_bridge.adapters import machine
from mqtt_http_bridge.adapters.connection_error import failure_of
from mqtt_http_bridge.adapters.tls import NotPinned
from mqtt_http_bridge.core.broker_failure import Cause
from mqtt_http_bridge.core.settings import MqttSettings

PLAIN = MqttSettings(hosts=("gx.local",), port=1883)
TLS = MqttSettings(hosts=("gx.local",), port=8883, tls=True)
REFUSED = ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused")
PINNED = MqttSettings(hosts=("gx.local",), port=8883, tls=True, pinned_certificate="gx.pem")


def untrusted(code: int) -> ssl.SSLCertVerificationError:
    """A certificate that OpenSSL finds fault with."""
    error = ssl.SSLCertVerificationError(1, "certificate verify failed")
    error.verify_code = code
    error.verify_message = "as OpenSSL says."
    return error


@pytest.mark.parametrize(
    ("error", "settings", "cause"),
    [
        (socket.gaierror(-2, "Name or service not known"), PLAIN, Cause.NAME_NOT_RESOLVED),
        (
            ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused"),
            PLAIN,
            Cause.PORT_CLOSED,
        ),
        (REFUSED, TLS, Cause.PORT_CLOSED),
        (OSError(errno.EHOSTUNREACH, "No route to host"), PLAIN, Cause.UNREACHABLE),
        (OSError(errno.EHOSTUNREACH, "No route to host"), TLS, Cause.UNREACHABLE),
        (OSError(errno.EMFILE, "Too many open files"), PLAIN, Cause.NO_ROOM),
        (OSError(errno.ENFILE, "Too many open files in system"), TLS, Cause.NO_ROOM),
        (ConnectionResetError(errno.ECONNRESET, "reset"), PLAIN, Cause.UNREACHABLE),
        (ConnectionResetError(errno.ECONNRESET, "reset"), TLS, Cause.NO_TLS),
        (ssl.SSLError(1, "wrong version number"), TLS, Cause.NO_TLS),
        (TimeoutError(), PLAIN, Cause.TIMED_OUT),
        (TimeoutError(), TLS, Cause.TIMED_OUT),
        (untrusted(10), TLS, Cause.CERTIFICATE_OUT_OF_DATE),
        (NotPinned(1, NotPinned.verify_message), PINNED, Cause.CERTIFICATE_NOT_PINNED),
        (untrusted(18), TLS, Cause.CERTIFICATE_NOT_TRUSTED),
        (untrusted(62), TLS, Cause.CERTIFICATE_NOT_TRUSTED),
    ],
)
def test_each_error_has_its_cause(error: OSError, settings: MqttSettings, cause: Cause) -> None:
    """The place and the system's own words go with it."""
    failure = failure_of(error, settings, 10.0)
    assert failure.cause is cause
    assert (failure.host, failure.port) == (settings.host, settings.port)
    assert not failure.is_no_gx
    assert failure.detail in ("", "10 s", "as OpenSSL says", error.strerror)


@pytest.mark.parametrize(("is_gx", "is_no_gx"), [(True, False), (False, True)])
def test_a_closed_port_of_this_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_gx: bool, is_no_gx: bool
) -> None:
    """The remedy depends on whether it is a GX."""
    monkeypatch.setattr(machine, "UNIQUE_ID", tmp_path / "unique-id")
    if is_gx:
        machine.UNIQUE_ID.touch()
    failure = failure_of(REFUSED, MqttSettings(hosts=("127.0.0.1",)), 10.0)
    assert failure.is_no_gx == is_no_gx
