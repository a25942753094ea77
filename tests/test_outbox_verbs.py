"""The verbs `outbox ...` through the command line, on real directories, also one that is in use."""

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from mqtt_http_bridge.adapters.outbox import Outbox, inspection
from mqtt_http_bridge.adapters.outbox.layout import Layout
from mqtt_http_bridge.adapters.outbox.room import Room
from mqtt_http_bridge.cli import main
from mqtt_http_bridge.core.measurement import to_json
from tests.outboxes import (
    drain,
    drain_parked,
    fill,
    measurement,
    minutes,
    opened,
    take,
    take_oldest,
)

STAMP = "2026-03-14T06:{:02d}:00+00:00"
MAX_BYTES = 1_000_000


@dataclass
class Said:
    """What a command printed, and how it ended."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def lines(self) -> list[str]:
        return self.out.splitlines()


class Shell:
    """Runs `mqtt-http-bridge outbox ...` with a config of its own."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.directory = folder / "outbox"
        self._config = folder / "config.yaml"
        self._config.write_text(
            "outbox:\n"
            f"  directory: {self.directory}\n"
            f"  max_bytes: {MAX_BYTES}\n"
            "device:\n"
            "  update_interval: 30\n"
        )
        self._capsys = capsys

    def run(self, *words: str) -> Said:
        self._capsys.readouterr()
        status = main([*words, "-c", str(self._config)])
        out, err = self._capsys.readouterr()
        return Said(status, out, err)

    def outbox(self, *words: str) -> Said:
        return self.run("outbox", *words)


