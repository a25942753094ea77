"""Tests when a running service writes its state file, and what it does if the disk refuses."""

import os
from pathlib import Path

import pytest

from mqtt_http_bridge import __version__
from mqtt_http_bridge.adapters.clock import boot_id
from mqtt_http_bridge.adapters.state_file import StateFile, start_ticks
from mqtt_http_bridge.app.state_reporter import (
    CALM_SPACING_S,
    WRITTEN,
    StateReporter,
    this_process,
)
from mqtt_http_bridge.core.broker_failure import BrokerFailure, Cause
from mqtt_http_bridge.core.events import Moment
from mqtt_http_bridge.core.log import Log
from mqtt_http_bridge.core.settings import DeviceSettings, OutboxSettings, Settings
from mqtt_http_bridge.core.status.problem import Kind
from mqtt_http_bridge.core.status.state_file import LEAST_SPACING_S, State
from mqtt_http_bridge.core.status.state_json import from_json
from mqtt_http_bridge.core.views import (
    BackendView,
    DeviceResult,
    DeviceVerdict,
    GxDelivery,
    OutboxView,
    RelayView,
    SiteView,
    StatusView,
)
from tests.support.log_lines import as_logged
from tests.support.virtual import PORTAL, moment

SETTINGS = Settings(
    backend=None,
    outbox=OutboxSettings("unused"),
    device=DeviceSettings(update_interval_s=30.0),
    source="config.yaml",
)
SITE = SiteView(PORTAL, "barn", heard_s=1000.0, chargers=(), measured_s=1000.0)
CONNECTED = RelayView(moment(0), is_connected=True, sites=(SITE,))
CUT_OFF = RelayView(moment(0), failure=BrokerFailure(Cause.LOST))


@pytest.fixture
def file(tmp_path: Path) -> StateFile:
    """A state file in a directory that is there."""
    return StateFile(tmp_path, tmp_path / "run")


@pytest.fixture
def reporter(file: StateFile) -> StateReporter:
    """One that has written nothing yet."""
    process = this_process(SETTINGS, moment(0))
    return StateReporter(file, process, status)


def status(now: Moment, relay: RelayView) -> StatusView:
    """A service that has sent nothing yet."""
    return StatusView("1", moment(0), now, relay, BackendView(), OutboxView())


def stored_status(now: Moment, relay: RelayView) -> StatusView:
    """A service that had something stored once."""
    verdict = DeviceVerdict(DeviceResult.STORED, moment(0), stored=moment(0))
    backend = BackendView(gx={PORTAL: GxDelivery(devices={"HQ1": verdict})})
    return StatusView("1", moment(0), now, relay, backend, OutboxView())


def written(file: StateFile) -> State:
    """Returns what the one file says."""
    (text,) = file.read()
    return from_json(text)


@pytest.fixture
def calm_reporter(file: StateFile) -> StateReporter:
    """One of a service that had something stored, and has written nothing yet."""
    return StateReporter(file, this_process(SETTINGS, moment(0)), stored_status)


def test_it_is_written_at_once_and_then_with_the_interval(
    calm_reporter: StateReporter, file: StateFile
) -> None:
    """Nothing happens: it waits a while for an occasion, and wakes nobody before."""
    reporter = calm_reporter
    assert reporter.due_s <= 0.0
    assert reporter.tell(moment(1.0), CONNECTED) == []
    assert (reporter.due_s, reporter.deadline_s) == (11.0, 36.0)
    reporter.tell(moment(30.9), CONNECTED)
    assert written(file).written_s == 1.0
    reporter.tell(moment(31.0), CONNECTED)
    assert written(file).written_s == 31.0
    assert (reporter.due_s, reporter.deadline_s) == (61.0, 66.0)


def test_before_anything_is_stored_it_goes_on_looking(reporter: StateReporter) -> None:
    """Whoever has just started the service asks for that."""
    reporter.tell(moment(1.0), CONNECTED)
    reporter.tell(moment(11.0), CONNECTED)
    assert reporter.due_s == 11.0 + LEAST_SPACING_S


