"""Tests what the relay's observer keeps for others to read, and when it looks."""

import threading
import time
from dataclasses import dataclass, field
from typing import Self

import pytest

from mqtt_http_bridge.app import asker
from mqtt_http_bridge.app.asker import Asker
from mqtt_http_bridge.app.inbox import Call, Inbox, Stop
from mqtt_http_bridge.app.relay_observer import RelayObserver
from mqtt_http_bridge.core.broker_failure import BrokerFailure, Cause
from mqtt_http_bridge.core.commands import Store
from mqtt_http_bridge.core.events import NEVER, Connected, Disconnected, Moment, Tick
from mqtt_http_bridge.core.log import Log
from mqtt_http_bridge.core.measurement import Measurement
from mqtt_http_bridge.core.status.history import RECENT_SLOTS, SLOTS, History
from mqtt_http_bridge.core.status.well import LOOK_EVERY_S
from mqtt_http_bridge.core.views import RelayView, SiteView
from tests.monitoring.views import REPORT
from tests.support.patience import PATIENCE_S
from tests.support.virtual import PORTAL, moment

MEASURED = Store(Measurement(moment(0).utc, PORTAL, ()), PORTAL)


@dataclass
class Views:
    """A relay that is only looked at."""

    looks: list[Moment] = field(default_factory=list)
    sites: tuple[SiteView, ...] = ()

    def view(self, now: Moment) -> RelayView:
        """Notes the look."""
        self.looks.append(now)
        return RelayView(now, sites=self.sites, malformed_messages=len(self.looks))


@dataclass
class Teller:
    """A teller that has its time, and its say."""

    due_s: float = NEVER
    deadline_s: float = NEVER
    seen: list[RelayView] = field(default_factory=list)

    def tell(self, now: Moment, relay: RelayView) -> list[Log]:
        """Says how often it was asked."""
        self.seen.append(relay)
        self.due_s = self.deadline_s = NEVER
        return [Log.info(f"{len(self.seen)}")]


def test_nobody_looks_for_nothing() -> None:
    """A look costs something for each GX: it is made for who tells, and for nobody else."""
    views, told = Views(), Teller(due_s=10.0)
    observer = RelayObserver(views.view, moment(0), teller=told)
    assert observer.see(Tick(moment(9.9)), [MEASURED]) == []
    assert views.looks == []
    assert observer.see(Tick(moment(10.0)), [MEASURED]) == [Log.info("1")]
    assert [view.measurements for view in told.seen] == [2]


def test_a_look_is_old_after_a_second_and_at_each_change() -> None:
    """The answer to somebody is a second old at most, and never behind what has just happened."""
    observer = RelayObserver(Views().view, moment(0))
    observer.look(moment(0))
    assert not observer.is_old(moment(0.9))
    assert observer.is_old(moment(LOOK_EVERY_S))
    for event, commands in (
        (Tick(moment(0.1)), [MEASURED]),
        (Connected(moment(0.1)), []),
        (Disconnected(moment(0.1), BrokerFailure(Cause.LOST)), []),
    ):
        observer.see(event, commands)
        assert observer.is_old(moment(0.1))
        observer.look(moment(0.1))
        assert not observer.is_old(moment(0.2))


def test_with_many_gx_devices_a_look_is_old_later() -> None:
    """With a thousand there are 33 measurements a second, and a look takes long."""
    sites = tuple(SiteView(f"gx{n}", "", 0.0, ()) for n in range(1000))
    observer = RelayObserver(Views(sites=sites).view, moment(0))
    observer.look(moment(0))
    observer.see(Tick(moment(19.0)), [MEASURED])
    assert not observer.is_old(moment(19.9))
    assert observer.is_old(moment(20.0))


class Loop:
    """A thread that owns a relay, and does what it is called for."""

    def __init__(self) -> None:
        self.inbox = Inbox()
        self.views = Views()
        self.history = History(60)
        self.observer = RelayObserver(self.views.view, moment(0), history=self.history)
        self.now = moment(0)
        self.asker = Asker(self.observer, self.inbox, lambda: self.now)
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        while isinstance(item := self.inbox.get(20.0), Call):
            item.do()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.inbox.put(Stop())
        self._thread.join(20.0)


def test_who_asks_is_answered_by_the_owner_of_the_relay(monkeypatch: pytest.MonkeyPatch) -> None:
    """At once, with a look of that moment; who asks again at once is told the same."""
    monkeypatch.setattr(asker, "PATIENCE_S", PATIENCE_S)
    began_s = time.monotonic()
    with Loop() as loop:
        loop.now = moment(5.0)
        assert loop.asker.relay().moment == moment(5.0)
        loop.now = moment(5.5)
        assert loop.asker.relay().moment == moment(5.0)
        loop.now = moment(6.1)
        assert loop.asker.relay().moment == moment(6.1)
        assert loop.views.looks == [moment(5.0), moment(6.1)]
    assert time.monotonic() < began_s + PATIENCE_S


def test_a_history_is_asked_for_the_same_way() -> None:
    """The whole, or what is new; nothing where nothing was measured."""
    with Loop() as loop:
        assert dict(loop.asker.history(is_recent=False).chargers) == {}
        loop.history.add(Measurement(moment(0).utc, PORTAL, (REPORT,)))
        whole = loop.asker.history(is_recent=False).chargers[REPORT.serial]
        recent = loop.asker.history(is_recent=True).chargers[REPORT.serial]
        assert (len(whole.power_w), len(recent.power_w)) == (SLOTS, RECENT_SLOTS)


def test_an_owner_that_stands_still_holds_nobody_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """They are told what was known before, with the moment of which it is."""
    monkeypatch.setattr(asker, "PATIENCE_S", 0.01)
    loop = Loop()
    loop.now = moment(60.0)
    assert loop.asker.relay().moment == moment(0)
    assert dict(loop.asker.history(is_recent=True).chargers) == {}


def test_nobody_is_woken_before_the_deadline() -> None:
    """Whoever only wants to look at the next event does not wake anybody."""
    teller = Teller(due_s=1.0, deadline_s=20.0)
    observer = RelayObserver(Views().view, moment(0), teller=teller)
    assert observer.next_deadline_s() == 20.0
    teller.deadline_s = 30.0
    assert observer.next_deadline_s() == 30.0
    assert RelayObserver(Views().view, moment(0)).next_deadline_s() == NEVER
