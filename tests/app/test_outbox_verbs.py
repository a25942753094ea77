"""Tests the verbs `outbox ...` through the command line, on real directories, even one in use."""

import json
import threading
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from mqtt_http_bridge.adapters.outbox import Outbox, inspection
from mqtt_http_bridge.adapters.outbox.files import LogFiles
from mqtt_http_bridge.app import outbox_verbs
from mqtt_http_bridge.app.dialect import DIALECT
from mqtt_http_bridge.app.outbox_observer import OutboxObserver
from mqtt_http_bridge.cli import main
from mqtt_http_bridge.core.events import Moment
from mqtt_http_bridge.core.measurement import Measurement
from mqtt_http_bridge.core.settings import OutboxSettings
from mqtt_http_bridge.core.solar_backend.body import to_body
from mqtt_http_bridge.core.solar_backend.remedies import NOT_REGISTERED
from mqtt_http_bridge.core.status.outbox_room import MOST_SPARE_BYTES, TYPICAL_BYTES, hours_of_room
from mqtt_http_bridge.core.status.problem import Kind, Problem
from mqtt_http_bridge.core.status.state_file import Liveness, Owed, Process, State
from tests.adapters.outbox.support import minutes, parked, until
from tests.support.measuring import only
from tests.support.outboxes import (
    BOOT,
    GX,
    START,
    fill,
    measurement,
    opened,
    parked_serials,
    store,
    take,
    take_oldest,
)

STAMP = "2026-03-14T06:{:02d}:00.000000+00:00"
MAX_BYTES = 1_000_000


@dataclass
class Said:
    """The words that a command printed, and its exit status."""

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
        fill_and_park(outbox)
        yield outbox


def fill_and_park(outbox: Outbox) -> None:
    fill(outbox, 1, 2, 3)
    store(outbox, measurement(4, "A", "B"))
    park(outbox, 4, "not registered: Device B not found")


def park(outbox: Outbox, number: int, reason: str) -> None:
    """Leaves B of an entry, parked."""
    entry = take(outbox, number)
    outbox.park(entry, DIALECT.only(entry.body, ["B"]), ["B"], reason)


@pytest.fixture
def closed(shell: Shell) -> None:
    """The same, and no service that has it open."""
    with opened(shell.directory, max_bytes=MAX_BYTES) as outbox:
        fill_and_park(outbox)


def have_requests_served(outbox: Outbox) -> None:
    """The service looks for requests each 5 s; here it looks now."""
    first, outbox.writer._next_look_s = outbox.progress.turns, 0.0
    outbox._incoming.wake()
    until(lambda: outbox.progress.turns > first)


# --- status ------------------------------------------------------------------------------------


def test_status_for_people(shell: Shell, outbox: Outbox) -> None:
    """Shows how much waits, since when, what is parked and why, and for how long there is room."""
    outbox.close()
    said = shell.outbox("status")
    assert said.status == 0
    assert said.lines[0] == f"outbox    {shell.directory}"
    assert said.lines[1] == f"waiting   3, the oldest of {STAMP.format(1)}"
    assert said.lines[2].startswith("size      ")
    assert ", room for " in said.lines[2]
    assert said.lines[3:] == [
        f"parked    1 of B: Device B not found: {NOT_REGISTERED.remedy}",
    ]


