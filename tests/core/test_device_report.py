"""Tests the rules of the device report, in one table for each."""

from collections.abc import Mapping

import pytest

from mqtt_http_bridge.core.measurement import TrackerReport
from mqtt_http_bridge.core.omission import Omission
from mqtt_http_bridge.core.relay import device_report as reports
from mqtt_http_bridge.core.relay.device_report import Numbers
from mqtt_http_bridge.core.venus.paths import TRACKER_POWER
from mqtt_http_bridge.core.venus.payloads import GONE, Said, Unreadable, known
from tests.support.sayings import OLD, SEVERAL, SINGLE, Values, said, sayings, without

BOTH = "Yield/Power, Yield/System"

UNKNOWN = [
    pytest.param(said(None), id="null"),
    pytest.param(said([]), id="empty array"),
    pytest.param(said(float("nan")), id="NaN"),
    pytest.param(said(float("inf")), id="infinity"),
    pytest.param(said(1e12), id="too large"),
    pytest.param(said(-1e12), id="too small"),
    pytest.param(said("64.5"), id="text"),
    pytest.param(said(True), id="true"),
    pytest.param(said([64.5]), id="array"),
    pytest.param(Unreadable(b"64.5"), id="unreadable"),
    pytest.param(GONE, id="gone"),
]
"""All that is no number, and so never becomes one."""


def trackers_of(said: Mapping[str, Said], power_w: float = 64.5) -> tuple[TrackerReport, ...]:
    """The trackers reported of a charger that said all of this, and nothing before."""
    powers = sum(known(path, said) is not None for path in TRACKER_POWER)
    are_several = reports.has_several_trackers(said, powers)
    return reports.trackers(said, power_w, are_several=are_several)


def tracker_numbers(values: Values) -> list[int]:
    """The numbers of the trackers reported of a charger that says `values`."""
    return [tracker.number for tracker in trackers_of(sayings(values))]


# --- required numbers --------------------------------------------------------------------------


def test_both_required_numbers_come_as_they_were_said() -> None:
    """Power and the lifetime total, the latter not that since a reset."""
    values = {"Yield/Power": 64.58000183105469, "Yield/System": 20, "Yield/User": 3.0}
    assert reports.numbers(sayings(values)) == Numbers(64.58000183105469, 20.0)


@pytest.mark.parametrize("path", ["Yield/Power", "Yield/System"])
@pytest.mark.parametrize("unknown", UNKNOWN)
def test_one_unknown_number_is_no_numbers(path: str, unknown: Said) -> None:
    """Unknown is never 0, nor the number before."""
    assert isinstance(reports.numbers({**sayings(SINGLE), path: unknown}), Omission)


@pytest.mark.parametrize("path", ["Yield/Power", "Yield/System"])
def test_a_number_never_said_is_no_numbers(path: str) -> None:
    """Right after it appeared, a charger has no power of 0."""
    assert isinstance(reports.numbers(sayings(without(SINGLE, path))), Omission)


@pytest.mark.parametrize(
    ("changes", "subject", "is_dark"),
    [
        ({"Yield/Power": None}, "Yield/Power", False),
        ({"Yield/Power": None, "Pv/V": None}, "Yield/Power", True),
        ({"Yield/Power": None, "Pv/V": 0.0}, "Yield/Power", True),
        ({"Yield/Power": None, "Pv/V": 0.02}, "Yield/Power", False),
        ({"Yield/Power": None, "Pv/V": "0"}, "Yield/Power", False),
        ({"Yield/Power": 0.0, "Pv/V": 0.0, "Yield/System": None}, "Yield/System", True),
        ({"Yield/Power": 0.0, "Pv/V": 0.0, "Yield/System": "1kWh"}, "Yield/System", False),
        ({"Yield/Power": None, "Pv/V": None, "Yield/System": None}, BOTH, True),
        ({"Yield/Power": "5", "Pv/V": None, "Yield/System": None}, BOTH, False),
    ],
    ids=str,
)
def test_an_unknown_number_is_named(changes: Values, subject: str, is_dark: bool) -> None:
    """With what was found; the sun may only be down where power and voltage are null or 0."""
    found = reports.numbers(sayings({**SINGLE, **changes}))
    assert isinstance(found, Omission)
    assert (found.subject, found.may_be_night) == (subject, is_dark)
    assert ("its power is unknown" in found.text) is ("Power" in subject)
    assert ("its total yield is unknown" in found.text) is ("System" in subject)
    assert ("sun" in found.remedy) is is_dark
    assert (";" in found.text) is (", " in subject)


