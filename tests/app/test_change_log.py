"""Tests the list of changes that the page shows."""

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from mqtt_http_bridge.adapters.state_file import StateFile
from mqtt_http_bridge.app.change_log import ChangeLog
from mqtt_http_bridge.core.events import Moment
from mqtt_http_bridge.core.log import Log
from mqtt_http_bridge.core.redaction import Redaction
from mqtt_http_bridge.core.settings import Secret
from mqtt_http_bridge.core.status.changes import Tone
from mqtt_http_bridge.core.status.periodic_log import ABOUT
from tests.support.virtual import moment

log = logging.getLogger("mqtt_http_bridge.somebody")


class Clock:
    """Goes as it is told."""

    def __init__(self) -> None:
        self.s = 0.0

    def now(self) -> Moment:
        return moment(self.s)


@pytest.fixture
def clock() -> Clock:
    """One that stands at noon."""
    return Clock()


@pytest.fixture
def file(tmp_path: Path) -> StateFile:
    """The place where changes are kept."""
    return StateFile(tmp_path / "outbox", tmp_path / "run", what="changes")


@pytest.fixture
def changes(clock: Clock, file: StateFile) -> Iterator[ChangeLog]:
    """One that listens to our log."""
    logging.getLogger("mqtt_http_bridge").setLevel(logging.INFO)
    changes = ChangeLog(clock.now, Redaction([Secret("sesame-open")]), file)
    with changes.listening("1.2"):
        yield changes


def tell(line: Log) -> None:
    """Writes a line as the relay does."""
    log.log(logging.getLevelNamesMapping()[line.level], "%s", line.text, extra={"line": line})


def texts(changes: ChangeLog) -> list[str]:
    """Lists the texts after that of the start."""
    return [each.text for each in changes.view()][1:]


def test_changes_have_their_time_and_tone(changes: ChangeLog, clock: Clock) -> None:
    """The end of trouble is good, trouble is a warning, and the rest is neither."""
    for line in (
        Log.info("connected"),
        Log.warning("not delivered", about="backend"),
        Log.info("taken again", about="backend", is_end=True),
    ):
        clock.s += 60
        tell(line)
    found = changes.view()
    assert found[0].text == "the service was started, version 1.2"
    assert [(each.text, each.tone) for each in found[1:]] == [
        ("connected", Tone.INFO),
        ("not delivered", Tone.WARNING),
        ("taken again", Tone.GOOD),
    ]
    assert [round(each.at - found[0].at) for each in found] == [0, 60, 120, 180]


def test_what_comes_by_the_clock_is_no_change(changes: ChangeLog) -> None:
    """Nor is what only tells how the program goes."""
    tell(Log.warning("not well: the same as an hour ago", kind="not well", about=ABOUT))
    log.info("status page at %s", "http://127.0.0.1/")
    log.warning("the outbox has %d damaged places", 3)
    assert texts(changes) == ["the outbox has 3 damaged places"]


def test_no_secret_and_no_second_line(changes: ChangeLog) -> None:
    """As in the log itself."""
    tell(Log.warning("the backend said sesame-open\nERROR a line of its own"))
    assert texts(changes) == ["the backend said ***\\nERROR a line of its own"]


def test_they_outlive_the_service(clock: Clock, file: StateFile, tmp_path: Path) -> None:
    """Written when there is news, not by the clock."""
    first = ChangeLog(clock.now, Redaction(), file)
    first.take(Log.info("lost"))
    first.save()
    (path,) = (tmp_path / "run").glob("*-changes.json")
    path.unlink()
    first.save()
    assert not path.exists()
    first.take(Log.info("back"))
    first.save()
    assert [each.text for each in ChangeLog(clock.now, Redaction(), file).view()] == [
        "lost",
        "back",
    ]


def test_a_disk_that_refuses_is_no_matter(clock: Clock, tmp_path: Path) -> None:
    """They are in memory all the same."""
    (tmp_path / "file").write_text("no directory")
    nowhere = StateFile(tmp_path / "file", tmp_path / "file" / "run", what="changes")
    changes = ChangeLog(clock.now, Redaction(), nowhere)
    changes.take(Log.info("lost"))
    changes.save()
    assert [each.text for each in changes.view()] == ["lost"]
