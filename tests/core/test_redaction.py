"""Tests that secrets are found in texts in every spelling, and nothing else is changed."""

import html
import json
from collections.abc import Callable
from urllib.parse import quote
from xml.sax.saxutils import escape

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mqtt_http_bridge.core.redaction import LONGEST_SPELLING, MOST_ADDED, Redaction, of_settings
from mqtt_http_bridge.core.settings import (
    BackendSettings,
    MqttSettings,
    OutboxSettings,
    Secret,
    Settings,
)

SPELLINGS: dict[str, Callable[[str], str]] = {
    "as it is": lambda text: text,
    "JSON": lambda text: json.dumps(text)[1:-1],
    "JSON beyond ASCII": lambda text: json.dumps(text, ensure_ascii=False)[1:-1],
    "JSON in JSON": lambda text: json.dumps(json.dumps(text)[1:-1])[1:-1],
    "\\u escapes": lambda text: "".join(
        f"\\u{unit:04X}"
        for unit in memoryview(text.encode("utf-16-le")).cast("H")  # One for each code unit.
    ),
    "a URL": lambda text: quote(text, safe=""),
    "a URL, each character": lambda text: "".join(f"%{octet:02x}" for octet in text.encode()),
    "a URL in a URL": lambda text: quote(quote(text, safe=""), safe=""),
    "a form": lambda text: quote(text, safe=" ").replace(" ", "+"),
    "HTML": html.escape,
    "HTML, decimal": lambda text: "".join(f"&#{ord(each)};" for each in text),
    "HTML, hexadecimal": lambda text: "".join(f"&#x{ord(each):X};" for each in text),
    "XML": lambda text: escape(text, {"'": "&apos;", '"': "&quot;"}),
    "repr of bytes": lambda text: repr(text.encode())[2:-1],
    "half escaped": lambda text: (
        text[:2] + "".join(f"\\u{ord(c):04x}" for c in text[2:4]) + text[4:]
    ),
}
KEYS = ('Ca "n"ary\\5f/3a', "canary&<5f>'3a", "canary.5f+3a", "cänary-€-\U0001f600")


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("spelling", SPELLINGS)
def test_a_secret_is_found_however_it_is_spelled(key: str, spelling: str) -> None:
    """Three stars stand for the whole of it, and what is around it stays."""
    text = f"no such inverter [{SPELLINGS[spelling](key)}] here"
    assert Redaction([Secret(key)]).without_secrets(text) == "no such inverter [***] here"


@given(
    st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=6, max_size=20),
    st.sampled_from([name for name in SPELLINGS if name != "half escaped"]),
)
def test_any_secret_is_found(key: str, spelling: str) -> None:
    """Whatever characters it has; and it takes no more room than the cutting of lines counts on."""
    redaction = Redaction([Secret(key)])
    spelled = SPELLINGS[spelling](key)
    assert redaction.without_secrets(f"<{spelled}>") == "<***>"
    assert len(spelled) <= redaction.longest == LONGEST_SPELLING * len(key)


def test_no_spelling_is_longer_than_the_cutting_of_lines_counts_on() -> None:
    """The longest that is found, and with a backslash more it is not."""
    spelled = "".join(f"\\\\\\\\x{octet:02x}" for octet in "\U0001f600".encode())
    redaction = Redaction([Secret("\U0001f600")])
    assert redaction.without_secrets(spelled) == "***"
    assert len(spelled) == redaction.longest == LONGEST_SPELLING
    assert redaction.without_secrets(spelled.replace("x", "\\x")) != "***"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("the key is abc", "the key is ***"),
        ("abc: refused, (abc)", "***: refused, (***)"),
        ("abcd, tabc, mqtt.abc, abc-d", "abcd, tabc, mqtt.abc, abc-d"),
    ],
)
def test_a_short_secret_is_taken_out_where_it_stands_alone(text: str, expected: str) -> None:
    """Within other words it is no secret, and a log full of stars says nothing."""
    assert Redaction([Secret("abc")]).without_secrets(text) == expected


def test_from_six_characters_on_it_is_a_secret_within_a_word() -> None:
    """Takes out what no other word has by chance."""
    assert Redaction([Secret("canary")]).without_secrets("xcanaryx") == "x***x"
    assert Redaction([Secret("canar")]).without_secrets("xcanarx") == "xcanarx"


def test_a_secret_that_is_no_text_is_found() -> None:
    """Takes out what Python has read from bytes that are no UTF-8."""
    assert Redaction([Secret("canary\udcff")]).without_secrets("<canary\udcff>") == "<***>"


def test_lines_are_cut_by_the_longest_secret() -> None:
    """Counts on the longest of several."""
    redaction = Redaction([Secret("canary"), Secret("canary-5f3a")])
    assert redaction.longest == LONGEST_SPELLING * len("canary-5f3a")


def test_of_two_secrets_the_longer_goes_first() -> None:
    """One that begins as the other leaves no rest."""
    redaction = Redaction([Secret("canary"), Secret("canary-5f3a")])
    assert redaction.without_secrets("canary-5f3a, canary") == "***, ***"


def test_a_secret_that_comes_later_is_taken_out_from_then_on() -> None:
    """Those from before stay, also where many more come; the longest is known anew."""
    redaction = Redaction([Secret("canary-old")])
    assert redaction.without_secrets("%canary-old canary-new-1") == "%*** canary-new-1"
    for number in range(2 * MOST_ADDED):
        redaction.add(Secret(f"canary-new-{number}"))
    last = f"canary-new-{2 * MOST_ADDED - 1}"
    assert redaction.without_secrets(f"%canary-old {last}.") == "%*** ***."
    assert redaction.longest == LONGEST_SPELLING * len(last)
    redaction.add(Secret(""))
    assert redaction.without_secrets("a text") == "a text"
    assert redaction.without_secrets("<canary-new-0>") == "<canary-new-0>"


def test_without_secrets_nothing_is_taken_out() -> None:
    """An empty one is none."""
    assert Redaction().without_secrets("a text") == "a text"
    assert Redaction([Secret("")]).without_secrets("a text, (all of it).") == "a text, (all of it)."
    assert Redaction().longest == Redaction([Secret("")]).longest == 0


def test_the_secrets_of_a_config_are_known() -> None:
    """The key of the backend and the password of the broker."""
    settings = Settings(
        BackendSettings("http://a", Secret("canary-1")),
        OutboxSettings("o"),
        MqttSettings(password=Secret("canary-2")),
    )
    assert of_settings(settings).without_secrets("canary-1 canary-2") == "*** ***"
    empty = Settings(None, OutboxSettings("o"))
    assert of_settings(empty).without_secrets("canary-1") == "canary-1"
