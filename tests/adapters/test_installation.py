"""Tests an installation's client id, and that only one process can use it."""

import errno
import fcntl
import os
import subprocess
import sys
from pathlib import Path

import pytest

from mqtt_http_bridge.adapters.installation import client_id, only_process
from mqtt_http_bridge.core.errors import OutboxBusy

HOLD = """
import sys, pathlib
from mqtt_http_bridge.adapters.installation import only_process
with only_process(pathlib.Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_the_client_id_is_drawn_once(tmp_path: Path) -> None:
    """It stays, differs from that of other installations, and is one that any broker takes."""
    first = client_id(tmp_path / "a" / "outbox")
    assert client_id(tmp_path / "a" / "outbox") == first
    assert client_id(tmp_path / "b") != first
    assert first.startswith("mqtt-http-bridge-")
    assert first.isascii()


def test_an_empty_client_id_is_drawn_anew(tmp_path: Path) -> None:
    """A power cut may have left the file without its line."""
    (tmp_path / "client-id").touch()
    drawn = client_id(tmp_path)
    assert drawn != ""
    assert client_id(tmp_path) == drawn


@pytest.mark.parametrize("content", [b"\0" * 26, b"", b"\xff\xfe", b"a b\n", b"x" * 100_000])
def test_a_client_id_that_is_none_is_drawn_anew(tmp_path: Path, content: bytes) -> None:
    """A power cut may have left NULs, or half of it; whatever it is, it ends nothing."""
    (tmp_path / "client-id").write_bytes(content)
    drawn = client_id(tmp_path)
    assert drawn.startswith("mqtt-http-bridge-")
    assert client_id(tmp_path) == drawn


def test_a_client_id_of_before_is_kept(tmp_path: Path) -> None:
    """Whatever it looks like, as long as a broker takes it."""
    (tmp_path / "client-id").write_text("relay-7\n")
    assert client_id(tmp_path) == "relay-7"


def test_a_pipe_in_its_place_is_not_waited_for(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Before anything is watched, that would stand still for ever."""
    os.mkfifo(tmp_path / "client-id")
    assert client_id(tmp_path) != client_id(tmp_path)
    assert "cannot keep the MQTT client id there" in caplog.text


def test_a_client_id_that_cannot_be_kept_is_good_for_this_time(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A relay without a disk is better than none; it says what fixes it."""
    (tmp_path / "outbox").touch()
    assert client_id(tmp_path / "outbox") != client_id(tmp_path / "outbox")
    assert caplog.messages[0] == (
        f"{tmp_path}/outbox/client-id: cannot keep the MQTT client id there: File exists: each"
        " start uses a new one: move away the file that is in the place of outbox.directory"
    )


def test_one_process_at_a_time(tmp_path: Path) -> None:
    """The second one is told; once the first is dead, however it died, the next one may."""
    directory = tmp_path / "outbox"
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, directory], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as first:
        assert first.stdout is not None
        assert first.stdout.readline() == b"held\n"
        with (
            pytest.raises(OutboxBusy, match=f"{directory}: expected to own this"),
            only_process(directory),
        ):
            pass
        first.kill()
        first.wait()
    for _ in range(2):
        with only_process(directory):
            pass


def test_a_disk_that_takes_no_file_can_still_be_locked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a disk that is read-only, the directory stands in for the file."""
    open_file = os.open

    def refuse(path: Path, flags: int, mode: int = 0) -> int:
        if flags & os.O_CREAT:
            raise OSError(errno.EROFS, "Read-only file system")
        return open_file(path, flags, mode)

    monkeypatch.setattr(os, "open", refuse)
    with only_process(tmp_path), pytest.raises(OutboxBusy), only_process(tmp_path):
        pass


def test_what_is_locked_is_a_file(tmp_path: Path) -> None:
    """NFS locks no directory for one alone."""
    with only_process(tmp_path):
        assert (tmp_path / "running").is_file()
        descriptor = os.open(tmp_path, os.O_RDONLY)
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.close(descriptor)


def test_the_directory_lasts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each new directory is flushed into the one above it, for what the outbox will put there."""
    flushed, flush = list[str](), os.fsync

    def note(descriptor: int) -> None:
        flushed.append(str(Path(f"/proc/self/fd/{descriptor}").readlink()))
        flush(descriptor)

    monkeypatch.setattr(os, "fsync", note)
    with only_process(tmp_path / "a" / "outbox"):
        assert flushed == [str(tmp_path), str(tmp_path / "a")]


def test_a_directory_that_cannot_be_made_is_let_pass(tmp_path: Path) -> None:
    """Whoever needs it next tells what is wrong; with `mqtt.client_id`, that is the outbox."""
    (tmp_path / "outbox").touch()
    with only_process(tmp_path / "outbox"), only_process(tmp_path / "outbox"):
        pass