def test_of_several_trackers_each_voltage_tells_whether_it_is_dark() -> None:
    """The charger has no voltage of its own."""
    night = {"Yield/Power": None, "Pv/0/V": 0.0, "Pv/1/V": None, "Pv/2/V": 0.0}
    for changes, is_dark in ((night, True), ({**night, "Pv/1/V": 3.0}, False)):
        found = reports.numbers(sayings({**SEVERAL, **changes}))
        assert isinstance(found, Omission)
        assert found.may_be_night is is_dark


# --- names -------------------------------------------------------------------------------------


@pytest.mark.parametrize("serial", ["HQ2211AAAA1", "0162268 HQ2108RHQJZ", " HQ "])
def test_the_serial_is_verbatim(serial: str) -> None:
    """The backend knows a VE.Can charger by both halves and the blank between them."""
    assert reports.serial(sayings({"Serial": serial})) == serial


@pytest.mark.parametrize(
    ("custom", "product", "expected"),
    [
        ("South roof", "SmartSolar", "South roof"),
        (" South ", "SmartSolar", " South "),
        ("", "SmartSolar", "SmartSolar"),
        ("  ", "SmartSolar", "SmartSolar"),
        (None, "SmartSolar", "SmartSolar"),
        (7, "SmartSolar", "SmartSolar"),
        ("", "", "Solar charger 277"),
        (None, None, "Solar charger 277"),
        ("South roof", None, "South roof"),
    ],
)
def test_a_charger_has_the_best_name_there_is(
    custom: object, product: object, expected: str
) -> None:
    """Its owner's if not blank, else the product's, else its instance."""
    values = {"CustomName": custom, "ProductName": product}
    assert reports.display_name(sayings(values), 277) == expected


def test_a_charger_that_said_nothing_has_its_instance() -> None:
    """The instance 0 is as good as any."""
    assert reports.display_name({}, 0) == "Solar charger 0"


# --- reachable and producing -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("connected", "expected"), [(1, True), (0, False), (0.0, False), (False, False), (None, True)]
)
def test_a_charger_is_reachable_unless_the_gx_lost_it(connected: object, expected: bool) -> None:
    """`/Connected` 0 says that it is on the bus, but does not answer."""
    assert reports.is_reachable(sayings({"Connected": connected})) is expected


def test_a_charger_without_the_path_is_reachable() -> None:
    """It speaks, and nobody says otherwise."""
    assert reports.is_reachable({}) is True


CHARGING: list[object] = [3, 4, 5, 5.0]
IDLE: list[object] = [0, 2, 0.0]
UNDECIDED: list[object] = [252, 6, 7, 11, 245, 246, 247, 248, 1, 9, 999, -1]
NO_STATE: list[object] = [3.5, "3", True, None, []]


@pytest.mark.parametrize(
    ("state", "with_power", "without_power"),
    [
        *(pytest.param(state, True, True, id=f"charging {state}") for state in CHARGING),
        *(pytest.param(state, False, False, id=f"idle {state}") for state in IDLE),
        *(pytest.param(state, True, False, id=f"undecided {state}") for state in UNDECIDED),
        *(pytest.param(state, True, False, id=f"unknown {state!r}") for state in NO_STATE),
    ],
)
def test_the_state_or_else_the_power_says_if_it_produces(
    state: object, with_power: bool, without_power: bool
) -> None:
    """States of charging or of rest settle it; under 252 and any unknown one the power does."""
    said_of_state = sayings({"State": state})
    assert reports.is_producing(said_of_state, 64.5) is with_power
    assert reports.is_producing(said_of_state, 0.0) is without_power


