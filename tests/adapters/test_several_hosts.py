"""Tests several real addresses of one broker, one of which dies."""

import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from mqtt_http_bridge.adapters.broker import client as client_module
from mqtt_http_bridge.core.broker_failure import Cause
from mqtt_http_bridge.core.events import Connected, Disconnected
from mqtt_http_bridge.core.settings import MqttSettings, Secret
from tests.adapters.test_broker import LOGIN, Ear, listening, unclosed_by_paho
from tests.support.mosquitto import Mosquitto, make_certificate

SOON_S = 20.0
"""A wait before the next attempt takes 60 s here."""


def both(*brokers: Mosquitto) -> MqttSettings:
    """The settings for brokers on one machine, in this order."""
    return MqttSettings(hosts=tuple(f"{broker.host}:{broker.port}" for broker in brokers))


@pytest.fixture
def nodes() -> Iterator[list[Mosquitto]]:
    """Two brokers."""
    with ExitStack() as stack:
        yield [stack.enter_context(Mosquitto()) for _ in range(2)]


@pytest.mark.parametrize("is_bulk", [True, False], ids=["bulk", "stock"])
def test_the_next_takes_over_at_once(
    nodes: list[Mosquitto], monkeypatch: pytest.MonkeyPatch, is_bulk: bool
) -> None:
    """One is killed, and the other, and each time the one that is there is found. All is named."""
    if not is_bulk:
        monkeypatch.setattr(client_module, "lacking_in", lambda client: ["_sock_recv"])
    first, second = nodes
    with listening(both(first, second), wait_s=60.0) as ear:
        assert ear.hear(Connected).where == f"127.0.0.1:{first.port}"
        killed_s = time.monotonic()
        first.kill()
        failure = ear.hear(Disconnected).failure
        assert failure.cause is Cause.LOST
        assert str(failure).startswith(f"127.0.0.1:{first.port}: the connection was lost")
        assert ear.hear(Connected).where == f"127.0.0.1:{second.port}"
        assert time.monotonic() - killed_s < SOON_S


def test_who_is_down_at_the_start_is_passed_over(nodes: list[Mosquitto]) -> None:
    """And a start waits until one is found, or all have failed."""
    first, second = nodes
    first.stop()
    ear = Ear(both(first, second), lambda topic: False, 60.0)
    ear.broker.start(20.0)
    try:
        failure = ear.hear(Disconnected, timeout_s=0.0).failure
        assert (failure.cause, failure.port) == (Cause.PORT_CLOSED, first.port)
        assert ear.hear(Connected, timeout_s=0.0).where.endswith(str(second.port))
    finally:
        ear.broker.stop(20.0)
        del ear.broker._client


def test_all_are_down(nodes: list[Mosquitto]) -> None:
    """Each is tried once before there is a wait, and whichever is back first is found."""
    for node in nodes:
        node.stop()
    with listening(both(*nodes), wait_s=0.05) as ear:
        ports = [ear.hear(Disconnected).failure.port for _ in range(4)]
        assert ports == [nodes[0].port, nodes[1].port] * 2
        nodes[1].start()
        ear.wait_for_connection()


def test_one_of_them_refuses_the_login(nodes: list[Mosquitto]) -> None:
    """It is named, and the other is gone to."""
    nodes[0].stop()
    nodes[0].login = LOGIN
    nodes[0].start()
    settings = both(*nodes)._replace(username="x", password=Secret("y"))
    with listening(settings, wait_s=60.0) as ear:
        failure = ear.hear(Disconnected).failure
        assert (failure.cause, failure.port) == (Cause.LOGIN_REFUSED, nodes[0].port)
        assert ear.hear(Connected).where.endswith(str(nodes[1].port))


@unclosed_by_paho
def test_each_node_shows_a_certificate_of_its_own(tmp_path: Path) -> None:
    """The file holds them all: each is trusted with any of them, and nobody else is."""
    with ExitStack() as stack:
        nodes = []
        for name in ("one", "two", "other"):
            (tmp_path / name).mkdir()
            certificate = make_certificate(tmp_path / name)
            nodes.append(stack.enter_context(Mosquitto(certificate=certificate)))
        pinned = tmp_path / "nodes.pem"
        pinned.write_text(
            "".join((tmp_path / n / "certificate.pem").read_text() for n in ("one", "two"))
        )
        one, two, other = nodes
        settings = both(other, one, two)._replace(tls=True, pinned_certificate=str(pinned))
        with listening(settings, wait_s=60.0) as ear:
            failure = ear.hear(Disconnected).failure
            assert (failure.cause, failure.port) == (Cause.CERTIFICATE_NOT_PINNED, other.port)
            assert ear.hear(Connected).where.endswith(str(one.port))
            one.kill()
            assert ear.hear(Disconnected).failure.cause is Cause.LOST
            assert ear.hear(Connected).where.endswith(str(two.port))