def test_what_only_the_memory_of_the_service_has_is_told(
    shell: Shell, outbox: Outbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By its state: the disk, at which this verb looks, has nothing of it."""
    refused = (Problem(Kind.DISK, "20 measurements are in memory only", "fix the disk"),)
    monkeypatch.setattr(outbox_verbs, "service_state", lambda _: running_with(20, *refused))
    said = shell.outbox("status")
    assert "memory    20 more, which the disk refuses: fix the disk" in said.lines
    assert shell.outbox("status", "--json").json["in_memory"] == 20


def test_what_is_about_to_be_written_is_no_fault_of_the_disk(
    shell: Shell, outbox: Outbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The service may have looked at the moment of a measurement."""
    monkeypatch.setattr(outbox_verbs, "service_state", lambda _: running_with(1))
    said = shell.outbox("status")
    assert "memory    1 more, not written yet" in said.lines
    assert shell.outbox("status", "--json").json["in_memory"] == 1


def test_what_nobody_knows_is_not_none(shell: Shell, outbox: Outbox) -> None:
    """A process has the outbox, and has written no state: it may keep some in memory."""
    text = "memory    unknown: a service runs here, but has not said lately how it goes"
    assert text in shell.outbox("status").lines
    assert shell.outbox("status", "--json").json["in_memory"] is None
    assert "in_memory=" in shell.outbox("status", "--lines").lines


def test_without_a_service_nothing_is_in_memory(shell: Shell, outbox: Outbox) -> None:
    """Neither is there anything to say about it."""
    outbox.close()
    said = shell.outbox("status")
    assert not any(line.startswith("memory") for line in said.lines)
    assert shell.outbox("status", "--json").json["in_memory"] == 0


def running_with(in_memory: int, *problems: Problem) -> Liveness:
    """The state of a running service with so many measurements in memory only."""
    state = State(
        process=Process("1.2.3", 17, "", 4711, 0.0, "config.yaml", 30.0),
        written=0.0,
        written_s=0.0,
        gx=(),
        problems=problems,
        devices=(),
        owed=Owed(in_memory, 0, None, in_memory),
        stored=None,
    )
    return Liveness(is_running=True, is_locked=True, state=state)


def test_status_for_programs(shell: Shell, outbox: Outbox) -> None:
    """The same with --json, and every number in a plain unit."""
    status = shell.outbox("status", "--json").json
    assert status.pop("hours_of_room") > 0
    assert status.pop("bytes") == LogFiles(shell.directory).room().used
    assert status == {
        "directory": str(shell.directory),
        "in_use": True,
        "waiting": 3,
        "in_memory": None,
        "waiting_by_gx": {GX: 3},
        "oldest": STAMP.format(1),
        "parked": [
            {
                "serial": "B",
                "count": 1,
                "reason": "Device B not found",
                "remedy": NOT_REGISTERED.remedy,
            }
        ],
        "damaged": 0,
        "unreadable": [],
        "lost": [],
    }


def test_status_for_scripts(shell: Shell, outbox: Outbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """Counts each place that may hold something, because an installer deletes by these counts."""
    park(outbox, 1, "not registered: Device B not found")
    monkeypatch.setattr(outbox_verbs, "service_state", lambda _: running_with(20))
    said = shell.outbox("status", "--lines")
    assert said.lines == [
        f"directory={shell.directory}",
        "in_use=yes",
        "waiting=2",
        "in_memory=20",
        "parked=2",
        "damaged=0",
        "unreadable=0",
    ]


def test_status_of_an_empty_outbox(shell: Shell) -> None:
    """Nothing waits, so there is no oldest; but there is room."""
    with opened(shell.directory):
        pass
    said = shell.outbox("status")
    assert said.lines[1] == "waiting   0"
    status = shell.outbox("status", "--json").json
    assert (status["waiting"], status["oldest"], status["parked"]) == (0, None, [])
    assert (status["in_use"], status["hours_of_room"] > 0) == (False, True)


@pytest.mark.usefixtures("closed")
def test_status_tells_what_was_lost_and_damaged(shell: Shell) -> None:
    """With the time that is missing from the backend's charts."""
    shell.outbox("drop", "1", "3")
    (segment, *_) = sorted((shell.directory / "log").iterdir())
    data = segment.read_bytes()
    segment.write_bytes(data.replace(b"06:02:00", b"06:0x:00"))
    with opened(shell.directory):
        pass
    said = shell.outbox("status")
    lost = f"lost      2 from {STAMP.format(1)} to {STAMP.format(3)} (dropped by a person)"
    kept = f"what can be kept is in {shell.directory}/damaged: check the disk, then remove it"
    assert said.lines[-2:] == [lost, f"damaged   1 place: {kept}"]
    status = shell.outbox("status", "--json").json
    assert status["damaged"] == 1
    assert status["lost"][0]["count"] == 2


@pytest.mark.parametrize(
    ("free", "puts", "hours"),
    [
        (800 * 120, [(100, 800)], 1.0),
        (800 * 120, [(100, 800), (99, 8_000)], 0.1),
        (TYPICAL_BYTES * 120, [], 1.0),
        (TYPICAL_BYTES * 120, [(0, 0)], 1.0),
        (800 * 120, [(1000, 800), (994, 8_000)], 1.0),
        (-1, [(1, 800)], 0.0),
    ],
    ids=["one", "two GX devices", "nothing yet", "nothing known", "one has left", "full"],
)
def test_hours_of_room(free: int, puts: list[tuple[int, int]], hours: float) -> None:
    """By what was measured last of each GX that is measured, at one each 30 s."""
    limit = 8_000_000
    owed = limit - MOST_SPARE_BYTES - free
    assert hours_of_room(limit, owed, puts, 30.0) == hours


def test_the_room_that_is_told_is_the_room_there_is(tmp_path: Path) -> None:
    """Sixty GX devices of which nothing waits: as many hours are told as it then takes to fill."""
    gxs = [f"c0619ab{number:05x}" for number in range(60)]
    settings = OutboxSettings(str(tmp_path), max_bytes=3_000_000)
    serials = [f"HQ{number}" for number in range(4)]
    with closing(Outbox(settings, DIALECT, BOOT)) as outbox:
        for gx in gxs:
            store(outbox, measurement(1, *serials), portal_id=gx)
            outbox.settle(take_oldest(outbox, gx), None)
        told = OutboxObserver(outbox, 30.0, lambda: Moment(1.0, START)).view().hours_of_room
        rounds = 0
        while not outbox.view().losses:
            store_all(outbox, measurement(rounds, *serials), gxs)
            rounds += 1
    with closing(Outbox(settings, DIALECT, BOOT)) as outbox:
        portals = outbox.view().portals
    assert [portal.newest_put for portal in portals] == [portal.newest for portal in portals]
    assert min(portal.bytes_put for portal in portals) > 600
    assert told is not None
    assert 0.9 * told <= rounds * 30.0 / 3600.0 <= 1.25 * told


def store_all(outbox: Outbox, measured: Measurement, gxs: list[str]) -> None:
    """Stores it for each GX."""
    for gx in gxs:
        outbox.store(DIALECT.body(measured), portal_id=gx, is_clock_trusted=True)
    assert outbox.flush(20.0)


# --- list and show -----------------------------------------------------------------------------


def test_list_for_people(shell: Shell, outbox: Outbox) -> None:
    """A line for each, the oldest first."""
    said = shell.outbox("list")
    assert [line.split() for line in said.lines] == [
        ["1", "waiting", GX, STAMP.format(1), "HQ1"],
        ["2", "waiting", GX, STAMP.format(2), "HQ1"],
        ["3", "waiting", GX, STAMP.format(3), "HQ1"],
        ["4", "parked", GX, STAMP.format(4), "B"],
    ]


def test_nothing_stored_speaks_to_the_terminal(shell: Shell) -> None:
    """Serials come from devices, and reasons from a server: both are shown, not obeyed."""
    with opened(shell.directory, max_bytes=MAX_BYTES) as outbox:
        store(outbox, measurement(1, "A", "B"))
        store(outbox, measurement(2, "A\033[2J"))
        park(outbox, 1, "not registered: \033]0;title\007")
        for verb in ("list", "status"):
            said = shell.outbox(verb).out
            assert "\033" not in said
            assert r"\x1b" in said


def test_list_for_programs(shell: Shell, outbox: Outbox) -> None:
    """A JSON object in each line, so that a long list can be read as it comes."""
    listed = [json.loads(line) for line in shell.outbox("list", "--json").lines]
    assert listed[0] == {
        "number": 1,
        "portal_id": GX,
        "parked": [],
        "timestamp": STAMP.format(1),
        "serials": ["HQ1"],
    }
    assert listed[3] == {
        "number": 4,
        "portal_id": GX,
        "parked": ["B"],
        "timestamp": STAMP.format(4),
        "serials": ["B"],
    }
    assert len(listed) == 4


def test_list_shows_what_cannot_be_read(shell: Shell, outbox: Outbox) -> None:
    """An entry that is no measurement is in its place, and says so."""
    outbox.store(b"odd", portal_id=GX, is_clock_trusted=True)
    outbox.flush(5.0)
    assert shell.outbox("list").lines[-1].split() == [
        *("5", "waiting", GX, "no", "time", "cannot", "be", "read")
    ]
    listed = json.loads(shell.outbox("list", "--json").lines[-1])
    assert (listed["timestamp"], listed["serials"]) == (None, None)


def test_show_prints_what_will_be_sent(shell: Shell, outbox: Outbox) -> None:
    """To the byte; of one that is parked, what is left of it."""
    assert shell.outbox("show", "1").out == to_body(measurement(1)).decode() + "\n"
    left = to_body(only(measurement(4, "A", "B"), ["B"]))
    assert shell.outbox("show", "4").out == left.decode() + "\n"


# --- retry and drop ----------------------------------------------------------------------------


def test_retry_reaches_the_service(shell: Shell, outbox: Outbox) -> None:
    """It hears of it once; what is told goes to stderr, as it is no result."""
    said = shell.outbox("retry")
    assert (said.status, said.out) == (0, "")
    assert "the service will try everything again within 5 s" in said.err
    have_requests_served(outbox)
    assert outbox.retry_requests == 1


@pytest.mark.usefixtures("closed")
def test_retry_without_a_service_says_so(shell: Shell) -> None:
    """Nothing has to be asked for: a start tries everything."""
    said = shell.outbox("retry")
    assert said.status == 0
    assert "no service uses this outbox" in said.err


DROPS = pytest.mark.parametrize(
    ("words", "left"),
    [
        (["2"], ([1, 3], [4])),
        (["1", "3"], ([2], [4])),
        (["4"], ([1, 2, 3], [])),
        (["--parked"], ([1, 2, 3], [])),
        (["--all"], ([], [])),
    ],
    ids=["one", "some", "one that is parked", "what is parked", "all"],
)


@DROPS
def test_drop_asks_the_service(
    shell: Shell, outbox: Outbox, words: list[str], left: tuple[list[int], list[int]]
) -> None:
    """Exactly what was asked for is gone, and it is counted."""
    said = shell.outbox("drop", *words)
    assert (said.status, said.out) == (0, "")
    assert "within 5 s" in said.err
    have_requests_served(outbox)
    assert (minutes(outbox, GX), parked(outbox, "B", GX)) == left


@DROPS
@pytest.mark.usefixtures("closed")
def test_drop_without_a_service(
    shell: Shell, words: list[str], left: tuple[list[int], list[int]]
) -> None:
    """It is done at once, and told how many they were."""
    said = shell.outbox("drop", *words)
    dropped = 4 - sum(map(len, left))
    assert (said.status, said.out) == (0, f"dropped {dropped}\n")
    with opened(shell.directory) as outbox:
        assert (minutes(outbox, GX), parked(outbox, "B", GX)) == left
    lost = shell.outbox("status", "--json").json["lost"]
    assert sum(loss["count"] for loss in lost) == dropped


@pytest.mark.parametrize(
    "words",
    [[], ["1", "--all"], ["1", "--parked"], ["--all", "--parked"]],
    ids=["nothing", "and all", "and parked", "all and parked"],
)
def test_drop_wants_one_clear_word(shell: Shell, outbox: Outbox, words: list[str]) -> None:
    """Nothing is removed by a command that could mean two things."""
    said = shell.outbox("drop", *words)
    assert said.status == 2
    assert "expected numbers, or --parked, or --all" in said.err
    have_requests_served(outbox)
    assert minutes(outbox, GX) == [1, 2, 3]
    assert parked(outbox, "B", GX) == [4]


@pytest.mark.usefixtures("closed")
def test_numbers_that_nothing_has(shell: Shell) -> None:
    """They are named; the others are dropped all the same."""
    said = shell.outbox("drop", "1", "98", "99")
    assert (said.status, said.out) == (1, "dropped 1\n")
    assert "98, 99: expected the number of an entry, found none: see outbox list" in said.err
    said = shell.outbox("show", "99")
    assert (said.status, said.out) == (1, "")
    assert "99: expected the number of an entry" in said.err


def test_the_entry_under_way_may_be_dropped(shell: Shell, outbox: Outbox) -> None:
    """The verdict on it finds nothing to do, and nothing else suffers."""
    entry = take(outbox, 1)
    shell.outbox("drop", "--all")
    have_requests_served(outbox)
    outbox.settle(entry, None)
    assert (minutes(outbox, GX), parked_serials(outbox)) == ([], [])


# --- beside the service ------------------------------------------------------------------------


@pytest.mark.parametrize("verb", [["status"], ["list"], ["show", "1"], ["retry"], ["drop", "1"]])
def test_where_there_is_no_outbox(shell: Shell, verb: list[str]) -> None:
    """It says so, and makes none."""
    said = shell.outbox(*verb)
    if verb[0] != "retry":
        assert said.status == 1
        found = "expected an outbox, found none: has the service run with this config?"
        assert found in said.err
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
    """They look while another thread stores, sends and parks as fast as it can."""
    is_over = threading.Event()
    looks: list[int] = []

    def look() -> None:
        while not is_over.is_set():
            inspection.status(shell.directory, MAX_BYTES, DIALECT)
            looks.append(len(list(inspection.entries(shell.directory, DIALECT))))

    looking = threading.Thread(target=look)
    looking.start()
    for number in range(5, 55):
        store(outbox, measurement(number, "A", "B"))
        park(outbox, number, "not found")
        outbox.unpark(GX, "B")
        entry = take(outbox, number)
        outbox.settle(entry, None)
    is_over.set()
    looking.join()
    assert looks
    assert min(looks) >= 3
    entry = take_oldest(outbox)
    assert entry.number == 1


@pytest.mark.usefixtures("outbox")
def test_a_number_that_none_has_is_asked_of_nobody(shell: Shell) -> None:
    """The service is left alone, and the error is all that is said."""
    said = shell.outbox("drop", "99999")
    assert said.status == 1
    assert "99999: expected the number of an entry, found none" in said.err
    assert "will drop" not in said.err
    assert not list((shell.directory / "requests").glob("drop*"))
