"""Imitates a disk whose state after a power cut can be seen, between any two system calls.

What the outbox does to its files is recorded. From the record follows what was surely on the disk
at any moment, and what may have been: of what was written since a flush any sectors, of the names
made or removed since their directory was flushed any, too. One flush may be refused: as on Linux,
what was written since the one before is then on the disk neither now nor after a later flush.
"""

import errno
import os
import random
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

SECTOR_BYTES = 512


@dataclass(frozen=True)
class Call:
    """A system call that changed something, or flushed it."""

    name: str
    path: str
    offset: int = 0
    data: bytes = b""


@dataclass
class Record:
    """The calls in their order, and what a test has marked in between."""

    history: list[Call | object] = field(default_factory=list)
    refused_flush: int = 0
    """The disk refuses the flush of data after so many; 0: none."""
    _paths: dict[int, str] = field(default_factory=dict)
    _lock: Any = field(default_factory=threading.RLock)

    def mark(self, what: object) -> None:
        """Notes what is true from here on."""
        with self._lock:
            self.history.append(what)

    def wrap(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        """The function `name` of `os`, recorded once it has succeeded."""

        def wrapped(*arguments: Any, **options: Any) -> Any:
            with self._lock:
                if name == "fdatasync":
                    self._refuse_flush(self._paths[arguments[0]])
                result = call(*arguments, **options)
                self._note(name, arguments, result)
                return result

        return wrapped

    def _refuse_flush(self, path: str) -> None:
        self.refused_flush -= 1
        if self.refused_flush == 0:
            self.mark(Call("refuse", path))
            raise OSError(errno.EIO, os.strerror(errno.EIO))

    def _note(self, name: str, arguments: Any, result: Any) -> None:
        first = arguments[0]
        if name == "open":
            self._paths[result] = str(first)
            if arguments[1] & os.O_CREAT:
                self.mark(Call("create", str(first)))
        elif name == "pwrite":
            data = bytes(arguments[1][:result])
            self.mark(Call(name, self._paths[first], arguments[2], data))
        elif name == "ftruncate":
            self.mark(Call(name, self._paths[first], arguments[1]))
        elif name in ("fdatasync", "fsync"):
            self.mark(Call("flush", self._paths[first]))
        else:
            self.mark(Call(name, str(first)))


@contextmanager
def recording() -> Iterator[Record]:
    """Records what is done to files in the body."""
    record = Record()
    with pytest.MonkeyPatch.context() as patch:
        for name in ("open", "pwrite", "ftruncate", "fdatasync", "fsync", "unlink"):
            patch.setattr(os, name, record.wrap(name, getattr(os, name)))
        yield record


@dataclass
class _File:
    now: bytearray = field(default_factory=bytearray)
    safe: bytes = b""


class Disk:
    """The traces that the calls so far have left, for sure and perhaps."""

    def __init__(self) -> None:
        self._files: dict[str, _File] = {}
        self._names: set[str] = set()
        self._safe_names: set[str] = set()
        self._pending: list[Call] = []

    def do(self, call: Call) -> None:
        """Takes in one call."""
        if call.name == "create":
            if call.path not in self._names:
                self._files[call.path] = _File()
                self._names.add(call.path)
                self._pending.append(call)
        elif call.name == "unlink":
            self._names.discard(call.path)
            self._pending.append(call)
        elif call.name == "pwrite":
            now = self._files[call.path].now
            now.extend(b"\0" * (call.offset - len(now)))
            now[call.offset : call.offset + len(call.data)] = call.data
        elif call.name == "ftruncate":
            del self._files[call.path].now[call.offset :]
        elif call.name == "refuse":
            self._files[call.path].now = bytearray(self._files[call.path].safe)
        elif call.path in self._files:
            self._files[call.path].safe = bytes(self._files[call.path].now)
        else:
            _apply(self._safe_names, [c for c in self._pending if _is_in(c, call.path)])
            self._pending = [c for c in self._pending if not _is_in(c, call.path)]

    def leave(self, old_root: Path, root: Path, rng: random.Random | None) -> None:
        """Makes in `root` what a power cut leaves: with `rng` some of what was not safe, too."""
        names = set(self._safe_names)
        if rng is not None:
            _apply(names, [call for call in self._pending if rng.random() < 0.5])
        for name in sorted(names):
            target = root / Path(name).relative_to(old_root)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(_torn(self._files[name], rng))


def _is_in(call: Call, directory: str) -> bool:
    return str(Path(call.path).parent) == directory


def _apply(names: set[str], calls: list[Call]) -> None:
    for call in calls:
        if call.name == "create":
            names.add(call.path)
        else:
            names.discard(call.path)


def _torn(file: _File, rng: random.Random | None) -> bytes:
    """The safe bytes, and any sectors of the others."""
    if rng is None:
        return file.safe
    size = rng.choice([len(file.safe), len(file.now)])
    parts = []
    for start in range(0, size, SECTOR_BYTES):
        end = min(start + SECTOR_BYTES, size)
        safe = file.safe[start:end].ljust(end - start, b"\0")
        now = bytes(file.now[start:end]).ljust(end - start, b"\0")
        parts.append(rng.choice([safe, now]))
    return b"".join(parts)
