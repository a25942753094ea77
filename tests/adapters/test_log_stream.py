"""Tests a stream that nobody reads, that is closed, or that cannot encode the lines."""

import fcntl
import io
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from mqtt_http_bridge.adapters.log_stream import LineWriter
from tests.support.patience import wait_until

TIMEOUT_S = 20.0
LINE = "x" * 900


class Pipe:
    """A pipe, and what has been read of it."""

    def __init__(self) -> None:
        self.out, into = os.pipe()
        self.stream = os.fdopen(into, "w", encoding="utf-8")

    def read_all(self) -> list[str]:
        """The lines up to the end, which comes when the other end is closed."""
        with os.fdopen(self.out, encoding="utf-8") as out:
            return out.read().splitlines()


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    """A pipe of 64 KiB."""
    made = Pipe()
    yield made
    made.stream.close()


def gap(count: int) -> str:
    return f"{count} dropped"


def test_every_line_is_written_in_order(pipe: Pipe) -> None:
    """Closing waits for what is still there."""
    writer = LineWriter(pipe.stream, gap=gap)
    for number in range(500):
        writer.put(str(number))
    writer.close(TIMEOUT_S)
    pipe.stream.close()
    assert pipe.read_all() == [str(number) for number in range(500)]


def test_a_pipe_that_nobody_reads_holds_nobody_up(pipe: Pipe) -> None:
    """All that does not fit is dropped and counted, and told between what came before and after."""
    writer = LineWriter(pipe.stream, gap=gap, most=100)
    for number in range(1000):
        writer.put(f"{number} {LINE}")
    started_s = time.monotonic()
    writer.close(0.1)
    assert time.monotonic() - started_s < TIMEOUT_S / 4
    reader = threading.Timer(0.0, lambda: lines.extend(pipe.read_all()))
    lines: list[str] = []
    reader.start()
    writer.close(TIMEOUT_S)
    pipe.stream.close()
    reader.join(TIMEOUT_S)
    # Told twice if the thread came to writing while lines were still being put.
    told = [line for line in lines if line.endswith(" dropped")]
    kept = [line for line in lines if line not in told]
    assert 100 <= len(kept) <= 300
    assert lines[-1] in told
    assert sum(int(line.split()[0]) for line in told) == 1000 - len(kept)
    assert [line.split()[0] for line in kept[:100]] == [str(number) for number in range(100)]


def test_lines_go_on_once_they_are_read_again(pipe: Pipe) -> None:
    """The gap is told where it is."""
    writer = LineWriter(pipe.stream, gap=gap, most=10)
    for number in range(500):
        writer.put(f"{number} {LINE}")
    lines: list[str] = []
    reader = threading.Thread(target=lambda: lines.extend(pipe.read_all()))
    reader.start()
    wait_until(lambda: not writer._lines)
    writer.put("after")
    writer.close(TIMEOUT_S)
    pipe.stream.close()
    reader.join(TIMEOUT_S)
    assert lines[-1] == "after"
    (told,) = [number for number, line in enumerate(lines) if line.endswith("dropped")]
    assert lines[told] == f"{500 - (len(lines) - 2)} dropped"


def test_a_reader_that_has_gone_is_no_error(pipe: Pipe) -> None:
    """The thread lives on, and knows that nothing is taken."""
    os.close(pipe.out)
    writer = LineWriter(pipe.stream, gap=gap)
    writer.put("lost")
    wait_until(lambda: writer.is_broken)
    writer.put("lost, too")
    writer.close(TIMEOUT_S)
    assert not writer._thread.is_alive()


def test_a_full_disk_is_no_error_and_is_told_when_there_is_room_again(tmp_path: Path) -> None:
    """Everything that was lost meanwhile is counted."""
    path = tmp_path / "log"
    with os.fdopen(os.open("/dev/full", os.O_WRONLY), "w", encoding="utf-8") as stream:
        writer = LineWriter(stream, gap=gap)
        writer.put("lost")
        wait_until(lambda: writer.is_broken)
        with path.open("w", encoding="utf-8") as file:
            os.dup2(file.fileno(), stream.fileno())
        writer.put("one")
        wait_until(lambda: not writer.is_broken)
        writer.put("two")
        writer.close(TIMEOUT_S)
    assert path.read_text(encoding="utf-8").splitlines() in (
        ["one", "two", "1 dropped"],
        ["one", "1 dropped", "two"],
    )


def test_a_stream_that_does_not_block_loses_nothing(pipe: Pipe) -> None:
    """Whoever shares the pipe may have made it so: it is tried again until it takes all."""
    flags = fcntl.fcntl(pipe.stream, fcntl.F_GETFL)
    fcntl.fcntl(pipe.stream, fcntl.F_SETFL, flags | os.O_NONBLOCK)
    writer = LineWriter(pipe.stream)
    for _ in range(200):
        writer.put(LINE)
    reader = threading.Thread(target=lambda: lines.extend(pipe.read_all()))
    lines: list[str] = []
    wait_until(lambda: len(writer._lines) == 0)
    reader.start()
    writer.close(TIMEOUT_S)
    pipe.stream.close()
    reader.join(TIMEOUT_S)
    assert lines == [LINE] * 200


def test_what_the_stream_cannot_encode_is_escaped() -> None:
    """A terminal without UTF-8 is no reason to lose a line."""
    out, into = os.pipe()
    with os.fdopen(into, "w", encoding="ascii") as stream:
        writer = LineWriter(stream)
        writer.put("Süd █")
        writer.close(TIMEOUT_S)
    with os.fdopen(out, "rb") as read:
        assert read.read() == b"S\\xfcd \\u2588\n"


def test_a_stream_without_a_descriptor_is_written_to() -> None:
    """As those of other programs that call us."""
    stream = io.StringIO()
    writer = LineWriter(stream)
    writer.put("a line")
    writer.close(TIMEOUT_S)
    assert stream.getvalue() == "a line\n"
