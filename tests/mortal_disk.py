"""A machine that dies at a chosen system call, and a disk that forgets what was not flushed.

Everything the outbox does to its files goes through a dozen functions of `os`. In here they are
counted and written down; at the chosen one the process is as good as dead: that call and all that
follow do nothing, in clean-up code too.
"""

import os
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

CALLS = ("chmod", "fsync", "mkdir", "open", "rename", "rmdir", "unlink", "write")


class Died(BaseException):
    """The process is dead. No `except` of the code under test may catch this."""


@dataclass(frozen=True)
class Call:
    """A call that changed something, or flushed it."""

    name: str
    path: str
    """For `write` and `fsync` that of the file that was opened."""
    target: str = ""
    data: bytes = b""
    mode: int = 0


@dataclass
class Machine:
    """Counts and keeps the calls, and what the code under test marks in between."""

    dies_at: int | None = None
    history: list[Call | object] = field(default_factory=list)
    count: int = 0
    _open: dict[int, str] = field(default_factory=dict)

    def mark(self, what: object) -> None:
        """Notes what is true from here on."""
        self.history.append(what)

    def wrap(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        """The function `name` of `os`, as long as there is life in the machine."""

        def wrapped(*arguments: Any, **options: Any) -> Any:
            self.count += 1
            if self.dies_at is not None and self.count >= self.dies_at:
                raise Died
            result = call(*arguments, **options)
            self._note(name, arguments, options, result)
            return result

        return wrapped

    def _note(self, name: str, arguments: Any, options: Any, result: Any) -> None:
        first = arguments[0]
        if name == "open":
            self._open[result] = str(first)
            if arguments[1] & os.O_CREAT:
                self.mark(Call("create", str(first)))
        elif name == "write":
            self.mark(Call(name, self._open[first], data=bytes(arguments[1][:result])))
        elif name == "fsync":
            self.mark(Call(name, self._open[first]))
        elif name == "rename":
            self.mark(Call(name, str(first), target=str(arguments[1])))
        else:
            self.mark(Call(name, str(first)))

    def bury(self) -> None:
        """Closes what the dead process had open, as the system does: its lock goes with it."""
        for descriptor in self._open:
            with suppress(OSError):
                if str(Path(f"/proc/self/fd/{descriptor}").readlink()) == self._open[descriptor]:
                    os.close(descriptor)


@contextmanager
def machine(dies_at: int | None = None) -> Iterator[Machine]:
    """Runs the body on a machine that dies at the call of that number, which ends the body."""
    mortal = Machine(dies_at)
    with pytest.MonkeyPatch.context() as patch:
        for name in CALLS:
            patch.setattr(os, name, mortal.wrap(name, getattr(os, name)))
        with suppress(Died):
            yield mortal
    mortal.bury()


# --- power -------------------------------------------------------------------------------------


@dataclass
class _File:
    data: bytes = b""
    safe: int = 0
    """So many bytes are on the disk for sure."""


@dataclass
class _Pending:
    """A change of names that is on the disk once its directory is flushed."""

    directory: str
    change: Callable[[dict[str, _File | None]], None]


class PowerlessDisk:
    """What may be on the disk after the power went: the safe part, and some of the rest.

    A file keeps what was flushed and any part of what was written since. A change of a name (one
    that is made, renamed or removed) is safe once its directory has been flushed; of the others of
    a directory any first few may have got there: what is renamed, is so as a whole.
    """

    def __init__(self) -> None:
        self._now: dict[str, _File | None] = {}
        """By path; None is a directory."""
        self._safe: dict[str, _File | None] = {}
        self._pending: list[_Pending] = []

    def do(self, call: Call) -> None:
        """Takes in one call of the history."""
        match call.name:
            case "create":
                if call.path not in self._now:
                    self._change(call.path, _Put(call.path, _File()))
            case "mkdir":
                self._change(call.path, _Put(call.path, None))
            case "unlink" | "rmdir":
                self._change(call.path, _Remove(call.path))
            case "rename":
                self._change(call.target, _Rename(call.path, call.target, self._now[call.path]))
            case "write":
                file = self._file(call.path)
                file.data += call.data
            case "fsync":
                self._flush(call.path)

    def _file(self, path: str) -> _File:
        file = self._now[path]
        assert file is not None
        return file

    def _change(self, path: str, change: Callable[[dict[str, _File | None]], None]) -> None:
        change(self._now)
        self._pending.append(_Pending(str(Path(path).parent), change))

    def _flush(self, path: str) -> None:
        file = self._now.get(path)
        if file is not None:
            file.safe = len(file.data)
            return
        for pending in self._pending:
            if pending.directory == path:
                pending.change(self._safe)
        self._pending = [pending for pending in self._pending if pending.directory != path]

    def materialize(self, root: Path, old_root: Path, rng: random.Random | None) -> None:
        """Makes the files under `root` that were under `old_root`.

        Without `rng` only what is safe is there; with it some more.
        """
        state = dict(self._safe)
        for directory in sorted({pending.directory for pending in self._pending}) if rng else []:
            changes = [p.change for p in self._pending if p.directory == directory]
            for change in changes[: rng.randint(0, len(changes)) if rng else 0]:
                change(state)
        for path in sorted(state):
            target = root / Path(path).relative_to(old_root)
            file = state[path]
            if not target.parent.is_dir():
                continue  # The directory itself did not get there.
            if file is None:
                target.mkdir()
            else:
                length = rng.randint(file.safe, len(file.data)) if rng else file.safe
                target.write_bytes(file.data[:length])


@dataclass(frozen=True)
class _Put:
    path: str
    what: _File | None

    def __call__(self, names: dict[str, _File | None]) -> None:
        names[self.path] = self.what


@dataclass(frozen=True)
class _Remove:
    path: str

    def __call__(self, names: dict[str, _File | None]) -> None:
        names.pop(self.path, None)


@dataclass(frozen=True)
class _Rename:
    path: str
    target: str
    what: _File | None

    def __call__(self, names: dict[str, _File | None]) -> None:
        names.pop(self.path, None)
        names[self.target] = self.what