@pytest.mark.parametrize(("power_w", "expected"), [(0.01, True), (0.0, False), (-1.0, False)])
def test_without_a_state_the_power_decides(power_w: float, expected: bool) -> None:
    """The least that is above nothing is enough."""
    assert reports.is_producing({}, power_w) is expected


@pytest.mark.parametrize("state", [3, 252, None])
def test_what_is_not_reachable_never_produces(state: object) -> None:
    """Whatever it said last."""
    assert reports.is_producing(sayings({"Connected": 0, "State": state}), 64.5) is False


# --- a single tracker --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "expected_v"),
    [
        ({"Pv/0/V": 1.0, "Pv/0/P": 2.0}, 62.5),
        ({"Pv/V": None, "Pv/0/V": 118.5}, 118.5),
        ({"Pv/V": None, "Pv/0/V": 118.5, "Pv/0/P": 64.5, "NrOfTrackers": None}, 118.5),
        ({"Pv/V": None, "Pv/0/V": None}, None),
        ({"Pv/0/Enabled": 1}, 62.5),
        ({"Pv/0/Enabled": 0}, None),
        ({"Pv/0/Enabled": 0, "Pv/V": None, "Pv/0/V": 118.5}, None),
        ({"Pv/1/Enabled": 0, "Pv/1/P": 3.0}, 62.5),
    ],
    ids=str,
)
def test_a_single_tracker_may_stand_where_others_have_the_first(
    changes: Values, expected_v: float | None
) -> None:
    """Its voltage, where there is no `/Pv/V`, and whether it is in use at all."""
    found = trackers_of(sayings({**SINGLE, **changes}))
    assert [(t.number, t.name, t.voltage_v, t.power_w) for t in found] == (
        [] if expected_v is None else [(0, "PV", expected_v, 64.5)]
    )


ONLY = TrackerReport(number=0, name="PV", voltage_v=62.5, power_w=64.5)


@pytest.mark.parametrize(
    "values",
    [
        pytest.param(SINGLE, id="says it has one"),
        pytest.param({**SINGLE, "NrOfTrackers": 1.0}, id="says so as 1.0"),
        pytest.param({**SINGLE, "NrOfTrackers": None}, id="says null"),
        pytest.param({**SINGLE, "NrOfTrackers": "1"}, id="says it as a text"),
        pytest.param(OLD, id="old firmware says nothing"),
        pytest.param({**SINGLE, "Pv/0/V": 1.0, "Pv/0/P": 2.0}, id="stray paths of several"),
        pytest.param({**OLD, "Pv/0/V": None, "Pv/0/P": None}, id="old, several are null"),
    ],
)
def test_a_single_tracker_has_the_power_of_the_charger(values: Values) -> None:
    """Its voltage is `/Pv/V`, and it is called PV."""
    assert trackers_of(sayings(values), 64.5) == (ONLY,)


@pytest.mark.parametrize("unknown", UNKNOWN)
def test_a_single_tracker_of_unknown_voltage_is_left_out(unknown: Said) -> None:
    """The charger itself may still be reported."""
    assert trackers_of({**sayings(SINGLE), "Pv/V": unknown}, 64.5) == ()


def test_a_single_tracker_that_said_no_voltage_is_left_out() -> None:
    """Never said is no voltage of 0 either."""
    assert trackers_of(sayings(without(SINGLE, "Pv/V")), 64.5) == ()


# --- several trackers --------------------------------------------------------------------------


def test_each_of_several_trackers_has_its_own_numbers() -> None:
    """Counted from 0; one without a name, or with a blank one, is called by its number from 1."""
    assert trackers_of(sayings(SEVERAL), 3405.0) == (
        TrackerReport(number=0, name="East", voltage_v=311.75, power_w=1473.0),
        TrackerReport(number=1, name="PV-2", voltage_v=290.5, power_w=1266.0),
        TrackerReport(number=2, name="PV-3", voltage_v=303.0, power_w=666.0),
    )


