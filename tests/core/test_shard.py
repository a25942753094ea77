"""Tests shards: all relays agree, each has its share, and few GX devices move."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mqtt_http_bridge.core.settings import MqttSettings
from mqtt_http_bridge.core.shard import AutoShard, Shard, owner
from mqtt_http_bridge.core.venus import topics

portal_ids = st.text("0123456789abcdef", min_size=12, max_size=12)
counts = st.integers(1, 40)
MANY = [f"{number * 7919:012x}" for number in range(10_000)]


@given(portal_ids, counts)
def test_each_gx_has_exactly_one_relay(portal_id: str, count: int) -> None:
    """None is served twice, and none by nobody."""
    served = [Shard(ordinal, count).serves(portal_id) for ordinal in range(count)]
    assert served.count(True) == 1


@given(portal_ids, counts)
def test_what_changes_hands_changes_to_the_new_one(portal_id: str, count: int) -> None:
    """No relay that was there before takes anything from another."""
    before, after = owner(portal_id, count), owner(portal_id, count + 1)
    assert after in (before, count)


@pytest.mark.parametrize("count", [1, 2, 3, 8, 31])
def test_growth_moves_one_in_n_plus_1(count: int) -> None:
    """Of many; by chance somewhat more or less of few: here within four standard deviations."""
    moved = sum(owner(each, count) != owner(each, count + 1) for each in MANY)
    share = 1 / (count + 1)
    deviation = (len(MANY) * share * (1 - share)) ** 0.5
    assert abs(moved - len(MANY) * share) < 4 * deviation


@pytest.mark.parametrize("count", [2, 8, 32])
def test_each_has_about_as_many(count: int) -> None:
    """Also of portal ids that stand in a row."""
    per_shard = Counter(owner(each, count) for each in MANY)
    mean = len(MANY) / count
    assert set(per_shard) == set(range(count))
    assert all(abs(number - mean) < 4.5 * mean**0.5 for number in per_shard.values())


def test_a_gx_stays_where_it_is() -> None:
    """A later version must reckon as this one, or a fleet that is updated measures some twice."""
    found = [owner(each, 8) for each in ("c0619ab2f7e1", "c0619ab35133", "d41243aabbcc", "a")]
    assert found == [2, 1, 5, 5]


@pytest.mark.parametrize(
    ("name", "shard"),
    [
        ("relay-0", Shard(0, 8)),
        ("relay-7", Shard(7, 8)),
        ("relay-7.relay.solar.svc.cluster.local", Shard(7, 8)),
        ("pi4-relay3", Shard(3, 8)),
        ("relay-08", None),
        ("relay-8", None),
        ("relay-99999999999", None),
        ("relay", None),
        ("relay-2.x9", Shard(2, 8)),
        ("3a", None),
        ("", None),
    ],
)
def test_the_number_at_the_end_of_a_host_name(name: str, shard: Shard | None) -> None:
    """Of its first part, and only where there is such a shard."""
    assert AutoShard(8).of_host(name) == shard


def test_a_list_is_shared_out_too() -> None:
    """One config serves all relays: each takes its own of the list, and never all for none."""
    every = tuple(MANY[:20])
    parts = [MqttSettings(portal_ids=every, shard=Shard(n, 30)) for n in range(30)]
    assert sorted(p for part in parts for p in part.own_portal_ids) == sorted(every)
    idle = next(part for part in parts if not part.own_portal_ids)
    assert topics.first_subscriptions(idle) == ()


def test_the_serials_of_others_are_not_looked_at() -> None:
    """Every relay is told of every GX; at the door it is known whose it is."""
    mqtt = MqttSettings(shard=Shard(0, 2))
    wants = topics.interest(mqtt)
    told = [each for each in MANY[:100] if wants(f"N/{each}/system/0/Serial")]
    assert told == [each for each in MANY[:100] if owner(each, 2) == 0]
    assert topics.interest(MqttSettings()) is topics.is_interesting
    assert not wants("x")
    assert not wants("")
