"""Translates errors of the operating system and of TLS into failures of a broker connection."""

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
    if isinstance(error, socket.gaierror):
        return failure_at(settings, Cause.NAME_NOT_RESOLVED, words)
    if isinstance(error, ConnectionRefusedError):
        failure = failure_at(settings, Cause.PORT_CLOSED, words)
        return failure._replace(is_no_gx=machine.is_no_gx(settings.host))
    if isinstance(error, ssl.SSLError) or (settings.tls and isinstance(error, ConnectionError)):
        return failure_at(settings, Cause.NO_TLS, words)
    return failure_at(settings, Cause.UNREACHABLE, words)


def _certificate_cause(error: ssl.SSLCertVerificationError) -> tuple[Cause, str]:
    from mqtt_http_bridge.adapters.tls import NotPinned  # Only with TLS.

    if isinstance(error, NotPinned):
        return Cause.CERTIFICATE_NOT_PINNED, ""
    words = error.verify_message.rstrip(".")
    if error.verify_code in _OUT_OF_DATE:
        return Cause.CERTIFICATE_OUT_OF_DATE, words
    return Cause.CERTIFICATE_NOT_TRUSTED, words