@pytest.mark.parametrize(
    ("count", "expected"),
    [
        (3, [0, 1, 2]),
        (3.0, [0, 1, 2]),
        (5.0, [0, 1, 2]),
        (2, [0, 1]),
        (1, [0, 1, 2]),
        (0, [0]),
        (-1, [0]),
        (None, [0, 1, 2]),
        (2.5, [0, 1, 2]),
        (10**30, [0, 1, 2]),
    ],
)
def test_the_number_of_trackers_bounds_them(count: object, expected: list[int]) -> None:
    """More than there are adds none; with 1 or none that is known, the paths seen tell."""
    assert tracker_numbers({**SEVERAL, "NrOfTrackers": count}) == expected


def test_the_paths_seen_tell_where_nothing_else_does() -> None:
    """Without `/NrOfTrackers`, and for `/Pv/V` null as well as missing."""
    assert tracker_numbers(without(SEVERAL, "NrOfTrackers")) == [0, 1, 2]
    assert tracker_numbers({**without(SEVERAL, "NrOfTrackers"), "Pv/V": None}) == [0, 1, 2]


def test_a_pv_voltage_of_the_whole_adds_no_tracker() -> None:
    """With several trackers, `/Pv/V` is nobody's."""
    assert tracker_numbers({**SEVERAL, "Pv/V": 300.0}) == [0, 1, 2]


@pytest.mark.parametrize(
    ("enabled", "expected"),
    [(0, [0, 2]), (0.0, [0, 2]), (False, [0, 2]), (1, [0, 1, 2]), (None, [0, 1, 2])],
)
def test_only_a_disabled_tracker_is_hidden(enabled: object, expected: list[int]) -> None:
    """The others keep their numbers."""
    assert tracker_numbers({**SEVERAL, "Pv/1/Enabled": enabled}) == expected


@pytest.mark.parametrize("leaf", ["V", "P"])
@pytest.mark.parametrize("unknown", UNKNOWN)
def test_a_tracker_with_an_unknown_value_is_skipped(leaf: str, unknown: Said) -> None:
    """The others keep their numbers and their values."""
    trackers = trackers_of({**sayings(SEVERAL), f"Pv/1/{leaf}": unknown}, 3405.0)
    assert [tracker.number for tracker in trackers] == [0, 2]
    assert trackers[1] == trackers_of(sayings(SEVERAL), 3405.0)[2]


@pytest.mark.parametrize("leaf", ["V", "P"])
def test_a_tracker_that_never_said_a_value_is_skipped(leaf: str) -> None:
    """As on the way through a full publish."""
    assert tracker_numbers(without(SEVERAL, f"Pv/0/{leaf}")) == [1, 2]


def test_a_tracker_at_night_is_reported() -> None:
    """A power of 0 is a number like any other."""
    assert tracker_numbers({**SEVERAL, "Pv/0/P": 0.0, "Pv/0/V": 0}) == [0, 1, 2]


# --- multi and inverter ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("count", "expected"),
    [(1, True), (2, True), (5.0, True), (0, False), (-1, False), (None, False), ("2", False)],
)
def test_trackers_make_an_inverter_a_charger(count: object, expected: bool) -> None:
    """Only where it says that it has some."""
    assert reports.has_pv_input(sayings({"NrOfTrackers": count})) is expected


def test_an_inverter_that_says_nothing_is_no_charger() -> None:
    """Inverters without PV have no such path at all."""
    assert reports.has_pv_input({}) is False


def test_names_are_cut_to_what_the_backend_can_hold() -> None:
    """With a longer one it could store nothing of the charger at all."""
    long = "x" * 256
    sayings_of_it = sayings({"CustomName": long, "ProductName": long})
    assert reports.display_name(sayings_of_it, 1) == long[:-1]
    assert reports.product_name(sayings_of_it) == long[:-1]
