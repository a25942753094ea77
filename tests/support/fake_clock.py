"""Gives one process a wall clock that is wrong and can be set, with libfaketime."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

LIBRARIES = sorted(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"))


class FakeClock:
    """The clock of the processes that are started within `used`."""

    def __init__(self, directory: Path, off_s: float) -> None:
        self._file = directory / "clock"
        self.set(off_s)

    def set(self, off_s: float) -> None:
        """Sets it: from now on it is ahead by so much."""
        fresh = self._file.with_suffix(".new")
        fresh.write_text(f"{off_s:+f}\n", encoding="ascii")
        fresh.rename(self._file)

    @contextmanager
    def used(self) -> Iterator[None]:
        """Within this, processes are started with it."""
        variables = {
            "LD_PRELOAD": str(LIBRARIES[0]),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }
        os.environ.update(variables)
        try:
            yield
        finally:
            for name in variables:
                del os.environ[name]
