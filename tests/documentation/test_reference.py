"""Tests that documents and code have the same verbs, config keys, metrics and formats."""

import argparse
import re
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest
import yaml

from mqtt_http_bridge import RELEASED, __version__, cli_grammar
from mqtt_http_bridge.adapters.config import load
from mqtt_http_bridge.adapters.outbox import records
from mqtt_http_bridge.core import config_schema
from mqtt_http_bridge.core.config_schema import KEYS
from mqtt_http_bridge.core.status.metrics import METRICS
from tests.documentation.pages import Page, code, every_page, page, rows
from tests.support.places import ROOT

EXAMPLE = ROOT / "config.yaml.example"

# --- verbs ---------------------------------------------------------------------------------------


def verbs(parser: argparse.ArgumentParser | None = None, prefix: str = "") -> Iterator[str]:
    """All verbs, those of `outbox` with it before them."""
    for action in (parser or cli_grammar.parser())._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, verb in action.choices.items():
                inner = list(verbs(verb, f"{name} "))
                yield from inner or [prefix + name]


def documented_verbs() -> set[str]:
    """Those of the table of commands; `outbox list`, `show NUMBER` names two."""
    found = set()
    pattern = r"^(?:mqtt-http-bridge )?([a-z]+(?: [a-z]+)?)"
    for first, *_ in rows("command | what it does |"):
        words = [re.findall(pattern, c)[0] for c in code(first)]
        group = words[0].split()[0]
        found |= {w if w == words[0] or " " in w else f"{group} {w}" for w in words}
    return found


def test_every_verb_is_documented_and_every_documented_verb_is_there() -> None:
    """The table of commands is that of the program."""
    assert documented_verbs() == set(verbs())


def test_every_verb_has_help() -> None:
    """Each option of each verb has a text."""

    def check(parser: argparse.ArgumentParser) -> None:
        for action in parser._actions:
            if isinstance(action, argparse._SubParsersAction):
                assert {a.dest for a in action._choices_actions if a.help} == set(action.choices)
                for verb in action.choices.values():
                    check(verb)
            else:
                assert action.help, f"{parser.prog}: {action.dest} has no help"

    check(cli_grammar.parser())


def test_documented_options_exist() -> None:
    """An option that the table of commands names is one of the verb in its row."""
    texts = {}

    def collect(parser: argparse.ArgumentParser) -> None:
        texts[parser.prog] = parser.format_help()
        for action in parser._actions:
            if isinstance(action, argparse._SubParsersAction):
                for verb in action.choices.values():
                    collect(verb)

    collect(cli_grammar.parser())
    for first, second in rows("command | what it does |"):
        verb = re.findall(r"mqtt-http-bridge [a-z]+", first)[0]
        text = "".join(said for prog, said in texts.items() if prog.startswith(verb))
        for option in re.findall(r"--[a-z-]+", first + second):
            assert option in text, f"{verb}: {option} is documented and not there"


# --- config --------------------------------------------------------------------------------------


def test_every_key_is_documented_and_every_documented_key_is_there() -> None:
    """The table of the keys is that of the schema."""
    assert [code(first)[0] for first, *_ in rows("key | default |")] != []
    assert {code(first)[0] for first, *_ in rows("key | default |")} == set(KEYS)


def test_the_example_has_every_key() -> None:
    """Each key stands in the example, if only in a comment, and no other does."""
    text = EXAMPLE.read_text(encoding="utf-8")
    found, section = set(), ""
    for line in text.splitlines():
        if match := re.match(r"([a-z]+):$", line):
            section = match[1]
        elif match := re.match(r"  (?:# )?(?!auto:)([a-z_]+):(?: |$)", line):
            found.add(f"{section}.{match[1]}")
    assert found == set(KEYS)


def test_the_example_works(tmp_path: Path) -> None:
    """With the two values it asks for, it is a config, and the same as one with only those."""
    document = yaml.safe_load(EXAMPLE.read_text(encoding="utf-8"))
    needed = {"backend": {"url": "https://solar.example.org", "api_key": "key"}}
    document["backend"] |= needed["backend"]
    path, found = tmp_path / "config.yaml", []
    for content in (document, needed):
        path.write_text(yaml.safe_dump(content), encoding="utf-8")
        found.append(load(path, {}))
    assert found[0] == found[1]


@every_page
def test_keys_in_the_text_exist(page: Page) -> None:
    """Whatever looks like a key of ours, anywhere in a document, is one."""
    sections = {key.partition(".")[0] for key in KEYS}
    for name in re.findall(r"`([a-z]+\.[a-z_]+)(?:: [^`]*)?`", page.text):
        if name.partition(".")[0] in sections:
            assert name in {*KEYS, "status.json"}, f"{page.name}: {name} is no key"


# --- metrics -------------------------------------------------------------------------------------


def test_every_metric_is_documented_and_every_documented_metric_is_there() -> None:
    """Name, type and meaning in the document are those of the page."""
    found = {code(first)[0]: (kind, says) for first, kind, says in rows("metric")}
    assert found == {name: (metric.kind, metric.says) for name, metric in METRICS.items()}


@pytest.mark.parametrize("name", METRICS)
def test_metrics_are_named_as_prometheus_asks(name: str) -> None:
    """Counters end in _total, and nothing else does; times are timestamps in seconds."""
    assert name.endswith("_total") == (METRICS[name].kind == "counter")
    assert ("timestamp" in name) == name.endswith("_timestamp_seconds")
    assert not re.search(r"_(kwh|kw|ms|minutes|kb)(_|$)", name)


# --- versions -------------------------------------------------------------------------------------


def test_the_changelog_begins_with_this_version() -> None:
    """Version and day stand in the package, and the newest entry has both."""
    heads = re.findall(r"(?m)^## (.+)$", page("CHANGELOG.md").text)
    assert heads[0] == f"{__version__} - {RELEASED}"
    days = [date.fromisoformat(head.partition(" - ")[2]) for head in heads]
    assert days == sorted(days, reverse=True)


def test_the_formats_are_documented() -> None:
    """The document has the formats of this version."""
    text = page("docs/upgrading.md").text
    table = dict(re.findall(r"^\| (config|outbox) \| (\d+) \|", text, re.MULTILINE))
    assert table == {"config": str(config_schema.FORMAT), "outbox": str(records.FORMAT)}
    assert f"\nformat: {config_schema.FORMAT}\n" in EXAMPLE.read_text(encoding="utf-8")
