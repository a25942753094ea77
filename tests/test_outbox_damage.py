"""Files that are not what they should be: set aside and counted, and the rest goes on."""

import json
import os
import tracemalloc
from datetime import timedelta
from pathlib import Path

import pytest

from mqtt_http_bridge.adapters.outbox import Outbox, inspection
from mqtt_http_bridge.adapters.outbox.disk import MOST_TOLD
from mqtt_http_bridge.adapters.outbox.inspection import OutboxStatus
from mqtt_http_bridge.core.measurement import to_json
from tests.outboxes import (
    BOOT,
    NEXT_BOOT,
    PLENTY,
    drain,
    drain_parked,
    fill,
    measurement,
    minutes,
    opened,
    said,
    settings,
    take,
    take_oldest,
)

WHOLE = to_json(measurement(1))


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """An outbox that holds the measurements of minutes 1 and 2, and is closed."""
    with opened(tmp_path / "outbox") as outbox:
        fill(outbox, 1, 2)
    return tmp_path / "outbox"


def status(directory: Path) -> OutboxStatus:
    return inspection.status(directory, PLENTY, 30.0)


def put_waiting(directory: Path, number: int, body: bytes) -> Path:
    path = directory / "waiting" / f"{number:016d}.json"
    path.write_bytes(body)
    return path


