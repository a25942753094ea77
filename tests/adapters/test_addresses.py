"""Tests the choice of the next of several addresses, and when."""

import pytest

from mqtt_http_bridge.adapters.broker.addresses import Addresses
from mqtt_http_bridge.adapters.broker.reconnect_delay import STEADY_S, Outcome
from mqtt_http_bridge.core.broker_failure import BrokerFailure, Cause
from mqtt_http_bridge.core.settings import MqttSettings


def addresses(*hosts: str) -> Addresses:
    """Addresses whose waits are the longest that may be drawn."""
    return Addresses(MqttSettings(hosts=hosts).each(), lambda low, high: high)


def failed(cause: Cause = Cause.PORT_CLOSED) -> Outcome:
    """An attempt that came to nothing."""
    outcome = Outcome()
    outcome.failure = BrokerFailure(cause)
    return outcome


def lost(since_s: float) -> Outcome:
    """A connection that has been there since then, and broke."""
    outcome = failed(Cause.LOST)
    outcome.connected_s = since_s
    return outcome


def test_the_first_one_of_the_config_comes_first() -> None:
    """The others follow in its order, and then it is its turn again."""
    each = addresses("a", "b", "c")
    tried = []
    for now_s in range(6):
        tried.append(each.current.host)
        each.after(failed(), float(100 * now_s))
    assert tried == ["a", "b", "c", "a", "b", "c"]


def test_the_wait_comes_when_all_have_failed() -> None:
    """Each once, one after another; then doubling, as with one address."""
    each = addresses("a", "b")
    now_s, waits = 0.0, []
    for _ in range(8):
        waits.append(each.after(failed(), now_s))
        now_s += waits[-1]
    assert waits == [0.0, 1.0, 0.0, 2.0, 0.0, 4.0, 0.0, 8.0]


def test_one_address_waits_each_time() -> None:
    """There is none to go to."""
    each = addresses("a")
    assert [each.after(failed(), 0.0) for _ in range(3)] == [1.0, 2.0, 4.0]


def test_after_a_good_connection_the_next_is_tried_at_once() -> None:
    """However often it had failed before, and however long its wait has grown."""
    each = addresses("a", "b")
    for _ in range(20):
        each.after(failed(), 0.0)
    found = each.current.host
    assert each.after(lost(0.0), STEADY_S) == 0.0
    assert each.current.host != found


def test_short_connections_do_not_count() -> None:
    """If every node lets us in and cuts us off, the waits grow as with one."""
    each = addresses("a", "b")
    now_s, waits = 0.0, []
    for _ in range(8):
        waits.append(each.after(lost(now_s), now_s))
        now_s += waits[-1]
    assert waits[1::2] == [1.0, 2.0, 4.0, 8.0]


def test_a_node_that_refuses_the_login_is_spared() -> None:
    """The others are tried meanwhile, and a good connection to one of them changes nothing."""
    each = addresses("a", "b", "c")
    assert each.after(failed(Cause.LOGIN_REFUSED), 0.0) == 0.0
    tried, now_s = [], 0.0
    while now_s < 60.0:
        tried.append(each.current.host)
        now_s += each.after(failed(), now_s)
    assert set(tried) == {"b", "c"}

    each = addresses("a", "b")
    each.after(failed(Cause.LOGIN_REFUSED), 0.0)
    assert each.current.host == "b"
    each.after(lost(0.0), STEADY_S)
    assert each.current.host == "b"


@pytest.mark.parametrize(
    ("hosts", "places"),
    [
        (("gx",), "gx:1883"),
        (("n1", "n2:1884"), "n1:1883, n2:1884"),
        (("fe80::1%eth0", "[fd00::1]:1884"), "fe80::1%eth0:1883, fd00::1:1884"),
    ],
)
def test_each_has_its_port(hosts: tuple[str, ...], places: str) -> None:
    """That of the config, or one of its own."""
    assert MqttSettings(hosts=hosts).place == places
