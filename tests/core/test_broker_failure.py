"""Tests what is said about a failed connection, and the remedy: by its cause, not its text."""

import pytest

from mqtt_http_bridge.core.broker_failure import BrokerFailure, Cause, failure_at
from mqtt_http_bridge.core.settings import MqttSettings, Secret
from mqtt_http_bridge.core.status import findings
from mqtt_http_bridge.core.status.findings import Mark

GX = MqttSettings(hosts=("gx.local",), port=1883)


@pytest.mark.parametrize("cause", Cause, ids=lambda cause: cause.name)
def test_every_cause_has_a_text_and_a_remedy(cause: Cause) -> None:
    """A new cause needs both; neither shows a placeholder, and the text names the place."""
    failure = failure_at(GX, cause, "as the system says")
    assert str(failure).startswith("gx.local:1883: ")
    assert failure.remedy
    for text in (str(failure), str(failure_at(GX, cause)), failure.remedy):
        assert "{" not in text
        assert "()" not in text
        assert text == text.strip(" :")


def test_remedies_differ_where_the_way_to_mend_does() -> None:
    """Two causes with one remedy are one cause, but for what is simply no broker's port."""
    remedies = [failure_at(GX, cause).remedy for cause in Cause]
    shared = {remedy for remedy in remedies if remedies.count(remedy) > 1}
    assert len(shared) <= 1


@pytest.mark.parametrize(
    "cause", [c for c in Cause if c is not Cause.LOGIN_REFUSED], ids=lambda cause: cause.name
)
def test_only_a_refused_login_asks_for_the_password(cause: Cause) -> None:
    """A broker that is merely unavailable must not send anybody looking for a password."""
    finding = findings.gx_login(GX, failure_at(GX, cause, "refused, refused"))
    assert finding.mark is Mark.WRONG
    assert "password" not in finding.fix


@pytest.mark.parametrize(
    ("password", "fix"),
    [(None, "run: mqtt-http-bridge setup"), (Secret("x"), "compare mqtt.password with")],
    ids=["none", "one"],
)
def test_a_refused_login(password: Secret | None, fix: str) -> None:
    """The remedy depends on whether a password was sent."""
    settings = MqttSettings(password=password)
    assert failure_at(settings, Cause.LOGIN_REFUSED).remedy.startswith(fix)


def test_who_hangs_up_may_want_tls() -> None:
    """Asked without TLS, that is the first thing to look at; asked with it, it is not."""
    assert "mqtt.tls: true" in failure_at(GX, Cause.HUNG_UP).remedy
    assert "mqtt.tls: true" not in failure_at(MqttSettings(tls=True), Cause.HUNG_UP).remedy


def test_a_closed_port_with_tls_is_not_told_to_use_tls() -> None:
    """Either may be closed because MQTT access is off."""
    plain = failure_at(GX, Cause.PORT_CLOSED)
    with_tls = failure_at(MqttSettings(tls=True), Cause.PORT_CLOSED)
    assert "want TLS" in plain.remedy
    assert "TLS" not in with_tls.remedy + str(with_tls)
    assert "MQTT Access" in plain.remedy
    assert "MQTT Access" in with_tls.remedy


@pytest.mark.parametrize("has_tls", [False, True])
def test_a_closed_port_on_a_machine_that_is_no_gx(has_tls: bool) -> None:
    """There is no menu to look at: the GX is elsewhere."""
    closed = failure_at(MqttSettings(tls=has_tls), Cause.PORT_CLOSED)._replace(is_no_gx=True)
    assert closed.remedy == (
        "this machine is no GX: set mqtt.host to the GX's address, or run: mqtt-http-bridge setup"
    )


def test_a_refused_token_is_paired_again() -> None:
    """It has nothing to do with the password of a person."""
    settings = MqttSettings(username="token/mqtt_http_bridge/ab", password=Secret("x"), tls=True)
    remedy = failure_at(settings, Cause.LOGIN_REFUSED).remedy
    assert "mqtt-http-bridge pair 127.0.0.1" in remedy
    assert "password" not in remedy


def test_the_end_of_a_connection_needs_no_place() -> None:
    """The place it led to has been told when it was made."""
    assert str(BrokerFailure(Cause.LOST, detail="timeout")) == "the connection was lost (timeout)"
    assert str(BrokerFailure(Cause.LOST)) == "the connection was lost"
