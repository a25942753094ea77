"""Tests the table of D-Bus paths: the meaning of each, and that no other file names them."""

import ast
from pathlib import Path as File

import pytest

import mqtt_http_bridge
from mqtt_http_bridge.core.venus import topics
from mqtt_http_bridge.core.venus.paths import (
    BATTERY_VOLTAGE,
    MAX_TRACKERS,
    PATHS,
    SERIAL,
    SERVICES,
    TRACKER_NAME,
    YIELD_POWER,
    Code,
    Flag,
    Number,
    Row,
    Text,
)
from mqtt_http_bridge.core.venus.payloads import Value, known
from mqtt_http_bridge.core.venus.readings import ChargerReading, read
from tests.support.recorded_messages import charger_sayings

ROWS = sorted({row for rows in PATHS.values() for row in rows.values()}, key=repr)
RECORDED = charger_sayings()
"""The sayings of chargers in the recordings, each once."""

# --- kinds -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (5.0, 5.0),
        (5, 5.0),
        (0, 0.0),
        (1e-07, 1e-07),
        (-1_000.0, -1_000.0),
        (1_000_000, 1_000_000.0),
        (-1_000.01, None),
        (1_000_000.5, None),
        (10**4000, None),
        (-(10**4000), None),
        (True, None),
        (False, None),
        ("5.0", None),
        ([5.0], None),
        ({"value": 5.0}, None),
    ],
    ids=lambda value: repr(value)[:20],
)
def test_a_number_is_a_json_number_within_bounds(value: object, expected: float | None) -> None:
    """A count becomes a float; a truth value, a text or an impossible number is unknown."""
    found = YIELD_POWER.kind.of(value)
    assert found == expected
    assert type(found) is type(expected)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (252, 252),
        (5.0, 5),
        (0, 0),
        (-1, -1),
        (10**4000, 10**4000),
        (5.5, None),
        (True, None),
        ("3", None),
        ([3], None),
    ],
    ids=lambda value: repr(value)[:20],
)
def test_a_code_is_a_whole_number(value: object, expected: int | None) -> None:
    """D-Bus may deliver 5 as `5.0`; nothing else is turned into a whole number."""
    found = Code().of(value)
    assert found == expected
    assert type(found) is type(expected)


@pytest.mark.parametrize(
    ("value", "expected"),
    [(0, False), (0.0, False), (False, False), (1, True), (True, True), (2, True), ("0", True)],
    ids=repr,
)
def test_a_flag_holds_unless_the_device_says_no(value: object, expected: bool) -> None:
    """Only 0 and false are a no."""
    assert Flag().of(value) is expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("0162268 HQ2108RHQJZ", "0162268 HQ2108RHQJZ"),
        (" blank at the ends ", " blank at the ends "),
        ("☀", "☀"),
        ("", None),
        (" \t\n", None),
        ("HQ\0", None),
        ("\ud800", None),
        ("HQ\udfff", None),
        (5, None),
        (True, None),
        (["x"], None),
    ],
    ids=ascii,
)
def test_a_text_is_verbatim_or_unknown(value: object, expected: str | None) -> None:
    """Blank texts say nothing, and one that no backend can store counts as unknown."""
    assert Text().of(value) == expected


# --- the table ---------------------------------------------------------------------------------


@pytest.mark.parametrize("service", SERVICES)
def test_each_service_has_paths_of_its_own(service: str) -> None:
    """One without a serial, or without anything that a report needs, could never be reported."""
    rows = PATHS[service].values()
    assert SERIAL in rows
    needed = [row for row in rows if row.is_needed]
    assert {type(row.kind) for row in needed} == {Number, Text}
    assert [row for row in rows if row.is_fleeting]
    assert [row for row in rows if row.is_lasting]


def test_a_row_is_found_by_its_name() -> None:
    """In each service, and once: no two rows are about one path."""
    for rows in PATHS.values():
        assert [row.name for row in rows.values()] == list(rows)
    assert len({row.name for row in ROWS}) == len(ROWS)


@pytest.mark.parametrize("row", ROWS, ids=repr)
def test_what_outlasts_a_charger_is_never_superseded(row: Row) -> None:
    """The last total that was known is reported: it may be followed by a null in the same batch."""
    assert not (row.is_lasting and row.is_fleeting)


def test_no_path_is_spelt_out_anywhere_else() -> None:
    """A field more is one row and its use; a name that is written twice can be written wrong."""
    root = File(mqtt_http_bridge.__file__).parent
    names = {row.name for row in ROWS}
    files = [file for file in root.rglob("*.py") if file.name != "paths.py"]
    assert len(files) > 100
    for file in files:
        allowed = {topics.PORTAL_ID} if file.name == "topics.py" else set()
        tree = ast.parse(file.read_text(encoding="utf-8"))
        texts = {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)}
        found = {text for text in texts if isinstance(text, str) and ends_in(names, text)}
        assert found == allowed, file


def ends_in(names: set[str], text: str) -> bool:
    """Tells whether a text is one of these paths, or a topic that ends in one."""
    return text in names or any(text.endswith(f"/{name}") for name in names)


def test_bounds_enclose_zero_and_real_devices() -> None:
    """Each number has a unit and room for what a device of 200 kW would say."""
    for row in ROWS:
        if isinstance(row.kind, Number):
            assert row.kind.unit in ("W", "V", "kWh")
            assert row.kind.of(0) == 0.0
            assert row.kind.maximum >= {"W": 200_000, "V": 1_500, "kWh": 10_000_000}[row.kind.unit]


def test_every_recorded_saying_is_read() -> None:
    """Real chargers are never malformed, never unreadable, and never out of bounds."""
    for topic, payload in RECORDED:
        reading = read(topic, payload)
        assert isinstance(reading, ChargerReading), topic
        if isinstance(reading.said, Value) and reading.said.value != "":
            row = PATHS[reading.charger.service][reading.path]
            assert known(row, {row.name: reading.said}) is not None, (topic, payload)
        else:
            assert payload in (b"", b'{"value":null}', b'{"value":""}')


def test_every_row_is_real() -> None:
    """No row waits for a path that no recorded charger has."""
    recorded = {topic.split("/", 4)[4] for topic, _ in RECORDED}
    beyond = {f"Pv/{index}/" for index in range(4, MAX_TRACKERS)}
    missing = {
        row for row in ROWS if row.name not in recorded and not row.name.startswith(tuple(beyond))
    }
    # The fourth tracker is disabled, and was given no name.
    assert missing <= {TRACKER_NAME[3]}


def test_a_sign_of_life_makes_no_field() -> None:
    """The voltage of the battery tells that a charger speaks, and no more."""
    assert BATTERY_VOLTAGE.is_fleeting
    assert not BATTERY_VOLTAGE.is_needed
    assert not BATTERY_VOLTAGE.is_lasting
