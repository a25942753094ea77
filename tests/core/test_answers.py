"""Tests the possible results of one request."""

from mqtt_http_bridge.core.delivery.answers import NoReply, NotSent


def test_a_request_without_an_answer_is_not_of_tls_unless_it_says_so() -> None:
    """Sends nobody without a route to a backend to look at certificates."""
    for kind in (NoReply, NotSent):
        assert not kind("timed out").is_of_tls
        assert kind("no common version", is_of_tls=True).is_of_tls
