"""Of messages with one moment, what is left out: nothing that the relay makes anything of."""

import json

from hypothesis import example, given
from hypothesis import strategies as st

from mqtt_http_bridge.core.commands import Command
from mqtt_http_bridge.core.events import Message, Tick
from mqtt_http_bridge.core.latest import Received, still_telling
from tests.virtual import CHARGER, PORTAL, measuring, moment, settings

LATER_S = 7.0
DUE_S = 30.0
END_S = 200.0

POWER = "solarcharger/281/Yield/Power"
SERIAL = "solarcharger/281/Serial"
TOTAL = "solarcharger/281/Yield/System"
VOLTAGE = "solarcharger/281/Pv/V"
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
    [said("heartbeat", 1), (f"N/{PORTAL}/full_publish_completed", ECHO, False)]
)


def made_of(received: list[Received]) -> list[Command]:
    """What a relay that measures makes of messages with one moment, and of the minutes after it."""
    virtual = measuring(settings(PORTAL, services=("solarcharger", "multi")))
    virtual.let_beat(LATER_S - 1.0)
    virtual.reset()
    for each in received:
        virtual.happen(Message(moment(LATER_S), *each), LATER_S)
    virtual.happen(Tick(moment(DUE_S)), DUE_S)
    virtual.happen(Tick(moment(END_S)), END_S)
    return [done.command for done in virtual.done]


@given(st.lists(VALUES | VALUES | VALUES | GONE | OF_THE_GX, max_size=20))
@example([said(POWER, 1.0), said(SERIAL, "HQ1"), said(POWER, 2.0)])
@example([said(POWER, 1.0), gone(SERIAL), said(POWER, 2.0)])
@example([said(TOTAL, 9.0), said(TOTAL, None), gone(POWER)])
@example([said(SERIAL, "HQ1"), said(SERIAL, CHARGER["Serial"])])
def test_the_relay_makes_the_same_of_what_is_left(received: list[Received]) -> None:
    """Whatever is read together: the same measurements, keepalives and lines in the log."""
    assert made_of(still_telling(received)) == made_of(received)


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
    assert still_telling(received) == [other, said(POWER, 2.0), said(VOLTAGE, None)]


def test_what_is_no_measured_number_is_left_as_it_is() -> None:
    """Heartbeats and echoes, names and serials, states and totals: each one tells something."""
    paths = [path for path in CHARGER if path not in ("Pv/V", "Yield/Power")]
    received = [said(f"solarcharger/281/{path}", CHARGER[path]) for path in paths] * 2
    received += [said("heartbeat", 1), (f"N/{PORTAL}/full_publish_completed", ECHO, False)] * 2
    assert still_telling(received) == received


def test_nothing_outdates_what_was_before_a_charger_left() -> None:
    """Nor is anything outdated by what is retained, which is no sign of life."""
    swapped = [said(POWER, 1.0), gone(POWER), said(POWER, 2.0)]
    assert still_telling(swapped) == swapped
    retained = [said(POWER, 1.0), said(POWER, 2.0, is_retained=True)]
    assert still_telling(retained) == retained
