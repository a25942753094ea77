"""The topics of a GX: what is subscribed to, what is worth a look, and what wakes it."""

from pathlib import Path

import pytest

from mqtt_http_bridge.core import topics
from tests.recorded_messages import recorded_messages
from tests.sayings import PORTAL_ID

RECORDINGS = sorted((Path(__file__).parent / "recordings").glob("*.jsonl.gz"))


def topic_of(path: str) -> str:
    """The topic of a path of a charger."""
    return f"N/{PORTAL_ID}/solarcharger/277/{path}"


@pytest.mark.parametrize("index", range(topics.MAX_TRACKERS))
@pytest.mark.parametrize("leaf", topics.TRACKER_PATHS)
def test_every_tracker_is_listened_to(index: int, leaf: str) -> None:
    """Each path of each tracker that a charger can have is interesting."""
    assert topics.is_interesting(topic_of(topics.tracker_path(index, leaf)))


@pytest.mark.parametrize("path", ["Pv/16/P", "Pv/-1/P", "Pv/00/P", "Pv/0/I", "Pv/0/P/x"])
def test_what_only_looks_like_a_tracker_is_not_listened_to(path: str) -> None:
    """An index out of range or misspelt makes nothing be kept."""
    assert not topics.is_interesting(topic_of(path))


@pytest.mark.parametrize("path", topics.LIFE_PATHS)
def test_signs_of_life_are_listened_to_but_never_reported(path: str) -> None:
    """They tell that a charger speaks, and no field is made from them."""
    assert topics.is_interesting(topic_of(path))
    assert path not in topics.CHARGER_PATHS


def test_most_traffic_is_uninteresting() -> None:
    """More than half of what was recorded is dropped before anything is made of it."""
    messages = [said for path in RECORDINGS for _, said in recorded_messages(path)]
    wanted = [topics.is_interesting(said.topic) for said in messages]
    assert sum(wanted) < len(wanted) / 2


def test_subscriptions_are_those_of_the_design() -> None:
    """One site's trees and nothing of the rest, which would be ten times the traffic."""
    assert topics.subscriptions(PORTAL_ID, ("solarcharger", "multi")) == (
        "N/c0619ab2f7e1/system/0/Serial",
        "N/c0619ab2f7e1/heartbeat",
        "N/c0619ab2f7e1/full_publish_completed",
        "N/c0619ab2f7e1/solarcharger/#",
        "N/c0619ab2f7e1/multi/#",
    )


def test_the_first_subscriptions_are_those_that_need_no_answer() -> None:
    """Each GX that is known; where none is, the one retained topic by which each tells its own."""
    assert topics.first_subscriptions((), ("solarcharger",)) == (("N/+/system/0/Serial",),)
    assert topics.first_subscriptions(("one", "two"), ("multi",)) == (
        topics.subscriptions("one", ("multi",)),
        topics.subscriptions("two", ("multi",)),
    )


def test_a_gx_is_woken_on_one_topic() -> None:
    """The only one on which anything is ever published."""
    assert topics.keepalive_topic(PORTAL_ID) == "R/c0619ab2f7e1/keepalive"