def test_an_entry_cut_at_every_byte(directory: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Each is set aside, counted and kept as it is, the first are named; the good ones arrive."""
    for length in range(len(WHOLE)):
        put_waiting(directory, 100 + length, WHOLE[:length])
    with opened(directory) as outbox:
        assert minutes(outbox) == [1, 2]
        assert len(outbox) == 0
    assert status(directory).damaged == len(WHOLE)
    assert said(caplog, "cannot be read: moved to") == MOST_TOLD
    kept = {path.read_bytes() for path in (directory / "damaged").iterdir()}
    assert kept == {WHOLE[:length] for length in range(len(WHOLE))}


def test_a_parked_entry_cut_at_every_byte(directory: Path) -> None:
    """The same goes for what is parked; the reason and the rest stay."""
    with opened(directory) as outbox:
        entry = take(outbox, 2)
        outbox.park(entry, "HQ1", "not found")
    for length in range(len(WHOLE)):
        path = directory / "parked" / "serial-HQ1" / f"{100 + length:016d}.json"
        path.write_bytes(WHOLE[:length])
    with opened(directory) as outbox:
        assert drain_parked(outbox, "HQ1") == [2]
        assert outbox.parked_serials() == []
    assert status(directory).damaged == len(WHOLE)


def lose_some(directory: Path) -> Path:
    """Has an outbox lose measurements; returns the file that says so."""
    with opened(directory, max_bytes=800) as outbox:
        fill(outbox, 3, 4, 5)
    assert status(directory).lost
    return directory / "lost.json"


def test_the_losses_cut_at_every_byte(directory: Path) -> None:
    """They cannot be known any more: what is left of the file is kept, and counting goes on."""
    path = lose_some(directory)
    whole = path.read_bytes()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        lost = status(directory).lost
        with opened(directory):
            pass
        assert lost == ()
        assert not path.exists()
    lose_some(directory)
    assert status(directory).damaged == len(whole)


@pytest.mark.parametrize(
    "text",
    [
        "5",
        "null",
        '{"count": 1}',
        '["count"]',
        '[{"count": 1}]',
        '[{"count": "1", "since": "a", "until": "b", "reason": "c"}]',
        '[{"count": 1, "since": 1, "until": 2, "reason": "c"}]',
        '[{"count": 1, "since": "a", "until": "b", "reason": "c", "more": 1}]',
        "[" * 100_000,
        "\udcff",
    ],
    ids=lambda text: ascii(text[:30]),
)
@pytest.mark.parametrize("name", ["lost.json", "clock.json"])
def test_notes_that_somebody_else_wrote(directory: Path, name: str, text: str) -> None:
    """They are set aside, whatever they are, and hold up nothing."""
    (directory / name).write_bytes(text.encode(errors="surrogateescape"))
    with opened(directory) as outbox:
        assert minutes(outbox) == [1, 2]
    assert status(directory).damaged == 1


def test_the_clock_s_notes_cut_at_every_byte(directory: Path) -> None:
    """Nothing is put right by what is no whole note: a wrong shift would be worse than none."""
    with opened(directory) as outbox:
        outbox.note_clock_step(3600.0)
    path = directory / "clock.json"
    whole = path.read_bytes()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with opened(directory) as outbox:
            entry = take(outbox, 1)
            outbox.give_back(entry)
        assert entry.measurement == measurement(1)
    assert status(directory).damaged == len(whole)


GOOD_NOTES = {
    "boot_id": BOOT.boot_id,
    "first_number": 1,
    "distance_s": BOOT.distance_s,
    "steps": [{"before": 5, "step_s": 60.0}],
}


@pytest.mark.parametrize(
    "change",
    [
        {"boot_id": 5},
        {"first_number": "1"},
        {"first_number": 10**400},
        {"distance_s": float("nan")},
        {"distance_s": None},
        {"steps": [{"before": 5, "step_s": float("inf")}]},
        {"steps": [{"before": 5, "step_s": 1e15}]},
        {"steps": [{"before": None, "step_s": 60.0}]},
        {"steps": [{"before": 5}]},
        {"steps": 5},
    ],
    ids=repr,
)
def test_notes_on_the_clock_with_odd_numbers(directory: Path, change: dict[str, object]) -> None:
    """No number in them can bring the sender down, or move a measurement out of all time."""
    (directory / "clock.json").write_text(json.dumps({**GOOD_NOTES, **change}))
    with opened(directory) as outbox:
        assert drain(outbox) == [measurement(1), measurement(2)]
    assert status(directory).damaged == 1


def test_the_notes_above_are_good_but_for_the_change(directory: Path) -> None:
    """Unchanged they are believed: both entries were made a minute before the clock was set."""
    (directory / "clock.json").write_text(json.dumps(GOOD_NOTES))
    minute = timedelta(minutes=1)
    with opened(directory) as outbox:
        assert drain(outbox) == [measurement(m).shifted(minute) for m in (1, 2)]
    assert status(directory).damaged == 0


def test_a_reason_cut_at_every_byte(directory: Path) -> None:
    """It is for people: what is left is shown, and the next refusal writes it anew."""
    reason = "Gerät nicht gefunden"
    with opened(directory) as outbox:
        outbox.park(take(outbox, 1), "HQ1", reason)
    path = directory / "parked" / "serial-HQ1" / "reason"
    whole = path.read_bytes()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        (parked,) = status(directory).parked
        assert parked.count == 1
        left = parked.reason.rstrip("\N{REPLACEMENT CHARACTER}")
        assert reason.startswith(left) or left == "unknown"
    with opened(directory) as outbox:
        outbox.park(take(outbox, 1), "HQ1", reason)
    assert path.read_bytes() == whole


@pytest.mark.parametrize(
    "name",
    [
        "notes.txt",
        ".nfs0001",
        "1.json",
        "000000000000000a.json",
        "\N{FULLWIDTH DIGIT ONE}".zfill(16) + ".json",
        "0000000000000003.json.bak",
        "00000000000000003.json",
        "-000000000000003.json",
        "lost+found",
    ],
)
def test_a_foreign_file(directory: Path, name: str) -> None:
    """Whatever it is called, it is set aside at the start."""
    (directory / "waiting" / name).write_bytes(WHOLE)
    with opened(directory) as outbox:
        assert minutes(outbox) == [1, 2]
    assert status(directory).damaged == 1
    assert (directory / "damaged" / name).read_bytes() == WHOLE


def test_a_directory_or_a_link_with_the_name_of_an_entry(directory: Path) -> None:
    """Neither is followed nor read."""
    (directory / "waiting" / f"{3:016d}.json").mkdir()
    (directory / "waiting" / f"{4:016d}.json").symlink_to(directory / "lock")
    with opened(directory) as outbox:
        assert minutes(outbox) == [1, 2]
    assert status(directory).damaged == 2


def test_nothing_set_aside_takes_the_place_of_another(directory: Path) -> None:
    """Numbers are given again when an outbox has been empty; what is damaged stays, each time."""
    for body in (b"first", b"second", b""):
        put_waiting(directory, 3, body)
        (directory / "waiting" / "odd").mkdir()
        with opened(directory) as outbox:
            assert outbox.take(3) is None
    found = sorted(path.name for path in (directory / "damaged").iterdir())
    assert found == sorted(
        name + end for name in (f"{3:016d}.json", "odd") for end in ("", ".1", ".2")
    )


def test_unfinished_files_are_cleared_away(directory: Path) -> None:
    """They are what a crash leaves of a measurement in the making: no loss, and no damage."""
    with opened(directory) as outbox:
        outbox.park(take(outbox, 1), "HQ1", "not found")
    for place in ("waiting", "parked/serial-HQ1"):
        (directory / place / f"{3:016d}.json.part").write_bytes(WHOLE[:50])
    with opened(directory) as outbox:
        assert minutes(outbox) == [1, 2]
    assert not list(directory.rglob("*.part"))
    assert status(directory).damaged == 0


def test_damage_is_not_counted_as_waiting(directory: Path) -> None:
    """The number of what waits is right again once a damaged one has been met."""
    put_waiting(directory, 3, b"")
    with opened(directory) as outbox:
        assert len(outbox) == 3
        assert outbox.take(3) is None
        assert len(outbox) == 2


def test_an_edited_entry_is_not_sent(directory: Path) -> None:
    """The bytes are not those this program writes: what they were, nobody knows."""
    put_waiting(directory, 1, json.dumps(json.loads(WHOLE), indent=1).encode())
    with opened(directory) as outbox:
        assert minutes(outbox) == [2]
    assert status(directory).damaged == 1


def test_a_start_opens_no_entry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With 20,000 waiting it looks at names and sizes alone, and remembers none of them."""
    waiting = tmp_path / "outbox" / "waiting"
    waiting.mkdir(parents=True)
    template = tmp_path / "body"
    template.write_bytes(WHOLE)
    for number in range(1, 20_001):
        os.link(template, waiting / f"{number:016d}.json")
    reads, read_bytes = list[str](), Path.read_bytes

    def read_and_note(path: Path) -> bytes:
        reads.append(path.name)
        return read_bytes(path)

    monkeypatch.setattr(Path, "read_bytes", read_and_note)
    outbox = Outbox(settings(tmp_path / "outbox"), NEXT_BOOT)
    monkeypatch.undo()
    assert reads == ["lost.json", "clock.json"]
    assert len(outbox) == 20_000
    assert len(outbox.oldest(1000)) == 1000
    assert list(outbox._spool._memory) == []
    outbox.settle(take_oldest(outbox), None)
    fill(outbox, 2)
    assert len(outbox) == 20_000
    outbox.close()


def test_a_start_takes_no_memory_for_what_waits(tmp_path: Path) -> None:
    """Ten times the entries take the same memory, to within what one listing buffers."""
    peaks = []
    for count in (200, 2000):
        waiting = tmp_path / f"outbox-{count}" / "waiting"
        waiting.mkdir(parents=True)
        for number in range(1, count + 1):
            (waiting / f"{number:016d}.json").touch()
        peaks.append(_peak_bytes(waiting.parent))
    assert peaks[1] < peaks[0] + 20_000


def _peak_bytes(directory: Path) -> int:
    tracemalloc.start()
    try:
        with opened(directory, boot=NEXT_BOOT):
            return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
