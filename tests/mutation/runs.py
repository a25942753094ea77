"""Runs the tests of a copy of the tree, in a forked child that has already loaded pytest."""

import os
import shutil
import signal
import sys
import time
import traceback
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

import pytest
from hypothesis import Phase, settings

_LOOK_S: Final = 0.05
_OPTIONS: Final = (
    *("-x", "-q", "-p", "no:cacheprovider", "-p", "no:xdist"),
    *("-W", "ignore::pytest.PytestAssertRewriteWarning"),  # It is there before pytest is: quicker.
)
PASSED: Final = 0
NO_TESTS: Final = 5
TOOK_TOO_LONG: Final = -1


class Copy:
    """A copy of the tree, in which one module at a time is another."""

    def __init__(self, root: Path, directory: Path) -> None:
        """Copies what the tests need."""
        self._directory = directory / "tree"
        spare = shutil.ignore_patterns(".git", ".venv", "__pycache__", ".*_cache", "build")
        shutil.copytree(root, self._directory, ignore=spare)
        self.log = directory / "log"

    def put(self, path: Path, text: str) -> None:
        """Replaces a module. What Python has compiled of it goes by time and size: not enough."""
        (self._directory / path).write_text(text, encoding="utf-8")
        for compiled in (self._directory / path).parent.glob(f"__pycache__/{path.stem}.*"):
            compiled.unlink()

    def run(self, arguments: Sequence[str], limit_s: float) -> int:
        """Runs pytest until the first failure; gives its status, or TOOK_TOO_LONG."""
        pid = os.fork()
        if pid == 0:
            self._become_pytest(arguments)
        deadline_s = time.monotonic() + limit_s
        while True:
            found, status = os.waitpid(pid, os.WNOHANG)
            if found:
                break
            if time.monotonic() > deadline_s:
                os.killpg(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
                return TOOK_TOO_LONG
            time.sleep(_LOOK_S)
        with suppress(ProcessLookupError):  # What a test has left behind.
            os.killpg(pid, signal.SIGKILL)
        return os.waitstatus_to_exitcode(status)

    def _become_pytest(self, arguments: Sequence[str]) -> None:
        """Runs the tests and ends the process."""
        status = 70
        try:
            os.setsid()
            _write_to(self.log)
            os.chdir(self._directory)
            for name in list(sys.modules):
                if name.partition(".")[0] in ("tests", "mqtt_http_bridge"):
                    del sys.modules[name]
            sys.path[:] = [str(self._directory), *(p for p in sys.path[1:] if p)]
            os.environ["PYTHONPATH"] = str(self._directory)
            settings_file = str(self._directory / "pyproject.toml")
            where = ["--rootdir", str(self._directory), "-c", settings_file]
            status = int(pytest.main([*_OPTIONS, *where, *arguments], plugins=[_NoShrinking()]))
        except BaseException:  # noqa: BLE001 - whatever it is, this process must not go on
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            os._exit(status)


class _NoShrinking:
    """Has hypothesis stop at the first example that fails: nobody reads it."""

    def pytest_collection(self) -> None:
        quick = settings(phases=(Phase.explicit, Phase.generate), print_blob=False)
        settings.register_profile("mutation", quick)
        settings.load_profile("mutation")


def _write_to(log: Path) -> None:
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
