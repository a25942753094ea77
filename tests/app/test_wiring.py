"""Tests what a service logs at its very end."""

from pathlib import Path

import pytest

from mqtt_http_bridge.app import wiring
from tests.adapters.outbox.refusing import refusing_everything
from tests.support.outboxes import fill, opened


def last_words(
    directory: Path, caplog: pytest.LogCaptureFixture, *, is_refused: bool, count: int = 2
) -> str:
    """The line of the end, with so many measurements in the outbox, by default two."""
    caplog.set_level("INFO")
    with opened(directory) as outbox:
        if count:
            fill(outbox, 1)
        if is_refused:
            with refusing_everything():
                fill(outbox, 2)
                wiring._tell_end(outbox)
        else:
            if count > 1:
                fill(outbox, 2)
            wiring._tell_end(outbox)
    (line,) = [r.getMessage() for r in caplog.records if r.getMessage().startswith("stopped: ")]
    return line


def test_what_waits_is_counted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """All of it is on the disk."""
    line = last_words(tmp_path, caplog, is_refused=False)
    assert line == f"stopped: 2 measurements wait in {tmp_path}"


@pytest.mark.parametrize(
    ("count", "expected"),
    [(0, "stopped: nothing waits"), (1, "stopped: 1 measurement waits in {}")],
)
def test_nothing_or_one_waits(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, count: int, expected: str
) -> None:
    """Nobody has to look into an empty outbox."""
    line = last_words(tmp_path, caplog, is_refused=False, count=count)
    assert line == expected.format(tmp_path)


def test_what_only_memory_has_does_not_wait(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """It is said how many that are, and why."""
    line = last_words(tmp_path, caplog, is_refused=True)
    assert line == (
        f"stopped: 2 measurements wait in {tmp_path}, 1 of them in memory only: the disk has"
        " refused them: Input/output error"
    )
