"""Finds the next command for a GX that cannot be reached, by looking at its other port."""

from mqtt_http_bridge.adapters import network
from mqtt_http_bridge.core import advice, before_config
from mqtt_http_bridge.core.broker_failure import BrokerFailure, Cause
from mqtt_http_bridge.core.settings import MqttSettings


def port_fix(mqtt: MqttSettings, failure: BrokerFailure, port_option: str = "--port") -> str:
    """Finds what to do about a port that cannot be reached: it depends on the other one."""
    if failure.cause is not Cause.PORT_CLOSED:
        return before_config.remedy(failure)
    others = [port for port in advice.GX_PORTS if port != mqtt.port]
    return before_config.closed_port(mqtt, network.open_ports(mqtt.host, others), port_option)


def login_fix(mqtt: MqttSettings, failure: BrokerFailure | None) -> str:
    """Finds what to do about a login that failed: without TLS, the port may want that."""
    if failure is None:
        return ""
    is_silent = failure.cause is Cause.HUNG_UP and not mqtt.tls
    if is_silent and network.speaks_tls(mqtt.host, mqtt.port):
        return before_config.tls_wanted(mqtt)
    return before_config.remedy(failure)
