"""Tests that the end of a backlog is logged once."""

from mqtt_http_bridge.core.status.backlog import Backlog
from mqtt_http_bridge.core.views import StatusView
from tests.monitoring.views import day, owing
from tests.support.virtual import PORTAL, moment


def at(second: float, owed_since: float | None = None) -> StatusView:
    """A service that is well, or owes since then."""
    status = day(moment(0), moment(second))
    return status if owed_since is None else owing(status, PORTAL, moment(owed_since))


def test_what_waited_for_long_is_told_of_once_it_is_delivered() -> None:
    """With the most that waited at a time."""
    backlog = Backlog()
    assert backlog.tell(at(1000, owed_since=100)) == []
    assert backlog.tell(at(1200, owed_since=800)) == []
    (line,) = backlog.tell(at(1300))
    assert line.text == "all that waited is delivered: 31 measurements at the most"
    assert line.is_end
    assert backlog.tell(at(1400)) == []


def test_what_is_on_its_way_is_no_backlog() -> None:
    """Each measurement waits for a moment."""
    backlog = Backlog()
    assert backlog.tell(at(1000, owed_since=970)) == []
    assert backlog.tell(at(1030)) == []


def test_what_is_parked_is_not_waited_for() -> None:
    """It is told of by itself."""
    status = at(1000, owed_since=100)
    parked = status.outbox.gx[PORTAL]._replace(waiting=0, since_s=float("inf"))
    outbox = status.outbox._replace(gx={PORTAL: parked})
    backlog = Backlog()
    assert backlog.tell(status._replace(outbox=outbox)) == []
    assert backlog.tell(at(1300)) == []
