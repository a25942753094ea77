"""Tests the keepalives that are sent to a GX, and how its answer is recognized."""

import json

from hypothesis import given
from hypothesis import strategies as st

from mqtt_http_bridge.core.venus.keepalive import (
    AWAKE_S,
    KEEPALIVE_INTERVAL_S,
    SUPPRESSED_KEEPALIVE,
    full_keepalive,
)
from mqtt_http_bridge.core.venus.readings import PublishCompleted, read
from tests.support.sayings import PORTAL_ID


def test_keepalives_are_those_the_gx_knows() -> None:
    """The one prolongs and republishes nothing, the other asks for everything and an echo."""
    assert SUPPRESSED_KEEPALIVE == b'{ "keepalive-options" : ["suppress-republish"] }'
    full = full_keepalive("abc")
    assert json.loads(full) == {"keepalive-options": [{"full-publish-completed-echo": "abc"}]}
    assert b"suppress-republish" not in full


@given(st.text())
def test_an_echo_comes_back_as_it_was_sent(echo: str) -> None:
    """The GX answers with the text it was given; we know it again, whatever is in it."""
    (option,) = json.loads(full_keepalive(echo))["keepalive-options"]
    answer = json.dumps({**option, "value": 1795425438}).encode()
    topic = f"N/{PORTAL_ID}/full_publish_completed"
    assert read(topic, answer) == PublishCompleted(PORTAL_ID, echo)


def test_two_keepalives_fit_into_the_time_one_lasts() -> None:
    """One that is lost does no harm."""
    assert 2 * KEEPALIVE_INTERVAL_S <= AWAKE_S
