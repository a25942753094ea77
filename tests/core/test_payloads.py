"""Tests the payloads of dbus-flashmq: any bytes have one of four meanings."""

import json
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mqtt_http_bridge.core.venus.paths import PATHS, YIELD_TOTAL, Code, Flag, Number, Text
from mqtt_http_bridge.core.venus.payloads import (
    GONE,
    INVALID,
    MOST_BYTES,
    Said,
    Unreadable,
    Value,
    described,
    known,
    parse,
)
from tests.support.any_messages import payloads


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        pytest.param(b"", GONE, id="zero-length"),
        pytest.param(b'{"value":null}', INVALID, id="null"),
        pytest.param(b'{"value":[]}', INVALID, id="empty array of older stacks"),
        pytest.param(b'{"value":NaN}', INVALID, id="NaN"),
        pytest.param(b'{"value":Infinity}', INVALID, id="Infinity"),
        pytest.param(b'{"value":-Infinity}', INVALID, id="-Infinity"),
        pytest.param(b'{"value":1e999}', INVALID, id="too large for a float"),
        pytest.param(b'{"value":62.540000915527344}', Value(62.540000915527344), id="float"),
        pytest.param(b'{"value":252}', Value(252), id="whole"),
        pytest.param(b'{"value":5.0}', Value(5.0), id="5.0"),
        pytest.param(b'{"value":1e-07}', Value(1e-07), id="1e-07"),
        pytest.param(b'{"value":-0.0}', Value(0.0), id="-0.0"),
        pytest.param(b'{"value":true}', Value(True), id="true"),
        pytest.param(b'{"value":""}', Value(""), id="blank"),
        pytest.param('{"value":"Süd ☀"}'.encode(), Value("Süd ☀"), id="UTF-8"),
        pytest.param(b'{"value":"S\\u00fcd"}', Value("Süd"), id="escaped"),
        pytest.param(b'{"value":[0,0,45]}', Value(()), id="array"),
        pytest.param(b'{"value":{"a":1}}', Value(()), id="object"),
        pytest.param(b'{"max":100,"min":0,"value":7}', Value(7), id="min and max before"),
        pytest.param(b' {"value" : 7 , "max" : null} ', Value(7), id="blanks and max after"),
        pytest.param(b'{"value":1,"value":2}', Value(2), id="twice: the last"),
        pytest.param(b'{"value":' + b"9" * 4000 + b"}", Value(int("9" * 4000)), id="huge whole"),
    ],
)
def test_what_a_payload_says(payload: bytes, expected: Said) -> None:
    """The four answers are told apart by type, and values are as JSON has them."""
    assert parse(payload) == expected
    assert type(parse(payload)) is type(expected)


@pytest.mark.parametrize(
    "payload",
    [
        pytest.param(b" ", id="blank"),
        pytest.param(b"\0", id="NUL"),
        pytest.param(b"7", id="bare number"),
        pytest.param(b'"value"', id="bare text"),
        pytest.param(b"null", id="bare null"),
        pytest.param(b'["value"]', id="bare array"),
        pytest.param(b"{}", id="no members"),
        pytest.param(b'{"Value":1}', id="another member"),
        pytest.param(b'{"value":}', id="no value"),
        pytest.param(b'{"value":1', id="cut off"),
        pytest.param(b'{"value":1}}', id="more after it"),
        pytest.param(b"{'value':1}", id="single quotes"),
        pytest.param(b'{"value":"\xff"}', id="not UTF-8"),
        pytest.param(b'{"value":01}', id="leading zero"),
        pytest.param(b'{"value":0x1}', id="hexadecimal"),
        pytest.param(b'{"value":1_0}', id="underscore"),
        pytest.param(b'{"value":"' + b"x" * 1001 + b'"}', id="a text over 1,000 characters"),
        pytest.param(b'{"value":1' + b" " * MOST_BYTES + b"}", id="a payload over 16 KiB"),
        pytest.param(b'{"value":' + b"9" * 5000 + b"}", id="endless number"),
        pytest.param(b'{"value":' + b"[" * 100_000 + b"]" * 100_000 + b"}", id="arrays 100k deep"),
        pytest.param(b'{"value":' * 100_000 + b"1" + b"}" * 100_000, id="objects 100k deep"),
    ],
)
def test_what_no_gx_sends_is_unreadable(payload: bytes) -> None:
    """It is kept apart from `Invalid`, which a device says on purpose, and nothing is raised."""
    assert parse(payload) == Unreadable(payload[:40])


def test_a_text_of_a_thousand_characters() -> None:
    """Whatever they are, and however they are spelled."""
    for text in ("x" * 1000, "☀" * 1000, "\U0001f31e" * 1000):
        assert parse(json.dumps({"value": text}).encode()) == Value(text)
        assert parse(json.dumps({"value": text + "x"}).encode()) != Value(text + "x")


def test_long_payloads_are_not_remembered() -> None:
    """A broker that is none of a GX sends megabytes, again and again: they take no memory."""
    parse(b'{"value":0}')
    tracemalloc.start()
    for number in range(60):
        assert parse(b'{"value":"%s%d"}' % (b"x" * 100_000, number))
    kept, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert kept < 1_000_000


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (Value("154.3kwh"), "/Yield/System is the text '154.3kwh'"),
        (Value("x" * 99), f"/Yield/System is the text '{'x' * 40}'"),
        (Value("1\n2"), r"/Yield/System is the text '1\n2'"),
        (Value(1e12), "/Yield/System is 1000000000000.0, which cannot be"),
        (Value(True), "/Yield/System is True, which cannot be"),
        (Value([1.5]), "/Yield/System is neither a number nor a text"),
        (INVALID, "/Yield/System is null"),
        (Unreadable(b"64,5"), "/Yield/System cannot be read: b'64,5'"),
        (None, "/Yield/System was never reported by this driver since it appeared"),
    ],
    ids=ascii,
)
def test_what_was_found_is_told(said: Said | None, expected: str) -> None:
    """If a number is unknown, somebody has to see what the driver says instead."""
    assert described(YIELD_TOTAL, {} if said is None else {YIELD_TOTAL.name: said}) == expected


ROWS = PATHS["solarcharger"]


@given(payloads, st.sampled_from(list(ROWS)))
def test_no_payload_is_a_surprise(payload: bytes, path: str) -> None:
    """Whatever was said, each path has a value of its kind's own type, or none."""
    row = ROWS[path]
    found = known(row, {path: parse(payload)})
    types = {Number: float, Code: int, Flag: bool, Text: str}
    assert found is None or type(found) is types[type(row.kind)]


@pytest.mark.parametrize("path", ROWS)
@pytest.mark.parametrize("nothing", [INVALID, GONE, Unreadable(b"?")], ids=repr)
def test_nothing_said_is_no_value(path: str, nothing: Said) -> None:
    """Numbers, codes and texts are unknown then; a flag holds. So it is where nothing was said."""
    expected = True if isinstance(ROWS[path].kind, Flag) else None
    assert known(ROWS[path], {path: nothing}) is expected
    assert known(ROWS[path], {}) is expected
