"""Tests what is advised where there is no config: it names no key of one."""

import pytest

from mqtt_http_bridge.core import before_config
from mqtt_http_bridge.core.broker_failure import Cause, failure_at
from mqtt_http_bridge.core.config_schema import KEYS
from mqtt_http_bridge.core.settings import MqttSettings, Secret

PLAIN = MqttSettings(hosts=("gx.local",), port=1883)
WITH_TLS = MqttSettings(hosts=("gx.local",), port=8883, tls=True)


def names_no_key(text: str) -> bool:
    return not any(key in text for key in KEYS)


@pytest.mark.parametrize("cause", Cause, ids=lambda cause: cause.name)
def test_every_cause_has_a_remedy(cause: Cause) -> None:
    """A new cause needs one, with and without TLS, with and without a password."""
    for mqtt in (PLAIN, WITH_TLS):
        for password in (None, Secret("x")):
            login = MqttSettings(mqtt.hosts, mqtt.port, tls=mqtt.tls, password=password)
            remedy = before_config.remedy(failure_at(login, cause))
            assert remedy
            assert "{" not in remedy
            assert names_no_key(remedy)


def test_a_refused_password_is_compared() -> None:
    """Only where it went over TLS can the GX be one that takes paired devices only."""
    texts = [
        before_config.remedy(
            failure_at(MqttSettings(tls=tls, password=Secret("x")), Cause.LOGIN_REFUSED)
        )
        for tls in (False, True)
    ]
    assert all(text.startswith("compare the password") for text in texts)
    assert ["paired devices" in text for text in texts] == [False, True]


@pytest.mark.parametrize(
    ("mqtt", "open_ports", "advice"),
    [
        (PLAIN, [], "switch on MQTT access"),
        (WITH_TLS, [], "switch on MQTT access"),
        (PLAIN, [1883], "port 1883 is open: leave --here out"),
        (WITH_TLS, [8883], "port 8883 is open: leave --here out"),
        (PLAIN, [8883], "port 8883 is open, so this GX is secured: run: mqtt-http-bridge setup"),
        (WITH_TLS, [1883], "port 1883 is open, without TLS: there is nothing to pin or to pair"),
    ],
)
def test_a_closed_port(mqtt: MqttSettings, open_ports: list[int], advice: str) -> None:
    """The advice depends on which other port is open."""
    found = before_config.closed_port(mqtt, open_ports, "--here")
    assert found.startswith(advice)
    assert names_no_key(found)


def test_a_port_that_speaks_tls() -> None:
    """The commands name it if it is not the usual one."""
    usual = before_config.tls_wanted(MqttSettings(hosts=("gx.local",), port=8883))
    assert "--port" not in usual
    other = before_config.tls_wanted(MqttSettings(hosts=("gx.local",), port=9000))
    assert "pin gx.local --port 9000, then mqtt-http-bridge discover gx.local --port 9000" in other
    assert names_no_key(usual + other)
