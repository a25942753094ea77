"""Tests what a service logs at its very end."""

from pathlib import Path

import pytest

from mqtt_http_bridge.app import wiring
from tests.adapters.outbox.refusing import refusing_everything
from tests.support.outboxes import fill, opened


def last_words(directory: Path, caplog: pytest.LogCaptureFixture, *, is_refused: bool) -> str:
    """The line of the end, with two measurements in the outbox."""
    caplog.set_level("INFO")
    with opened(directory) as outbox:
        fill(outbox, 1)
        if is_refused:
            with refusing_everything():
                fill(outbox, 2)
                wiring._tell_end(outbox)
        else:
            fill(outbox, 2)
            wiring._tell_end(outbox)
    (line,) = [r.getMessage() for r in caplog.records if r.getMessage().startswith("stopped: ")]
    return line


def test_what_waits_is_counted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """All of it is on the disk."""
    line = last_words(tmp_path, caplog, is_refused=False)
    assert line == f"stopped: 2 measurements wait in {tmp_path}"


def test_what_only_memory_has_does_not_wait(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """It is said how many that are, and why."""
    line = last_words(tmp_path, caplog, is_refused=True)
    assert line == (
        f"stopped: 2 measurements wait in {tmp_path}, 1 of them in memory only: the disk has"
        " refused them: Input/output error"
    )
