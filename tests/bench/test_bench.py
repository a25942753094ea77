"""Tests the benchmark: it runs, it computes what it claims, and a failure never gives a number."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.bench import idle, through_broker
from tests.bench.consumers import Consumer
from tests.bench.loads import even, recording, synthetic
from tests.bench.markdown import markdown
from tests.bench.own_load import own_load
from tests.bench.plan import Plan
from tests.bench.processes import Measured
from tests.bench.results import PAHO, RELAY, Results, paired_ratio, rounds
from tests.bench.start import _to_subscribe_ms
from tests.bench.targets import judged
from tests.bench.traffic import portal_ids
from tests.bench.waiting import Failed
from tests.support.places import RECORDINGS

PORTAL = portal_ids(1)[0]


@pytest.mark.once
def test_the_command_measures_and_reports(tmp_path: Path) -> None:
    """Two quick sections: a table on stdout, every run in the JSON, and the targets of both."""
    report_file = tmp_path / "report.json"
    command = [sys.executable, "-m", "tests.bench", "--quick", "--json", str(report_file)]
    done = subprocess.run(
        [*command, "build", "spool"],
        check=True,
        capture_output=True,
        text=True,
        env={**os.environ, "TMPDIR": str(tmp_path)},
    )
    report = json.loads(report_file.read_text(encoding="utf-8"))
    assert report["machine"]["python"] in done.stdout
    assert "== spool (1 repetitions" in done.stdout
    spool = report["sections"]["spool"]["cases"]["append and settle, CPU ms"]
    assert spool["columns"][RELAY]["median"] > 0
    assert spool["ratios"]["bare write and fdatasync"] > 0
    assert [target["what"] for target in report["targets"]] == [
        "outbox: append and settle, CPU ms",
        "outbox: append and settle x a bare write and fdatasync",
        "outbox: append and settle x the same by two threads",
        "build: a charger of 64 x one alone",
    ]
    assert "| outbox: append and settle, CPU ms |" in markdown(report)


def test_the_floor_loads_nothing_of_the_tests() -> None:
    """Or it would be no floor: pytest takes longer to load than paho."""
    program = "import sys, tests.bench.floor_paho; print('pytest' in sys.modules)"
    assert subprocess.check_output([sys.executable, "-c", program], text=True) == "False\n"


@pytest.mark.parametrize("rate_per_s", [None, 20.0])
def test_a_load_of_ones_own_is_played_to_the_other_checkout_too(
    rate_per_s: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[object] = []

    def measured(*given: object) -> Results:
        asked.extend(given)
        return Results()

    monkeypatch.setattr(through_broker, "cost_of", measured)
    monkeypatch.setattr(idle, "share_of", measured)
    other = Path("other")
    own_load(Plan(chargers=1, rate_per_s=rate_per_s, against=other))
    assert asked[-1] is other


def report_of(case: str, **columns: list[float]) -> dict[str, Any]:
    """The report of one section with one case."""
    results = Results()
    for name, runs in columns.items():
        for run in runs:
            results.add(case, name, run)
    return results.as_json()


def test_ratios_are_those_of_each_round() -> None:
    """A machine that is slower in one round is so for both: only the ratio of each round counts."""
    assert paired_ratio([1.0, 20.0, 3.0], [10.0, 100.0, 10.0]) == 0.2
    assert paired_ratio([1.0], [0.0]) is None
    section = report_of("start to SUBSCRIBE, ms", **{RELAY: [10.0, 90.0], PAHO: [10.0, 30.0]})
    (target,) = judged({"start": section})
    assert target["value"] == 2.0
    assert not target["met"]


def test_each_round_begins_with_another() -> None:
    """Whoever is measured first is not always the same."""
    assert list(rounds("abc", 4)) == [list("abc"), list("bca"), list("cab"), list("abc")]


@pytest.mark.parametrize("name", ["two", "rs"])
def test_a_recording_is_played_as_it_was(name: str) -> None:
    """One full publish, then what changed, at its pace: most of it is read."""
    load = recording(RECORDINGS / f"{name}.jsonl.gz", PORTAL)
    assert load.interesting > 0.6
    assert load.changed > 0.6
    assert load.opening.count(b"Yield/System") > 0
    count = sum(len(piece) for _, piece in load.pieces)
    assert 3.0 < count / load.period_s < 11.0
    assert len(load.flat(2 * count)) == 2 * len(load.flat(count))


def test_synthetic_loads() -> None:
    """48 paths of each charger in turn; evenly spaced means one message at a time."""
    (_, first), *_ = synthetic([PORTAL], 1).pieces
    assert len(first) == 48
    spaced = even(PORTAL, 2)
    assert all(len(piece) == 1 for _, piece in spaced.pieces)
    assert len(spaced.pieces) / spaced.period_s == 20.0


def test_a_process_that_has_ended_is_no_number(tmp_path: Path) -> None:
    """It would have used no CPU time and lost nothing."""
    command = [sys.executable, "-c", "raise SystemExit('no such broker')"]
    with Measured("paho", command, tmp_path) as process:
        process._process.wait()
        with pytest.raises(Failed, match="no such broker"):
            _ = process.cpu_s
        with pytest.raises(Failed, match="expected it to run"):
            process.wait_until_read([1])


def test_a_client_that_hangs_up_has_not_subscribed() -> None:
    """The quickest start of all is that of a client which gives up."""
    code = (
        "import socket, sys; s = socket.create_connection(('127.0.0.1', int(sys.argv[1])));"
        " s.sendall(bytes([0x10, 0])); s.recv(4); s.close()"
    )
    consumer = Consumer(
        "quitter",
        lambda port, place: Measured("quitter", [sys.executable, "-c", code, str(port)], place),
    )
    with pytest.raises(Failed, match="it closed the connection"):
        _to_subscribe_ms(consumer)
