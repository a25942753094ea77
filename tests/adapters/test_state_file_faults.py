"""Tests the state file if a system call fails: the old or the new one is there, never half."""

import errno
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import pytest

from mqtt_http_bridge.adapters import state_file
from mqtt_http_bridge.adapters.state_file import StateFile
from tests.support.faulty_os import CODES, faulty_os

OLD, NEW, NEXT = b"old " * 100, b"new " * 100, b"next " * 100


@pytest.fixture
def file(tmp_path: Path) -> Iterator[StateFile]:
    """One that has been written once; at the end it is whole again, and nothing is left behind."""
    (tmp_path / "outbox").mkdir()
    file = StateFile(tmp_path / "outbox", tmp_path / "run")
    file.write(OLD)
    yield file
    file.write(NEXT)
    assert file.read()[0] == NEXT
    names = {
        path.name for path in (*(tmp_path / "run").iterdir(), *(tmp_path / "outbox").iterdir())
    }
    assert not any(name.endswith(".new") for name in names), names


def write(file: StateFile) -> bool:
    """Writes; returns whether that could be done."""
    try:
        file.write(NEW)
    except OSError:
        return False
    return True


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - a Path would open it for longer


def calls_of_a_write(file: StateFile, tmp_path: Path) -> int:
    with faulty_os(tmp_path) as faulty:
        file.write(OLD)
    return faulty.count


@pytest.mark.parametrize("code", CODES, ids=errno.errorcode.get)
@pytest.mark.parametrize("length", [1, 2, 20])
def test_each_call_of_a_write_fails(
    file: StateFile, tmp_path: Path, code: int, length: int
) -> None:
    """Alone, or with those after it, as where the second place refuses, too."""
    before = open_files()
    for number in range(calls_of_a_write(file, tmp_path)):
        with faulty_os(tmp_path) as faulty:
            faulty.fail(range(number, number + length), code)
            is_written = write(file)
            assert faulty.met
        assert set(file.read()) <= {OLD, NEW}
        assert (NEW in file.read()) or not is_written
        file.write(OLD)
    assert open_files() == before


class _Full:
    """A file of which the disk takes half, at most when it is closed."""

    def __init__(self, whole: Any, *, is_late: bool) -> None:
        self._whole, self._is_late = whole, is_late

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._whole.close()
        if self._is_late:
            raise OSError(errno.ENOSPC, "no space left")

    def write(self, data: bytes) -> None:
        self._whole.write(data[: len(data) // 2])
        if not self._is_late:
            raise OSError(errno.ENOSPC, "no space left")


@pytest.mark.parametrize("is_late", [False, True], ids=["at once", "as it is closed"])
def test_a_disk_that_takes_half(
    file: StateFile, monkeypatch: pytest.MonkeyPatch, is_late: bool
) -> None:
    """Everything that was there stays there."""

    def half(descriptor: int, mode: str) -> _Full:
        return _Full(os.fdopen(descriptor, mode), is_late=is_late)

    with monkeypatch.context() as patch:
        patch.setattr(state_file, "open", half, raising=False)
        assert not write(file)
    assert file.read() == [OLD]
