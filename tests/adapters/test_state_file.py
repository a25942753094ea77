"""Tests the state file on disk: where it is, who may read it, and what does not count as one."""

import errno
import os
import socket
import subprocess
import threading
import time
from pathlib import Path

import pytest

from mqtt_http_bridge.adapters import state_file
from mqtt_http_bridge.adapters.state_file import StateFile, start_ticks


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """Returns where memory-backed files go, as /run does."""
    (tmp_path / "run").mkdir()
    return tmp_path / "run/mqtt-http-bridge"


@pytest.fixture
def outbox(tmp_path: Path) -> Path:
    """The directory of an outbox."""
    (tmp_path / "outbox").mkdir()
    return tmp_path / "outbox"


def test_it_lies_in_memory_where_that_is_possible(run: Path, outbox: Path) -> None:
    """For its owner's eyes only, in a directory of the same kind; nothing else is left."""
    file = StateFile(outbox, run)
    file.write(b"one")
    file.write(b"two")
    (path,) = run.iterdir()
    assert path.read_bytes() == b"two"
    assert (path.stat().st_mode & 0o777, run.stat().st_mode & 0o777) == (0o600, 0o700)
    assert list(outbox.iterdir()) == []
    assert StateFile(outbox, run).read() == [b"two"]


def test_else_beside_the_outbox(outbox: Path, tmp_path: Path) -> None:
    """Without /run, or where others own it."""
    nowhere = tmp_path / "not there/mqtt-http-bridge"
    StateFile(outbox, nowhere).write(b"one")
    assert [path.name for path in outbox.iterdir()] == ["state.json"]
    assert StateFile(outbox, nowhere).read() == [b"one"]


def test_instances_do_not_meet(run: Path, outbox: Path, tmp_path: Path) -> None:
    """Each outbox has a file of its own, however its directory is spelled."""
    (tmp_path / "other").mkdir()
    StateFile(outbox, run).write(b"one")
    StateFile(tmp_path / "other", run).write(b"other")
    (tmp_path / "link").symlink_to(outbox)
    assert StateFile(tmp_path / "link", run).read() == [b"one"]
    assert StateFile(tmp_path / "other", run).read() == [b"other"]


def test_nothing_is_there(run: Path, outbox: Path) -> None:
    """Neither a file nor a directory for it."""
    assert StateFile(outbox, run).read() == []


def test_it_is_never_flushed(run: Path, outbox: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that is out of date in a minute is worth no flush."""
    for name in ("fsync", "fdatasync", "sync"):
        monkeypatch.setattr(os, name, lambda *_: pytest.fail("a flush"))
    StateFile(outbox, run).write(b"one")
    assert StateFile(outbox, run).read() == [b"one"]


def test_a_write_that_fails_leaves_the_file_as_it_was(
    run: Path, outbox: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half a file is never seen, and no part of one is left."""
    file = StateFile(outbox, run)
    file.write(b"one")

    def refuse(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", refuse)
    with pytest.raises(OSError, match="No space left"):
        file.write(b"two")
    assert file.read() == [b"one"]
    assert [path.suffix for path in (*run.iterdir(), *outbox.iterdir())] == [".json"]


def test_a_link_is_not_followed(run: Path, outbox: Path, tmp_path: Path) -> None:
    """Neither in writing, where it would overwrite another file, nor in reading."""
    (tmp_path / "theirs").write_bytes(b"theirs")
    file = StateFile(outbox, run)
    file.write(b"one")
    (path,) = run.iterdir()
    path.unlink()
    path.symlink_to(tmp_path / "theirs")
    path.with_name(path.name + ".new").symlink_to(tmp_path / "theirs")
    assert file.read() == []
    file.write(b"two")
    assert (tmp_path / "theirs").read_bytes() == b"theirs"
    assert file.read() == [b"two"]


@pytest.mark.parametrize("kind", ["pipe", "socket", "directory", "too large"])
def test_what_is_no_small_file(
    run: Path, outbox: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It counts as not there, and holds nobody up."""
    path = outbox / "state.json"
    monkeypatch.setattr(state_file, "MOST_BYTES", 1000)
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "socket":
        monkeypatch.chdir(outbox)
        with socket.socket(socket.AF_UNIX) as listening:
            listening.bind("state.json")
    elif kind == "directory":
        path.mkdir()
    else:
        path.write_bytes(b"x" * 1001)
    found: list[list[bytes]] = []
    # A pipe would hold the reader up for ever.
    reader = threading.Thread(target=lambda: found.append(StateFile(outbox, run).read()))
    reader.daemon = True
    reader.start()
    reader.join(5.0)
    assert found == [[]]
    if kind == "too large":
        path.write_bytes(b"x" * 1000)
        assert StateFile(outbox, run).read() == [b"x" * 1000]


def test_the_start_of_this_process() -> None:
    """It is after the boot and before now, by the kernel's own count."""
    ticks_s = 1 / os.sysconf("SC_CLK_TCK")
    started_s = start_ticks() * ticks_s
    assert 0.0 < started_s <= time.clock_gettime(time.CLOCK_BOOTTIME)
    assert start_ticks() == start_ticks(os.getpid()) == start_ticks()


def test_the_start_of_another_process() -> None:
    """It is not known once the process has ended, even before its parent has noticed."""
    process = subprocess.Popen(["sleep", "60"])
    try:
        assert start_ticks(process.pid) >= start_ticks() > 0
        process.kill()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        assert start_ticks(process.pid) == 0
    finally:
        process.kill()
        process.wait()
    assert start_ticks(process.pid) == 0


def test_a_full_disk_takes_it_in_the_place_of_the_last(
    outbox: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There is no room for another file, and whoever asks for its age has to find a new one."""
    file = StateFile(outbox, tmp_path / "not there/mqtt-http-bridge")
    file.write(b"a longer one")

    def refuse(path: Path, text: bytes) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(state_file, "_replace", refuse)
    file.write(b"new")
    assert file.read() == [b"new"]
