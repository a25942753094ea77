"""Translates errors of the operating system and of TLS into failures of a broker connection."""

import errno
import socket
import ssl
from typing import Final

from mqtt_http_bridge.adapters import machine
from mqtt_http_bridge.core.broker_failure import BrokerFailure, Cause, failure_at
from mqtt_http_bridge.core.settings import MqttSettings

_OUT_OF_DATE: Final = (9, 10)
"""OpenSSL's codes for a certificate that is not valid yet, or no longer."""


def failure_of(error: OSError, settings: MqttSettings, timeout_s: float) -> BrokerFailure:
    """Says why there is no connection; `timeout_s` is the limit that each step had."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return failure_at(settings, *_certificate_cause(error))
    if isinstance(error, TimeoutError):
        return failure_at(settings, Cause.TIMED_OUT, f"{timeout_s:.0f} s")
    words = error.strerror or str(error) or type(error).__name__
    if isinstance(error, ConnectionRefusedError):
        failure = failure_at(settings, Cause.PORT_CLOSED, words)
        return failure._replace(is_no_gx=machine.is_no_gx(settings.host))
    return failure_at(settings, _cause(error, has_tls=settings.tls), words)


def _cause(error: OSError, *, has_tls: bool) -> Cause:
    if isinstance(error, socket.gaierror):
        return Cause.NAME_NOT_RESOLVED
    if error.errno in (errno.EMFILE, errno.ENFILE):
        return Cause.NO_ROOM
    if isinstance(error, ssl.SSLError) or (has_tls and isinstance(error, ConnectionError)):
        return Cause.NO_TLS
    return Cause.UNREACHABLE


def _certificate_cause(error: ssl.SSLCertVerificationError) -> tuple[Cause, str]:
    from mqtt_http_bridge.adapters.tls import NotPinned  # Only with TLS.

    if isinstance(error, NotPinned):
        return Cause.CERTIFICATE_NOT_PINNED, ""
    words = error.verify_message.rstrip(".")
    if error.verify_code in _OUT_OF_DATE:
        return Cause.CERTIFICATE_OUT_OF_DATE, words
    return Cause.CERTIFICATE_NOT_TRUSTED, words
