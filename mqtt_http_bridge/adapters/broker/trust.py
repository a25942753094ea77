"""Whom the connection trusts, and what to tell when one of the two sides is refused."""

import ssl
from typing import Final

from paho.mqtt.reasoncodes import ReasonCode

from mqtt_http_bridge.core.errors import ConfigError
from mqtt_http_bridge.core.settings import MqttSettings

_UNKNOWN_ISSUER: Final = (18, 19, 20, 21)
"""OpenSSL's codes for a certificate that leads to none that is trusted."""
_LOGIN_REFUSALS: Final = ("Bad user name or password", "Not authorized")
"""Other refusals, such as "Server unavailable", are a broker's passing trouble."""


def tls_context(settings: MqttSettings) -> ssl.SSLContext:
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


def reason_of(error: OSError, settings: MqttSettings, timeout_s: float) -> str:
    """Why there is no connection."""
    where = f"{settings.host}:{settings.port}"
    if isinstance(error, ssl.SSLCertVerificationError):
        if settings.pinned_certificate and error.verify_code in _UNKNOWN_ISSUER:
            return f"{where}: its certificate is not the pinned one: see mqtt.pinned_certificate"
        return f"{where}: its certificate is not trusted: {error.verify_message.rstrip('.')}"
    if isinstance(error, ssl.SSLError) or (settings.tls and isinstance(error, ConnectionError)):
        found = error.strerror or type(error).__name__
        return f"{where}: no TLS there ({found}): is mqtt.port right for mqtt.tls?"
    if isinstance(error, TimeoutError):
        return f"{where}: no answer within {timeout_s:.0f} s"
    return f"{where}: {error.strerror or error}"


def silence(settings: MqttSettings) -> str:
    """Why a connection may end before the broker has answered to the login."""
    question = "is it a broker?" if settings.tls else "is it a broker, and one without TLS?"
    return f"{settings.host}:{settings.port}: hung up without an answer: {question}"


def is_login_refused(reason_code: ReasonCode) -> bool:
    """Whether it is about who we are: trying that too often locks others out, too."""
    return str(reason_code) in _LOGIN_REFUSALS


def refusal(reason_code: ReasonCode, settings: MqttSettings) -> str:
    """Why the broker does not let us in."""
    where = f"{settings.host}:{settings.port}"
    if not is_login_refused(reason_code):
        return f"{where}: the broker refused us ({reason_code})"
    if settings.password is None:
        return f"{where}: login refused ({reason_code}): set mqtt.password to the GX's password"
    return f"{where}: login refused ({reason_code}): is mqtt.password the GX's password?"
