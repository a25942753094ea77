"""Tests what other threads see of the backend while the senders are at work."""

from datetime import UTC, datetime

from mqtt_http_bridge.app.backend_observer import MOST_SERIALS, BackendObserver
from mqtt_http_bridge.core.delivery.answers import NoReply, Reply
from mqtt_http_bridge.core.delivery.exchange import Exchange
from mqtt_http_bridge.core.delivery.plan import Job, Kind
from mqtt_http_bridge.core.delivery.refusal import FAILS_ALONE, Cause, Refusal
from mqtt_http_bridge.core.delivery.verdict import DeviceFate, Fate, Outcome, Verdict, all_owed
from mqtt_http_bridge.core.events import Moment
from mqtt_http_bridge.core.relay.portals import MOST_PORTALS
from mqtt_http_bridge.core.views import DeviceResult, DeviceVerdict, GxDelivery, Unstored

START = Moment(1000.0, datetime(2026, 6, 1, 4, 0, tzinfo=UTC))
GX = "c0619ab35133"
UNREGISTERED = Refusal(Cause("not registered", "register it"), "Device B not found")
WRONG_KEY = Cause("wrong key", "correct the key")


class Watched:
    """An observer, and a clock that goes on by a second with each entry."""

    def __init__(self) -> None:
        self.now = START
        self.observer = BackendObserver(lambda: self.now)

    def send(
        self,
        number: int,
        *verdicts: Verdict,
        kind: Kind = Kind.LIVE,
        gx: str = GX,
        refused: dict[str, Refusal] | None = None,
    ) -> GxDelivery:
        """Has an entry sent in one POST or several; gives what is known of the GX then."""
        self.now = self.now.at(self.now.monotonic_s + 1.0)
        serials = {s: None for verdict in verdicts for s in verdict.fates} | (refused or {})
        exchange = Exchange(list(serials), refused=refused)
        for verdict in verdicts:
            exchange.take_in(tuple(verdict.fates), verdict)
        self.observer.note_entry(Job(kind, gx, number), exchange, f"time {number}")
        return self.observer.latest.gx[gx]


def judged(**fates: DeviceFate) -> Verdict:
    """An answer that names each device."""
    owed = [s for s, fate in fates.items() if fate is Fate.OWED]
    return Verdict(Outcome.JUDGED, fates, "; ".join(f"{s}: later" for s in owed))


def test_nothing_is_known_before_the_first_post() -> None:
    """Neither good nor bad is told of a backend that nobody has asked."""
    latest = BackendObserver(lambda: START).latest
    assert (latest.moment, latest.is_taking, dict(latest.results)) == (None, False, {})
    assert dict(latest.gx) == {}


def test_what_came_of_each_post_is_counted() -> None:
    """By how much of it was stored; one of which nothing was stored is not taken."""
    observer = BackendObserver(lambda: START)
    observer.note(Reply(201), judged(A=Fate.STORED))
    assert (observer.latest.is_taking, observer.latest.status) == (True, 201)
    observer.note(NoReply("gone"), Verdict(Outcome.UNAVAILABLE, {"A": Fate.OWED}, "gone"))
    latest = observer.latest
    assert (latest.is_taking, latest.status, latest.reason) == (False, None, "gone")
    observer.note(Reply(404), judged(B=UNREGISTERED))
    assert not observer.latest.is_taking
    assert dict(observer.latest.results) == {"stored": 1, "failed": 1, "partly": 1}


def test_what_came_of_the_newest() -> None:
    """It is stored once each of its devices is, at that moment."""
    watched = Watched()
    found = watched.send(7, judged(A=Fate.STORED, B=Fate.OWED))
    assert (found.newest, found.tried, found.is_answered) == (7, watched.now, True)
    assert dict(found.unstored) == {"B": Unstored("B: later")}
    assert (found.stored, found.stored_timestamp) == (None, "")
    found = watched.send(7, judged(B=Fate.STORED), kind=Kind.BACKLOG)
    assert (found.stored, found.stored_timestamp) == (watched.now, "time 7")
    assert dict(found.unstored) == {}


def test_the_past_says_nothing_of_the_present() -> None:
    """All that comes of the backlog changes neither the newest nor the last verdict on a device."""
    watched = Watched()
    before = watched.send(7, judged(A=Fate.STORED))
    found = watched.send(3, judged(A=UNREGISTERED), kind=Kind.BACKLOG)
    assert (found.newest, found.stored, dict(found.unstored)) == (7, before.stored, {})
    assert found.devices == before.devices
    assert dict(found.reports) == {DeviceResult.STORED: 1, DeviceResult.REFUSED: 1}


