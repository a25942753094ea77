"""Tests which messages of one moment are left out: only those that make no difference."""

import json

from hypothesis import example, given
from hypothesis import strategies as st

from mqtt_http_bridge.core.commands import Command
from mqtt_http_bridge.core.events import Message, Tick
from mqtt_http_bridge.core.venus.superseded import Received, without_superseded
from tests.support.virtual import CHARGER, PORTAL, measuring, moment, settings

POWER = "solarcharger/281/Yield/Power"
SERIAL = "solarcharger/281/Serial"
TOTAL = "solarcharger/281/Yield/System"
VOLTAGE = "solarcharger/281/Pv/V"
OUR_ECHO = b"what we asked to be told"
ECHO = json.dumps({"full-publish-completed-echo": "of another", "value": 1}).encode()


def said(path: str, value: object, *, is_retained: bool = False) -> Received:
    """The GX says a value."""
    return f"N/{PORTAL}/{path}", json.dumps({"value": value}).encode(), is_retained


def gone(path: str) -> Received:
    """The GX says that there is no such path any more."""
    return f"N/{PORTAL}/{path}", b"", False


CHARGERS = st.sampled_from(["solarcharger/281", "solarcharger/0", "multi/1"])
NUMBERS: st.SearchStrategy[object] = st.sampled_from([0.0, 12.5, 300, None, [], "odd", True, 1e12])
PATHS = {
    **dict.fromkeys(("Yield/Power", "Pv/V", "Pv/0/V", "Pv/0/P", "Dc/0/Voltage"), NUMBERS),
    "Yield/System": NUMBERS,
    "Serial": st.sampled_from(["HQ2208AXN7V", "HQ1", None]),
    "ProductName": st.sampled_from(["SmartSolar", ""]),
    "NrOfTrackers": st.sampled_from([1, 2]),
    "State": st.sampled_from([0, 3, 252, None]),
    "Connected": st.sampled_from([0, 1, None]),
    "Mode": NUMBERS,  # Of no interest, but a sign of life.
}
VALUES = st.sampled_from(sorted(PATHS)).flatmap(
    lambda path: st.builds(
        lambda charger, value, is_retained: said(
            f"{charger}/{path}", value, is_retained=is_retained
        ),
        CHARGERS,
        PATHS[path],
        st.sampled_from([False, False, False, True]),
    )
)
GONE = st.builds(
    lambda charger, path: gone(f"{charger}/{path}"), CHARGERS, st.sampled_from(sorted(PATHS))
)
OF_THE_GX = st.sampled_from(
    [said("heartbeat", 1)]
    + [(f"N/{PORTAL}/full_publish_completed", echo, False) for echo in (ECHO, OUR_ECHO)]
)


def made_of(received: list[Received], silence_s: float = 7.0) -> list[Command]:
    """Returns what a relay makes of messages with one moment, and of the minutes after it.

    The GX has been silent before: after a minute of that it is asked for everything.
    """
    virtual = measuring(settings(PORTAL, services=("solarcharger", "multi")))
    virtual.let(silence_s)
    virtual.heartbeat()
    echo = json.dumps({"full-publish-completed-echo": virtual.last_echo(), "value": 1}).encode()
    virtual.reset()
    at_s = virtual.now_s
    for topic, payload, is_retained in received:
        ours = echo if payload == OUR_ECHO else payload
        virtual.happen(Message(moment(at_s), topic, ours, is_retained), at_s)
    for end_s in (at_s + 25.0, at_s + 200.0):
        virtual.happen(Tick(moment(end_s)), end_s)
    return [done.command for done in virtual.done]


@given(st.lists(VALUES | VALUES | VALUES | GONE | OF_THE_GX, max_size=20))
@example([said(POWER, 1.0), said(SERIAL, "HQ1"), said(POWER, 2.0)])
@example([said(POWER, 1.0), gone(SERIAL), said(POWER, 2.0)])
@example([said(TOTAL, 9.0), said(TOTAL, None), gone(POWER)])
@example([said(SERIAL, "HQ1"), said(SERIAL, CHARGER["Serial"])])
def test_the_relay_makes_the_same_of_what_is_left(received: list[Received]) -> None:
    """Whatever is read together: the same measurements, keepalives and lines in the log."""
    assert made_of(without_superseded(received)) == made_of(received)


@given(st.lists(VALUES | VALUES | VALUES | GONE | OF_THE_GX, max_size=20))
def test_so_it_does_of_what_a_gx_says_that_returns(received: list[Received]) -> None:
    """The end of a full publish may stand among it, by which all has to have been said."""
    assert made_of(without_superseded(received), 70.0) == made_of(received, 70.0)


def test_what_was_said_by_the_end_of_a_full_publish_is_left() -> None:
    """The relay looks at it in that moment: what it has not heard by then counts as not said."""
    full = [said(f"solarcharger/281/{path}", value) for path, value in CHARGER.items()]
    completed = (f"N/{PORTAL}/full_publish_completed", OUR_ECHO, False)
    received = [*full, completed, said(POWER, 5.0), said(VOLTAGE, 6.0)]
    assert without_superseded(received) == received


def test_the_last_of_each_measured_number_is_left() -> None:
    """In the order in which they came; what two chargers say is kept apart."""
    other = said("solarcharger/0/Yield/Power", 3.0)
    received = [
        said(POWER, 1.0),
        other,
        said(VOLTAGE, 60.0),
        said(POWER, 2.0),
        said(VOLTAGE, None),
    ]
    assert without_superseded(received) == [other, said(POWER, 2.0), said(VOLTAGE, None)]


def test_what_is_no_measured_number_is_left_as_it_is() -> None:
    """Heartbeats and echoes, names and serials, states and totals: each one tells something."""
    paths = [path for path in CHARGER if path not in ("Pv/V", "Yield/Power")]
    received = [said(f"solarcharger/281/{path}", CHARGER[path]) for path in paths] * 2
    received += [said("heartbeat", 1), (f"N/{PORTAL}/full_publish_completed", ECHO, False)] * 2
    assert without_superseded(received) == received


def test_nothing_outdates_what_was_before_a_charger_left() -> None:
    """Nor is anything outdated by what is retained, which is no sign of life."""
    swapped = [said(POWER, 1.0), gone(POWER), said(POWER, 2.0)]
    assert without_superseded(swapped) == swapped
    retained = [said(POWER, 1.0), said(POWER, 2.0, is_retained=True)]
    assert without_superseded(retained) == retained