def test_while_all_is_well_it_looks_when_there_is_something_to_write(
    calm_reporter: StateReporter,
) -> None:
    """A look that finds what the last one found is worth nothing."""
    reporter = calm_reporter
    reporter.tell(moment(1.0), CONNECTED)
    reporter.tell(moment(11.0), CONNECTED)
    assert reporter.due_s == 31.0
    reporter.tell(moment(33.0), CONNECTED)
    assert reporter.due_s == 63.0
    reporter.tell(moment(64.0), CUT_OFF)
    assert reporter.due_s == 64.0 + LEAST_SPACING_S
    reporter.tell(moment(74.0), CUT_OFF)
    assert reporter.due_s == 74.0 + LEAST_SPACING_S
    reporter.tell(moment(84.0), CONNECTED)
    assert reporter.due_s == 84.0 + LEAST_SPACING_S


def test_with_a_long_interval_it_looks_every_30_s(file: StateFile) -> None:
    """Trouble is not told later for it."""
    process = this_process(SETTINGS, moment(0))._replace(interval_s=300.0)
    reporter = StateReporter(file, process, stored_status)
    reporter.tell(moment(1.0), CONNECTED)
    reporter.tell(moment(11.0), CONNECTED)
    assert reporter.due_s == 11.0 + CALM_SPACING_S


def test_a_change_is_written_at_the_next_look(reporter: StateReporter, file: StateFile) -> None:
    """And that comes no sooner than ten seconds after the last."""
    reporter.tell(moment(1.0), CONNECTED)
    assert written(file).problems == ()
    reporter.tell(moment(11.0), CUT_OFF)
    assert [problem.kind for problem in written(file).problems] == [Kind.NO_CONNECTION]
    assert reporter.due_s == 11.0 + LEAST_SPACING_S


def test_nobody_is_woken_before_there_is_a_look(reporter: StateReporter) -> None:
    """Or the main thread would go round in circles until then."""
    reporter.tell(moment(1.0), CONNECTED)
    reporter.tell(moment(30.0), CONNECTED)
    assert reporter.deadline_s == reporter.due_s == 30.0 + LEAST_SPACING_S


def test_with_many_gx_devices_it_looks_less_often(reporter: StateReporter) -> None:
    """A look costs something for each of them; the file is believed for a minute."""
    many = CONNECTED._replace(sites=(SITE,) * 1000)
    reporter.tell(moment(1.0), many)
    assert reporter.due_s == 21.0


def test_the_end_is_always_written(reporter: StateReporter, file: StateFile) -> None:
    """Until then it was running, however little there was to say."""
    reporter.tell(moment(1.0), CONNECTED)
    reporter.tell_the_end(moment(2.0), CONNECTED)
    assert written(file).written_s == 2.0


def test_who_it_is(reporter: StateReporter, file: StateFile) -> None:
    """It names this very process, its version and its config."""
    reporter.tell(moment(1.0), CONNECTED)
    process = written(file).process
    assert (process.pid, process.start_ticks) == (os.getpid(), start_ticks())
    assert (process.version, process.boot_id) == (__version__, boot_id())
    assert (process.config, process.interval_s) == ("config.yaml", 30.0)
    assert process.started == moment(0).utc.timestamp()


def test_a_disk_that_refuses_is_told_once(
    reporter: StateReporter, file: StateFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The relay goes on; when the disk takes it again, the next refusal is told anew."""

    def refuse(_: bytes) -> None:
        raise OSError(30, "Read-only file system")

    with monkeypatch.context() as faulty:
        faulty.setattr(file, "write", refuse)
        (line,) = reporter.tell(moment(0.0), CONNECTED)
        assert line.level == "WARNING"
        assert ": Read-only file system: mount it writable" in line.text
        assert reporter.tell(moment(30.0), CONNECTED) == []
        assert reporter.deadline_s == 65.0
        reporter.tell_the_end(moment(31.0), CONNECTED)
    assert as_logged(reporter.tell(moment(61.0), CONNECTED)) == [Log.info(WRITTEN)]
    assert written(file).written_s == 61.0
    monkeypatch.setattr(file, "write", refuse)
    assert len(reporter.tell(moment(91.0), CONNECTED)) == 1
