"""Freezes a process as the pause of a container does: in a cgroup, of either version.

Unlike with SIGSTOP, nobody is told, and no signal reaches the process meanwhile.
"""

import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

from tests.support.patience import wait_until

_CGROUPS: Final = Path("/sys/fs/cgroup")


@dataclass(frozen=True)
class _Version:
    """The place for cgroups, and the files that freeze one and tell whether it is frozen."""

    root: Path
    file: str
    words: tuple[str, str]
    told_in: str
    told: tuple[str, str]


_VERSIONS: Final = (
    *(
        _Version(root, "cgroup.freeze", ("0", "1"), "cgroup.events", ("frozen 0", "frozen 1"))
        for root in (_CGROUPS, _CGROUPS / "unified")
    ),
    _Version(
        *(_CGROUPS / "freezer", "freezer.state", ("THAWED", "FROZEN")),
        *("freezer.state", ("THAWED", "FROZEN")),
    ),
)


@contextmanager
def freezer(pid: int) -> Iterator[Callable[[bool], None]]:
    """Yields what freezes a process if called with True, and thaws it with False.

    Skips the test, with the reason, where this machine does not allow it.
    """
    version = next((v for v in _VERSIONS if (v.root / "cgroup.procs").is_file()), None)
    if version is None:
        pytest.skip(f"expected cgroups below {_CGROUPS}, found none")
    own = version.root / f"mqtt-http-bridge-test-{secrets.token_hex(4)}"
    try:
        own.mkdir()
        (own / "cgroup.procs").write_text(str(pid), encoding="ascii")
        is_there = os.access(own / version.file, os.W_OK)
    except OSError as error:
        is_there, reason = False, str(error)
    else:
        reason = f"this kernel has no {version.file}"

    def freeze(is_frozen: bool) -> None:
        (own / version.file).write_text(version.words[is_frozen], encoding="ascii")
        told_in = own / version.told_in
        wait_until(lambda: version.told[is_frozen] in told_in.read_text(encoding="ascii"))

    try:
        if not is_there:
            pytest.skip(f"expected to freeze a process in {own}, found: {reason}")
        yield freeze
    finally:
        with suppress(OSError):
            (own / version.file).write_text(version.words[False], encoding="ascii")
        with suppress(OSError):  # A cgroup is only removed if nothing is in it.
            (version.root / "cgroup.procs").write_text(str(pid), encoding="ascii")
        with suppress(OSError):
            own.rmdir()
