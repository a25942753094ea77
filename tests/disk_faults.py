"""A disk that refuses: real ones where mounting is permitted, made-up ones everywhere."""

import errno
import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

WRITING_CALLS = ("open", "write", "fsync", "rename")
"""What a file takes on its way to the disk."""
CHANGING_CALLS = ("chmod", "mkdir", "rename", "rmdir", "unlink", "write")
"""Together with `open` for writing: what a read-only file system refuses."""


def refuse(patch: pytest.MonkeyPatch, code: int, *names: str) -> None:
    """Has the named functions of `os` fail with `code`; opening fails for writing alone."""
    for name in names:
        patch.setattr(os, name, _refusing(getattr(os, name), code, is_open=name == "open"))


def _refusing(call: Callable[..., Any], code: int, *, is_open: bool) -> Callable[..., Any]:
    def refused(*arguments: Any, **options: Any) -> Any:
        if is_open and not arguments[1] & (os.O_WRONLY | os.O_RDWR):
            return call(*arguments, **options)
        raise OSError(code, os.strerror(code))

    return refused


@contextmanager
def refusing(code: int, *names: str) -> Iterator[None]:
    """The disk refuses for so long."""
    with pytest.MonkeyPatch.context() as patch:
        refuse(patch, code, *names)
        yield


def read_only() -> Any:
    """The disk takes no change at all for so long, as after an error of its own."""
    return refusing(errno.EROFS, "open", *CHANGING_CALLS)


def mount_small(directory: Path) -> None:
    """Mounts a file system of 1 MB; skips the test where that is not permitted."""
    directory.mkdir()
    try:
        _mount("-t", "tmpfs", "-o", "size=1m", "tmpfs", str(directory))
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"mounting a tmpfs is not permitted here: {error}")


def _mount(*arguments: str) -> None:
    subprocess.run(["mount", *arguments], check=True, capture_output=True)


def unmount(directory: Path) -> None:
    subprocess.run(["umount", "--lazy", str(directory)], check=True, capture_output=True)


def fill_to_the_brim(directory: Path) -> Path:
    """A file that takes the last byte of the disk."""
    filler = directory / "filler"
    size = os.statvfs(directory).f_blocks * os.statvfs(directory).f_frsize
    with (
        pytest.raises(OSError, match=os.strerror(errno.ENOSPC)),
        filler.open("wb", buffering=0) as stream,
    ):
        stream.writelines(b"\0" * 4096 for _ in range(size // 4096 + 1))
    return filler
