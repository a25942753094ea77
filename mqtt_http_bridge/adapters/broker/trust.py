"""Sets up TLS trust, and says what a refused connection means."""

import ssl
from collections.abc import Mapping
from typing import Final

from paho.mqtt.reasoncodes import ReasonCode

from mqtt_http_bridge.core.broker_failure import BrokerFailure, Cause, failure_at
from mqtt_http_bridge.core.errors import ConfigError
from mqtt_http_bridge.core.settings import MqttSettings

_REFUSALS: Final[Mapping[int, Cause]] = {
    0x86: Cause.LOGIN_REFUSED,  # Bad user name or password
    0x87: Cause.LOGIN_REFUSED,  # Not authorized
    0x88: Cause.UNAVAILABLE,  # Server unavailable
}
"""By the codes of MQTT 5, into which paho converts those of MQTT 3.1.1. Only a refused login is
about who we are; an unavailable server is a passing trouble of the broker."""


def tls_context(settings: MqttSettings) -> ssl.SSLContext:
    """Makes a context that always verifies the certificate; see MqttSettings for the options."""
    from mqtt_http_bridge.adapters import tls  # Only with TLS.

    pinned, ca_file = settings.pinned_certificate, settings.ca_file
    try:
        return tls.pinning(pinned) if pinned else tls.verifying(ca_file)
    except (tls.NoCertificate, OSError) as error:
        key = "mqtt.pinned_certificate" if pinned else "mqtt.ca_file"
        raise ConfigError(
            f"{key}: expected certificates in PEM, found none in {pinned or ca_file}"
        ) from error


def failure_by(reason_code: ReasonCode, settings: MqttSettings) -> BrokerFailure:
    """Says why the broker refuses us."""
    cause = _REFUSALS.get(reason_code.value, Cause.CLIENT_REFUSED)
    return failure_at(settings, cause, str(reason_code))
