"""Tests what a service logs at its very end."""

from pathlib import Path

import pytest

from mqtt_http_bridge.app import wiring
from tests.adapters.outbox.refusing import refusing_everything
from tests.support.outboxes import GX, fill, opened


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
        f"stopped: 2 measurements wait in {tmp_path}; of these and of what is parked, 1 only in"
        " memory: the disk refuses: Input/output error"
    )


def test_what_is_parked_in_memory_only_is_counted_with_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """It does not wait, so it is not called some of what waits."""
    with opened(tmp_path) as outbox:
        fill(outbox, 1)
        with refusing_everything():
            entry = outbox.take(GX, 1)
            assert entry is not None
            outbox.park(entry, entry.body, ["HQ1"], "not found")
            wiring._tell_end(outbox)
    line = next(r.getMessage() for r in caplog.records if r.getMessage().startswith("stopped: "))
    assert "0 measurements wait" in line
    assert "of these and of what is parked, 1 only in memory" in line
