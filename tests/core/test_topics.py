"""Tests the topics of a GX: which are subscribed to, which matter, and which one wakes it."""

import pytest

from mqtt_http_bridge.core.settings import MqttSettings
from mqtt_http_bridge.core.venus import topics
from mqtt_http_bridge.core.venus.paths import BATTERY_VOLTAGE, MAX_TRACKERS, PATHS
from tests.support.places import RECORDINGS
from tests.support.recorded_messages import recorded_messages
from tests.support.sayings import PORTAL_ID

RECORDING_FILES = sorted(RECORDINGS.glob("*.jsonl.gz"))


def topic_of(path: str) -> str:
    """The topic of a path of a charger."""
    return f"N/{PORTAL_ID}/solarcharger/277/{path}"


@pytest.mark.parametrize("index", range(MAX_TRACKERS))
@pytest.mark.parametrize("leaf", ["Enabled", "Name", "P", "V"])
def test_every_tracker_is_listened_to(index: int, leaf: str) -> None:
    """Each path of each tracker that a charger can have is interesting."""
    assert topics.is_interesting(topic_of(f"Pv/{index}/{leaf}"))


@pytest.mark.parametrize("path", ["Pv/16/P", "Pv/-1/P", "Pv/00/P", "Pv/0/I", "Pv/0/P/x"])
def test_what_only_looks_like_a_tracker_is_not_listened_to(path: str) -> None:
    """An index out of range or misspelt makes nothing be kept."""
    assert not topics.is_interesting(topic_of(path))


@pytest.mark.parametrize("service", PATHS)
def test_every_row_is_listened_to(service: str) -> None:
    """Of each service just what its table has, a sign of life too."""
    assert BATTERY_VOLTAGE.name in PATHS[service]
    for path in PATHS[service]:
        assert topics.is_interesting(f"N/{PORTAL_ID}/{service}/0/{path}")
        assert not topics.is_interesting(f"N/{PORTAL_ID}/battery/0/{path}")


@pytest.mark.parametrize(
    ("topic", "speaker"),
    [
        (topic_of("Mode"), f"N/{PORTAL_ID}/solarcharger/277/"),
        (topic_of("History/Daily/0/Yield"), f"N/{PORTAL_ID}/solarcharger/277/"),
        (topic_of(""), f"N/{PORTAL_ID}/solarcharger/277/"),
        (topic_of("Yield/Power"), f"N/{PORTAL_ID}/solarcharger/277/"),
        (f"N/{PORTAL_ID}/battery/277/Mode", ""),
        (f"N/{PORTAL_ID}/solarcharger/277", ""),
        (f"N/{PORTAL_ID}/heartbeat", ""),
        ("", ""),
        (topic_of("x" * topics.LONGEST_TOPIC), ""),
    ],
)
def test_each_topic_of_a_charger_has_it_for_its_speaker(topic: str, speaker: str) -> None:
    """Also those of no interest: whatever is said, it speaks."""
    assert topics.speaker_of(topic) == speaker


def test_most_traffic_is_uninteresting() -> None:
    """More than half of what was recorded is dropped before anything is made of it."""
    messages = [said for path in RECORDING_FILES for _, said in recorded_messages(path)]
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
    assert topics.first_subscriptions(MqttSettings()) == (("N/+/system/0/Serial",),)
    listed = MqttSettings(portal_ids=("one", "two"), services=("multi",))
    assert topics.first_subscriptions(listed) == (
        topics.subscriptions("one", ("multi",)),
        topics.subscriptions("two", ("multi",)),
    )


def test_a_gx_is_woken_on_one_topic() -> None:
    """The only one on which anything is ever published."""
    assert topics.keepalive_topic(PORTAL_ID) == "R/c0619ab2f7e1/keepalive"


# --- behind a bridge -----------------------------------------------------------------------------

SERIAL = f"N/{PORTAL_ID}/system/0/Serial"


@pytest.mark.parametrize(
    ("prefix", "topic", "left"),
    [
        ("", SERIAL, SERIAL),
        ("venus", f"venus/{SERIAL}", SERIAL),
        ("a/b", f"a/b/{SERIAL}", SERIAL),
        ("venus", SERIAL, ""),
        ("venus", f"venus2/{SERIAL}", ""),
        ("venus", f"x/venus/{SERIAL}", ""),
        ("venus", "venus", ""),
        ("venus", "venus/", ""),
    ],
)
def test_what_is_left_of_a_topic_below_a_prefix(prefix: str, topic: str, left: str) -> None:
    """Whole levels count, and what is not below it is not there."""
    assert topics.below(prefix, topic) == left
    if left:
        assert topics.above(prefix, left) == topic


@pytest.mark.parametrize(
    ("topic", "sign"),
    [
        (SERIAL, ("", PORTAL_ID)),
        (f"N/{PORTAL_ID}/heartbeat", ("", PORTAL_ID)),
        (f"venus/{SERIAL}", ("venus", PORTAL_ID)),
        (f"a/b c/N/{SERIAL}", ("a/b c/N", PORTAL_ID)),
        (f"venus{SERIAL}", None),
        (f"{SERIAL}/x", None),
        ("N/a+b/heartbeat", None),
        ("N//heartbeat", None),
        (topic_of("Pv/V"), None),
    ],
)
def test_what_shows_a_gx_below_a_prefix(topic: str, sign: tuple[str, str] | None) -> None:
    """The prefix and the portal id, of the two topics that are searched for."""
    assert topics.sign_of_gx(topic) == sign


def test_the_search_for_a_prefix_is_a_narrow_one() -> None:
    """Up to three levels, two topics of each GX, and never all that a broker has."""
    assert len(topics.PREFIX_SEARCH) == 8
    assert "+/+/+/N/+/system/0/Serial" in topics.PREFIX_SEARCH
    assert "N/+/heartbeat" in topics.PREFIX_SEARCH
    assert not any("#" in topic for topic in topics.PREFIX_SEARCH)
