"""Sets up every test: the same examples every time, and no proxy between us and loopback."""

import faulthandler
import json
import logging
import os
import signal
from collections.abc import Iterator
from contextlib import suppress

import pytest
from hypothesis import settings

from mqtt_http_bridge.adapters.state_file import RUN_DIRECTORY
from tests.support.extent import ours

pytest_plugins = ["tests.support.fixtures", "tests.support.quick_disk"]

settings.register_profile("ours", ours)
settings.load_profile("ours")

END_WITHIN_S = 60.0
STDERR = 2


def pytest_configure() -> None:
    """Hears Ctrl+C: what a shell starts in the background ignores it, and so do its children.

    Only a Ctrl+C that is not ignored here is heard by a child. The same goes for the end of a
    terminal, which `nohup` ignores.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
        signal.signal(signal.SIGHUP, signal.SIG_DFL)


def pytest_unconfigure(config: pytest.Config) -> None:
    """Sees to it that the process ends: threads that a test left behind might keep it for ever.

    A test that hangs is the business of pytest-timeout, and a process of xdist, which may have to
    wait for the others, that of the process that started it.
    """
    if not hasattr(config, "workerinput"):
        faulthandler.dump_traceback_later(END_WITHIN_S, exit=True, file=STDERR)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Prints what tests have measured and told by record_property."""
    for report in terminalreporter.getreports("passed"):
        for name, value in report.user_properties:
            terminalreporter.write_line(f"{name}: {value}")


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Takes away the variables that would change what the relay does."""
    for name in list(os.environ):
        if name.lower().endswith("_proxy") or name.startswith("MQTT_HTTP_BRIDGE_"):
            monkeypatch.delenv(name)


@pytest.fixture(autouse=True)
def _no_level_of_before() -> Iterator[None]:
    """Takes back the level that a verb sets on the log of the package."""
    yield
    logging.getLogger("mqtt_http_bridge").setLevel(logging.NOTSET)


@pytest.fixture(scope="session", autouse=True)
def _run_directory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Leaves no state file behind of the services that the tests started and ended.

    Another run of the tests may be under way: what its services write is left alone.
    """
    yield
    ours = f"{tmp_path_factory.getbasetemp()}{os.sep}"
    for path in RUN_DIRECTORY.glob("*[!s].json"):
        # Another version, in a run beside this one, may write it differently.
        with suppress(OSError, ValueError, LookupError, TypeError):
            process = json.loads(path.read_bytes())["process"]
            if process["pid"] == os.getpid() or process["config"].startswith(ours):
                path.unlink()
                path.with_name(f"{path.stem}-changes.json").unlink(missing_ok=True)
    with suppress(OSError):
        RUN_DIRECTORY.rmdir()