@pytest.fixture
def shell(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Shell:
    """A shell in an empty folder with a config."""
    return Shell(tmp_path, capsys)


@pytest.fixture
def outbox(shell: Shell) -> Iterator[Outbox]:
    """The service's outbox, open all the time: minutes 1 to 3 wait, and of 4 one device is parked.

    Their numbers are those of the minutes.
    """
    with opened(shell.directory, max_bytes=MAX_BYTES) as outbox:
        fill(outbox, 1, 2, 3)
        outbox.append(measurement(4, "A", "B"))
        entry = take(outbox, 4)
        outbox.park(entry, "B", "Device B not found")
        outbox.settle(entry, None)
        yield outbox


# --- status ------------------------------------------------------------------------------------


def test_status_for_people(shell: Shell, outbox: Outbox) -> None:
    """How much waits, since when, what is parked and why, and for how long there is room."""
    said = shell.outbox("status")
    assert said.status == 0
    assert said.lines[0] == f"outbox    {shell.directory}"
    assert said.lines[1] == f"waiting   3, the oldest of {STAMP.format(1)}"
    assert said.lines[2].startswith("size      1.3 kB, room for ")
    assert said.lines[3:] == ["parked    1 of B: Device B not found"]


def test_status_for_programs(shell: Shell, outbox: Outbox) -> None:
    """The same with --json, and every number in a plain unit."""
    status = shell.outbox("status", "--json").json
    size = sum(len(to_json(measurement(minute))) for minute in (1, 2, 3))
    size += len(to_json(measurement(4, "A", "B").only(["B"])))
    assert status.pop("hours_of_room") > 0
    assert status == {
        "directory": str(shell.directory),
        "waiting": 3,
        "bytes": size,
        "oldest": STAMP.format(1),
        "parked": [{"serial": "B", "count": 1, "reason": "Device B not found"}],
        "damaged": 0,
        "lost": [],
    }


def test_status_of_an_empty_outbox(shell: Shell) -> None:
    """Nothing waits, so there is no oldest; but there is room."""
    with opened(shell.directory):
        pass
    said = shell.outbox("status")
    assert said.lines[1] == "waiting   0"
    status = shell.outbox("status", "--json").json
    assert (status["waiting"], status["oldest"], status["parked"]) == (0, None, [])
    assert status["hours_of_room"] > 0


def test_status_tells_what_was_lost_and_damaged(shell: Shell) -> None:
    """With the time that is missing from the backend's charts."""
    with opened(shell.directory, max_bytes=1000) as outbox:
        fill(outbox, *range(10, 20))
    (shell.directory / "waiting" / "odd").write_bytes(b"")
    (shell.directory / "waiting" / f"{1:016d}.json").write_bytes(b"")
    with opened(shell.directory) as outbox:
        assert outbox.take(1) is None
    said = shell.outbox("status")
    lost = f"lost      7 from {STAMP.format(10)} to {STAMP.format(16)} (no room)"
    assert said.lines[-2:] == [lost, f"damaged   2 files in {shell.directory}/damaged"]
    status = shell.outbox("status", "--json").json
    assert status["damaged"] == 2
    assert status["lost"] == [
        {"count": 7, "since": STAMP.format(10), "until": STAMP.format(16), "reason": "no room"}
    ]


def test_the_oldest_is_the_oldest_that_can_be_read(shell: Shell, outbox: Outbox) -> None:
    """A damaged one before it hides nothing."""
    (shell.directory / "waiting" / f"{1:016d}.json").write_bytes(b"{")
    assert shell.outbox("status", "--json").json["oldest"] == STAMP.format(2)


def test_a_device_that_is_mended_leaves_no_trace(shell: Shell, outbox: Outbox) -> None:
    """Neither after the backend has taken it, nor after somebody has dropped it."""
    drain_parked(outbox, "B")
    assert shell.outbox("status", "--json").json["parked"] == []
    entry = take_oldest(outbox)
    outbox.park(entry, "HQ1", "not found")
    outbox.settle(entry, None)
    shell.outbox("drop", "--parked")
    assert shell.outbox("status", "--json").json["parked"] == []
    assert outbox.parked_serials() == []


@pytest.mark.parametrize(
    ("max_bytes", "free", "hours"),
    [
        (100_000, 10**10, 0.6),
        (None, 10**10, 666.7),
        (10**9, 50_000_000 + 4096 * 120, 1.0),
        (10**9, 50_000_000, 0.0),
        (20_000, 10**10, 0.0),
    ],
    ids=["limit", "default limit", "disk, in blocks", "disk full", "limit reached"],
)
def test_hours_of_room(max_bytes: int | None, free: int, hours: float) -> None:
    """What is left of the limit or of the disk, whichever ends first, at one every 30 s."""
    room = Room(free=free, size=10**11, block=4096)
    each, count = 800, 50
    assert inspection._hours_of_room(room, max_bytes, each * count, count, 30.0) == hours


# --- list and show -----------------------------------------------------------------------------


def test_list_for_people(shell: Shell, outbox: Outbox) -> None:
    """A line for each, oldest first, then what is parked."""
    said = shell.outbox("list")
    assert [line.split() for line in said.lines] == [
        ["1", "waiting", STAMP.format(1), "HQ1"],
        ["2", "waiting", STAMP.format(2), "HQ1"],
        ["3", "waiting", STAMP.format(3), "HQ1"],
        ["4", "parked", STAMP.format(4), "B"],
    ]


def test_list_for_programs(shell: Shell, outbox: Outbox) -> None:
    """A JSON object in each line, so that a long list can be read as it comes."""
    listed = [json.loads(line) for line in shell.outbox("list", "--json").lines]
    assert listed[0] == {
        "number": 1,
        "parked": None,
        "timestamp": STAMP.format(1),
        "serials": ["HQ1"],
    }
    assert listed[3] == {
        "number": 4,
        "parked": "B",
        "timestamp": STAMP.format(4),
        "serials": ["B"],
    }
    assert len(listed) == 4


def test_list_shows_damage(shell: Shell, outbox: Outbox) -> None:
    """An entry that cannot be read is in its place, and says so."""
    (shell.directory / "waiting" / f"{2:016d}.json").write_bytes(b"\xff")
    assert shell.outbox("list").lines[1].split() == ["2", "waiting", "damaged"]
    listed = json.loads(shell.outbox("list", "--json").lines[1])
    assert (listed["timestamp"], listed["serials"]) == (None, None)


def test_show_prints_what_will_be_sent(shell: Shell, outbox: Outbox) -> None:
    """To the byte; of an entry in two places, both."""
    assert shell.outbox("show", "1").out == to_json(measurement(1)).decode() + "\n"
    outbox.append(measurement(5, "A", "B"))
    entry = take(outbox, 5)
    outbox.park(entry, "B", "not found")
    outbox.settle(entry, measurement(5, "A"))
    shown = [json.loads(line)["devices"][0]["serial"] for line in shell.outbox("show", "5").lines]
    assert shown == ["A", "B"]


# --- retry and drop ----------------------------------------------------------------------------


def test_retry_reaches_the_service(shell: Shell, outbox: Outbox) -> None:
    """It hears of it once; what is told goes to stderr, as it is no result."""
    said = shell.outbox("retry")
    assert (said.status, said.out) == (0, "")
    assert "within a minute" in said.err
    assert outbox.is_retry_wanted()
    assert not outbox.is_retry_wanted()


@pytest.mark.parametrize(
    ("words", "dropped", "left"),
    [
        (["2"], 1, ([1, 3], [4])),
        (["1", "3"], 2, ([2], [4])),
        (["4"], 1, ([1, 2, 3], [])),
        (["--parked"], 1, ([1, 2, 3], [])),
        (["--all"], 4, ([], [])),
    ],
    ids=["one", "some", "one that is parked", "what is parked", "all"],
)
def test_drop(
    shell: Shell, outbox: Outbox, words: list[str], dropped: int, left: tuple[list[int], list[int]]
) -> None:
    """Exactly what was asked for is gone, for the running service, too, and it is no loss."""
    said = shell.outbox("drop", *words)
    assert (said.status, said.out) == (0, f"dropped {dropped}\n")
    parked = drain_parked(outbox, "B")
    assert (minutes(outbox), parked) == left
    fill(outbox, 9)
    assert minutes(outbox) == [9]
    assert shell.outbox("status", "--json").json["lost"] == []


@pytest.mark.parametrize(
    "words", [[], ["1", "--all"], ["1", "--parked"]], ids=["nothing", "and all", "and parked"]
)
def test_drop_wants_one_clear_word(shell: Shell, outbox: Outbox, words: list[str]) -> None:
    """Nothing is removed by a command that could mean two things."""
    said = shell.outbox("drop", *words)
    assert said.status == 2
    assert "expected numbers, or --parked, or --all" in said.err
    assert minutes(outbox) == [1, 2, 3]


def test_numbers_that_nothing_has(shell: Shell, outbox: Outbox) -> None:
    """They are named; the others are dropped all the same."""
    said = shell.outbox("drop", "1", "98", "99")
    assert (said.status, said.out) == (1, "dropped 1\n")
    assert "98, 99: expected the number of an entry, found none: see outbox list" in said.err
    said = shell.outbox("show", "99")
    assert (said.status, said.out) == (1, "")
    assert "99: expected the number of an entry" in said.err
    assert minutes(outbox) == [2, 3]


def test_the_entry_under_way_may_be_dropped(shell: Shell, outbox: Outbox) -> None:
    """The verdict on it finds nothing to do, and nothing else suffers."""
    entry = take(outbox, 1)
    shell.outbox("drop", "--all")
    outbox.settle(entry, None)
    assert drain(outbox) == []
    assert len(outbox) == 0


# --- beside the service ------------------------------------------------------------------------


@pytest.mark.parametrize("verb", [["status"], ["list"], ["show", "1"], ["retry"], ["drop", "1"]])
def test_where_there_is_no_outbox(shell: Shell, verb: list[str]) -> None:
    """It says so, and makes none."""
    said = shell.outbox(*verb)
    assert said.status == 1
    if verb[0] not in ("show", "drop"):
        assert "expected an outbox, found none: has the service run with this config?" in said.err
    assert not shell.directory.exists()


def test_a_second_service_says_so_and_ends(shell: Shell, outbox: Outbox) -> None:
    """Before it has spoken to anybody; the verbs, on the other hand, need no lock."""
    config = shell._config
    config.write_text(
        config.read_text() + "backend:\n  url: http://127.0.0.1:1\n  api_key: key\n"
        "mqtt:\n  host: 127.0.0.1\n"
    )
    said = shell.run("run")
    assert said.status == 1
    assert "found that another mqtt-http-bridge does: stop it" in said.err
    assert shell.outbox("status").status == 0


def test_the_verbs_disturb_nothing(shell: Shell, outbox: Outbox) -> None:
    """They look while another thread appends, sends and parks as fast as it can."""
    is_over = threading.Event()
    looks: list[int] = []

    def look() -> None:
        while not is_over.is_set():
            status = inspection.status(shell.directory, MAX_BYTES, 30.0)
            looks.append(status.waiting + len(list(inspection.entries(shell.directory))))

    looking = threading.Thread(target=look)
    looking.start()
    for minute in range(10, 60):
        outbox.append(measurement(minute, "A", "B"))
        entry = take(outbox, outbox.oldest(99)[-1])
        outbox.park(entry, "B", "not found")
        outbox.settle(entry, None)
        drain_parked(outbox, "B")
    is_over.set()
    looking.join()
    assert looks
    assert minutes(outbox) == [1, 2, 3]


@pytest.mark.parametrize("words", [["status"], ["list"], ["show", "1"], ["drop", "--parked"]])
def test_a_device_that_is_mended_while_one_looks(
    shell: Shell, outbox: Outbox, words: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its directory is gone between finding it and looking into it: that is no trouble."""

    def found_and_gone(layout: Layout) -> list[str]:
        monkeypatch.undo()
        found = layout.parked_serials()
        drain_parked(outbox, "B")
        return found

    monkeypatch.setattr(Layout, "parked_serials", found_and_gone)
    assert shell.outbox(*words).status == 0
    assert outbox.parked_serials() == []