def test_what_was_stored_of_the_past_counts_for_the_device() -> None:
    """The tile of a charger tells when something of it was stored, whatever it was."""
    watched = Watched()
    watched.send(7, all_owed(Outcome.UNAVAILABLE, ["A"], "gone"))
    found = watched.send(3, judged(A=Fate.STORED), kind=Kind.BACKLOG)
    assert found.devices["A"].result is DeviceResult.FAILED
    assert found.devices["A"].stored == watched.now
    assert found.stored is None


def test_a_wrong_key() -> None:
    """The remedy is told apart from the reason; nothing was judged."""
    reason, remedy = "the backend answered 401", WRONG_KEY.remedy
    verdict = all_owed(Outcome.KEY_REFUSED, ["A"], reason, cause=WRONG_KEY, remedy=remedy)
    found = Watched().send(7, verdict)
    assert dict(found.unstored) == {"A": Unstored(reason, "correct the key")}
    assert not found.is_answered
    assert dict(found.reports) == {DeviceResult.FAILED: 1}


def test_a_backend_that_is_down() -> None:
    """The verdict's own remedy is kept, for the GX as for the backend."""
    watched = Watched()
    verdict = all_owed(Outcome.UNREACHABLE, ["A"], "TLS: not trusted", remedy="set backend.ca_file")
    found = watched.send(7, verdict)
    assert dict(found.unstored) == {"A": Unstored("TLS: not trusted", "set backend.ca_file")}
    watched.observer.note(NoReply("TLS: not trusted"), verdict)
    latest = watched.observer.latest
    assert (latest.reason, latest.remedy) == ("TLS: not trusted", "set backend.ca_file")


def test_a_device_that_is_refused() -> None:
    """It keeps the newest from being stored, also where it was not even sent."""
    watched = Watched()
    found = watched.send(7, judged(A=Fate.STORED, B=UNREGISTERED))
    why = Unstored("Device B not found", "register it", is_refused=True)
    assert (dict(found.unstored), found.is_answered) == ({"B": why}, True)
    poison = Refusal(FAILS_ALONE, "the backend answered 500")
    found = watched.send(8, judged(A=Fate.STORED), refused={"C": poison})
    assert list(found.unstored) == ["C"]
    assert dict(found.reports) == {DeviceResult.STORED: 2, DeviceResult.REFUSED: 1}
    found = watched.send(9, refused={"C": poison})
    assert (found.newest, list(found.unstored), found.is_answered) == (9, ["C"], True)
    assert found.devices["C"].result is DeviceResult.REFUSED


def test_what_was_not_sent_is_no_news() -> None:
    """The end of the process came first, or a device is only sent later."""
    watched = Watched()
    before = watched.send(7, judged(A=Fate.STORED))
    watched.observer.note_entry(Job(Kind.LIVE, GX, 8), Exchange(["A"]), "time 8")
    assert watched.observer.latest.gx[GX] == before


def test_a_try_of_the_newest_that_is_stored() -> None:
    """One device is free again, the other still parked."""
    watched = Watched()
    watched.send(7, judged(A=UNREGISTERED, B=UNREGISTERED))
    found = watched.send(7, judged(A=Fate.STORED), kind=Kind.TRY)
    assert list(found.unstored) == ["B"]
    found = watched.send(7, judged(B=Fate.STORED), kind=Kind.TRY)
    assert (dict(found.unstored), found.stored) == ({}, watched.now)


def test_the_last_verdict_on_each_device() -> None:
    """As the last of several POSTs has it."""
    watched = Watched()
    found = watched.send(
        7,
        all_owed(Outcome.FAILED, ["A", "B"], "the backend answered 500"),
        judged(A=Fate.STORED),
        all_owed(Outcome.FAILED, ["B"], "the backend answered 500"),
    )
    now = watched.now
    reason = "the backend answered 500"
    assert dict(found.devices) == {
        "A": DeviceVerdict(DeviceResult.STORED, now, stored=now, number=7),
        "B": DeviceVerdict(DeviceResult.OWED, now, reason, number=7),
    }


def test_only_what_was_sent_last_is_held() -> None:
    """A GX with ever new serials fills no memory, and neither do ever new GX devices.

    But all that one process relays are held, and as many that have left measurements behind.
    """
    watched = Watched()
    for number in range(1, MOST_SERIALS + 11):
        found = watched.send(number, judged(**{f"S{number}": Fate.STORED}))
    assert set(found.devices) == {f"S{n}" for n in range(11, MOST_SERIALS + 11)}
    exchange, many = Exchange(["A"]), 2 * MOST_PORTALS
    exchange.take_in(("A",), judged(A=Fate.STORED))
    for number in range(many + 10):
        watched.observer.note_entry(Job(Kind.LIVE, f"gx{number}", 1), exchange, "time")
    assert list(watched.observer.latest.gx) == [f"gx{n}" for n in range(10, many + 10)]
