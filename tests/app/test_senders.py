"""The threads that send, in real time: how many there are, that they go on, and that they end."""

import io
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from mqtt_http_bridge.adapters import thread_start
from mqtt_http_bridge.adapters.api_keys import ApiKeys
from mqtt_http_bridge.adapters.backend import Backend
from mqtt_http_bridge.adapters.clock import SystemClock
from mqtt_http_bridge.adapters.outbox import Outbox
from mqtt_http_bridge.app import dispatcher
from mqtt_http_bridge.app.change_log import ChangeLog
from mqtt_http_bridge.app.clock_check import ClockCheck
from mqtt_http_bridge.app.dialect import DIALECT
from mqtt_http_bridge.app.log import hide, log_to
from mqtt_http_bridge.app.senders import Senders
from mqtt_http_bridge.app.storing import Storing
from mqtt_http_bridge.core.commands import Store
from mqtt_http_bridge.core.delivery.answers import Answer, NotSent, Reply
from mqtt_http_bridge.core.events import LONGEST_WAIT_S, NEVER
from mqtt_http_bridge.core.redaction import Redaction
from mqtt_http_bridge.core.settings import BackendSettings, Secret
from mqtt_http_bridge.core.watchdog import Progress
from tests.support.faulty_backend import FaultyBackend, Forced
from tests.support.measuring import measurement, summary
from tests.support.outboxes import GX, opened, parked_serials, store, waiting
from tests.support.sending import OneKey, Scripted, serials_in, taken

pytestmark = pytest.mark.usefixtures("quick_disk")
TIMEOUT_S = 20.0


class Meeting(Scripted):
    """A backend that answers a POST once so many are under way at the same time."""

    def __init__(self, count: int) -> None:
        super().__init__(self._meet)
        self._barrier = threading.Barrier(count)
        self.together = 0

    def _meet(self, body: bytes) -> Answer:
        self._barrier.wait(TIMEOUT_S)
        self.together += 1
        return taken(body)


@pytest.fixture
def outbox(tmp_path: Path) -> Iterator[Outbox]:
    with opened(tmp_path / "outbox") as outbox:
        yield outbox


def test_what_is_stored_is_sent_at_once(outbox: Outbox) -> None:
    """Thousands of times: no news of it is missed, which would cost seconds."""
    sent = threading.Semaphore(0)

    def answer(body: bytes) -> Answer:
        sent.release()
        return taken(body)

    senders = senders_of(outbox, Scripted(answer))
    storing = Storing(outbox, DIALECT, expect=senders.expect, is_clock_trusted=True)
    senders.start()
    for n in range(1000):
        storing.store(Store(measurement("A", at_s=30.0 * n), GX))
        assert sent.acquire(timeout=LONGEST_WAIT_S / 2)
    senders.stop(TIMEOUT_S)


def senders_of(outbox: Outbox, backend: Scripted | None = None, **options: Any) -> Senders:
    backend = backend or Scripted(taken)
    options = {"max_rate_per_s": 1000.0, **options}
    return Senders(outbox, lambda: backend, DIALECT, OneKey(), **options)


def threads() -> list[str]:
    """The threads that send, by name."""
    return sorted(t.name for t in threading.enumerate() if t.name.startswith("sender"))


def wait_for(is_true: Callable[[], bool]) -> None:
    ends_s = time.monotonic() + TIMEOUT_S
    while not is_true():
        assert time.monotonic() < ends_s
        time.sleep(0.002)


def test_they_deliver_what_comes_and_end_when_told(outbox: Outbox) -> None:
    """In real time: stored, sent, ended."""
    backend = Scripted(taken)
    senders = senders_of(outbox, backend)
    senders.start()
    for n in range(20):
        store(outbox, measurement("A", at_s=30.0 * n))
    assert senders.finish()
    assert len(backend.posts) == 20
    senders.stop(TIMEOUT_S)
    assert threads() == []


def test_what_is_given_up_meanwhile_is_not_delivered(tmp_path: Path) -> None:
    """However empty the outbox is at the end."""
    is_taking = threading.Event()

    def answer(body: bytes) -> Answer:
        assert is_taking.wait(TIMEOUT_S)
        return taken(body)

    with opened(tmp_path / "small", max_bytes=1_000_000) as outbox:
        senders = senders_of(outbox, Scripted(answer))
        senders.start()
        while not outbox.view().losses:
            store(outbox, *(measurement(f"{'S' * 200}{n}") for n in range(500)))
        is_taking.set()
        assert not senders.finish()
        assert senders.given_up == sum(loss.count for loss in outbox.view().losses)
        assert waiting(outbox) == 0
        senders.stop(TIMEOUT_S)
        later = senders_of(outbox)
        later.start()
        assert later.finish(), "what was lost before is no news"
        later.stop(TIMEOUT_S)


def test_there_are_as_many_as_the_gx_devices_need(outbox: Outbox) -> None:
    """One for one GX; with five, five POSTs are under way at a time."""
    backend = Meeting(5)
    senders = senders_of(outbox, backend)
    senders.start()
    assert threads() == ["sender 1"]
    for n in range(5):
        store(outbox, measurement(f"S{n}"), portal_id=f"gx{n}")
    assert senders.finish()
    assert backend.together == 5
    assert len(threads()) == 5
    senders.stop(TIMEOUT_S)
    assert threads() == []


@pytest.mark.parametrize(("connections", "count"), [(None, 8), (3, 3), (1, 1)])
def test_there_are_never_more_than_connections(
    outbox: Outbox, connections: int | None, count: int
) -> None:
    """By default eight; no thread is started for a POST."""
    under_way, most = 0, 0
    mutex, all_are = threading.Lock(), threading.Event()

    def answer(body: bytes) -> Answer:
        nonlocal under_way, most
        with mutex:
            under_way += 1
            most = max(most, under_way)
            if under_way == count:
                all_are.set()
        assert all_are.wait(TIMEOUT_S)
        with mutex:
            under_way -= 1
        return taken(body)

    senders = senders_of(outbox, Scripted(answer), connections=connections)
    for n in range(12):
        store(outbox, measurement(f"S{n}"), portal_id=f"gx{n}")
    senders.start()
    assert senders.finish()
    assert most == count == len(threads())
    senders.stop(TIMEOUT_S)


def test_without_room_for_another_thread_those_that_are_there_go_on(
    outbox: Outbox, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It is said once, and nobody waits for the one that is not there."""
    begin, progresses = threading.Thread.start, list[Progress]()

    def refuse(thread: threading.Thread) -> None:
        if thread.name == "sender 3":
            raise RuntimeError("can't start new thread")
        begin(thread)

    monkeypatch.setattr(threading.Thread, "start", refuse)
    backend = Meeting(2)
    senders = senders_of(outbox, backend, watch=progresses.append)
    senders.start()
    for n in range(20):
        store(outbox, measurement(f"S{n}"), portal_id=f"gx{n}")
    assert senders.finish()
    assert threads() == ["sender 1", "sender 2"]
    assert len(backend.posts) == 20
    (line,) = [text for text in caplog.messages if "cannot start" in text]
    assert line.startswith("cannot start the thread sender 3: expected memory for it")
    assert line.endswith(": going on with 2 connections")
    assert [p.name for p in progresses if p.is_busy(1e12)] == ["sender 3"]
    senders.stop(TIMEOUT_S)


def test_the_end_while_another_thread_is_started(
    outbox: Outbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It waits for those that run; the new one sees that it is over."""
    begin, is_starting, is_stopped = thread_start.start, threading.Event(), threading.Event()

    def start_late(thread: threading.Thread) -> None:
        if thread.name == "sender 2":
            is_starting.set()
            assert is_stopped.wait(TIMEOUT_S)
        begin(thread)

    monkeypatch.setattr(thread_start, "start", start_late)
    for n in range(2):
        store(outbox, measurement(f"S{n}"), portal_id=f"gx{n}")
    senders = senders_of(outbox)
    senders.start()
    assert is_starting.wait(TIMEOUT_S)
    senders.stop(0.0)
    is_stopped.set()
    wait_for(lambda: threads() == [])


def test_one_gx_has_one_post_under_way(outbox: Outbox) -> None:
    """However many threads there are, and however much waits."""
    under_way: set[str] = set()

    def answer(body: bytes) -> Answer:
        (serial,) = serials_in(body)
        assert serial not in under_way
        under_way.add(serial)
        time.sleep(0.002)
        under_way.remove(serial)
        return taken(body)

    for n in range(60):
        store(outbox, measurement(f"S{n % 3}", at_s=30.0 * n), portal_id=f"gx{n % 3}")
    senders = senders_of(outbox, Scripted(answer))
    senders.start()
    assert senders.finish()
    assert waiting(outbox) == 0
    senders.stop(TIMEOUT_S)


def test_a_backlog_keeps_its_pace_with_several_connections(outbox: Outbox) -> None:
    """Each entry at its time: the thread that waits hears that it is due sooner than it thought.

    Nothing else happens meanwhile that would wake it.
    """
    for n in range(30):
        store(outbox, measurement("A", at_s=30.0 * n))
    store(outbox, measurement("B"), portal_id="another")
    backend = Scripted(taken)
    senders = senders_of(outbox, backend, max_rate_per_s=100.0)
    senders.start()
    began_s = time.monotonic()
    wait_for(lambda: len(threads()) == 2)
    wait_for(lambda: len(backend.posts) == 31)
    took_s = time.monotonic() - began_s
    assert took_s < LONGEST_WAIT_S
    senders.stop(TIMEOUT_S)


def test_stopping_does_not_wait_for_a_post_that_hangs(outbox: Outbox) -> None:
    """The service has a few seconds to end; the entry stays, and a late answer changes nothing."""
    is_over, is_begun = threading.Event(), threading.Event()

    def answer(body: bytes) -> Answer:
        is_begun.set()
        assert is_over.wait(TIMEOUT_S)
        return taken(body)

    senders = senders_of(outbox, Scripted(answer))
    senders.start()
    senders.expect(GX)
    store(outbox, measurement("A"))
    assert is_begun.wait(TIMEOUT_S)
    started_s = time.monotonic()
    senders.stop(0.2)
    assert time.monotonic() - started_s < TIMEOUT_S / 2
    is_over.set()
    wait_for(lambda: threads() == [])
    assert waiting(outbox) == 1


def test_finishing_without_success_says_so(outbox: Outbox) -> None:
    """Nothing is waited for that has to wait for another try."""
    senders = senders_of(outbox, Scripted(lambda body: summary(404, A="Device A not found")))
    store(outbox, measurement("A"))
    senders.start()
    assert not senders.finish()
    senders.stop(TIMEOUT_S)
    assert parked_serials(outbox) == ["A"]


def test_each_turn_is_told(outbox: Outbox) -> None:
    """Whoever watches the threads hears of each that goes on, and how long it may take."""
    watched = list[Progress]()
    busy_for_s: list[float] = []

    def answer(body: bytes) -> Answer:
        busy_for_s.append(watched[0].busy_until_s - time.monotonic())
        return taken(body)

    senders = senders_of(outbox, Scripted(answer), watch=watched.append, longest_post_s=77.0)
    senders.start()
    store(outbox, measurement("A"))
    assert senders.finish()
    (progress,) = watched
    before = progress.turns
    outbox.wake()
    wait_for(lambda: progress.turns > before)
    assert progress.name == "sender 1"
    assert 70.0 < busy_for_s[0] <= 77.0
    assert progress.busy_until_s == -float("inf")
    senders.stop(TIMEOUT_S)
    assert progress.busy_until_s == float("inf")


# --- the clock -----------------------------------------------------------------------------------


def checking(now: Any, trusted: threading.Event, *, kernel: bool) -> ClockCheck:
    def trust() -> bool:
        trusted.set()
        return True

    return ClockCheck(now, lambda: kernel, trust)


def test_a_thread_with_nothing_to_send_rests(
    outbox: Outbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not even the look at all GX devices wakes it; with something to retry it waits for that."""
    monkeypatch.setattr(dispatcher, "LOOK_EVERY_S", 0.02)
    monkeypatch.setattr(dispatcher, "LONGEST_WAIT_S", 0.02)
    backend, watched = Scripted(lambda body: NotSent("no")), list[Progress]()
    senders = senders_of(outbox, backend, watch=watched.append)
    senders.start()
    # The first turn finds everything new; in the second there is nothing to wait for.
    wait_for(lambda: watched[0].turns > 1 and senders._dispatcher._waits_until_s == NEVER)
    turns = watched[0].turns
    time.sleep(0.2)
    assert watched[0].turns == turns
    store(outbox, measurement("A"))
    wait_for(lambda: watched[0].turns > turns + 5)
    senders.stop(TIMEOUT_S)


def test_nothing_is_sent_before_the_clock_is_trusted(outbox: Outbox) -> None:
    """The kernel does not say so, and the backend cannot be asked."""
    backend = Scripted(taken)
    asked = threading.Event()

    def ask_time() -> Answer:
        asked.set()
        return NotSent("no connection")

    backend.ask_time = ask_time  # type: ignore[method-assign]
    trusted = threading.Event()
    told: list[Answer] = []
    senders = senders_of(outbox, backend, on_verdict=lambda answer, verdict: told.append(answer))
    store(outbox, measurement("A"))
    senders.start(checking(SystemClock().now, trusted, kernel=False))
    assert asked.wait(TIMEOUT_S)
    wait_for(lambda: bool(told))
    senders.stop(TIMEOUT_S)
    assert backend.posts == []
    assert not trusted.is_set()
    assert told[0] == NotSent("no connection")


@pytest.mark.parametrize(
    ("is_waiting", "told"),
    [
        (False, ["cannot reach the backend: no connection"]),
        (True, ["not delivered, kept in the outbox: no connection"]),
    ],
    ids=["nothing was measured", "one waits"],
)
def test_a_backend_that_cannot_be_asked(
    outbox: Outbox, caplog: pytest.LogCaptureFixture, is_waiting: bool, told: list[str]
) -> None:
    """It is logged once; nothing is kept that was never measured."""
    backend = Scripted(taken)
    backend.ask_time = lambda: NotSent("no connection")  # type: ignore[method-assign]
    if is_waiting:
        store(outbox, measurement("A"))
        outbox.flush(TIMEOUT_S)
    dispatcher = senders_of(outbox, backend)._dispatcher
    for _ in range(3):
        dispatcher.note_unheard(backend.ask_time())
    assert [r.getMessage() for r in caplog.records if r.levelname == "WARNING"] == told


def test_a_synchronised_machine_waits_for_nothing(outbox: Outbox) -> None:
    """The backend is not even asked for its time."""
    backend = Scripted(taken)
    backend.ask_time = pytest.fail  # type: ignore[method-assign]
    trusted = threading.Event()
    senders = senders_of(outbox, backend)
    store(outbox, measurement("A"))
    senders.start(checking(SystemClock().now, trusted, kernel=True))
    assert senders.finish()
    assert trusted.is_set()
    senders.stop(TIMEOUT_S)


# --- keys ----------------------------------------------------------------------------------------


def test_a_key_that_is_rotated_needs_no_restart(outbox: Outbox, tmp_path: Path) -> None:
    """The file is read again after a 401, and what waited is sent at once."""
    file = tmp_path / "key"
    file.write_text("the old one\n")
    with FaultyBackend(api_key="the new one") as faulty:
        faulty.answer_next(Forced(401))
        settings = BackendSettings(
            faulty.url, Secret("the old one"), api_key_file=str(file), timeout_s=5.0
        )
        senders = Senders(
            outbox,
            lambda: Backend(settings, DIALECT),
            DIALECT,
            ApiKeys(settings),
            max_rate_per_s=1000.0,
        )
        file.write_text("the new one\n")
        store(outbox, measurement("A"))
        senders.start()
        wait_for(lambda: bool(faulty.stored))
        senders.stop(TIMEOUT_S)
    keys = [arrival.headers["X-API-Key"] for arrival in faulty.received]
    assert keys == ["the old one", "the new one"]


def test_what_waits_for_a_key_is_sent_as_soon_as_it_is_read(
    outbox: Outbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not only after the wait that follows."""
    monkeypatch.setattr(dispatcher, "LONGEST_WAIT_S", 5.0)
    file = tmp_path / "key"
    file.write_text("the old one")
    keys = ApiKeys(BackendSettings("http://a", Secret("the old one"), api_key_file=str(file)))
    refusing = Scripted(lambda body: Reply(401))
    store(outbox, measurement("A"))
    chooser = Senders(outbox, lambda: refusing, DIALECT, keys, max_rate_per_s=10.0)._dispatcher
    job = chooser.choose()
    assert job is not None
    chooser.send(job, refusing)
    wait_for(
        lambda: chooser.choose() is None and chooser._plan.next_due_s() > time.monotonic() + 5.0
    )
    file.write_text("the new one")
    chooser._keys_due_s = -NEVER
    chooser._seen = outbox._changes
    began_s = time.monotonic()
    chooser.wait()
    assert time.monotonic() - began_s < 4.0
    assert chooser.choose() == job


def test_a_rotated_key_that_is_repeated_is_not_told(outbox: Outbox, tmp_path: Path) -> None:
    """Neither in the log nor among the changes: a key so short that answers are kept with it."""
    file, said = tmp_path / "key", io.StringIO()
    file.write_text("old")
    redaction = Redaction([Secret("old")])
    changes = ChangeLog(SystemClock().now, Redaction([Secret("old")]))
    with FaultyBackend(api_key="n3w") as faulty:
        faulty.answer_next(Forced(401), Forced(302, headers={"Location": "http://a/n3w"}))
        settings = BackendSettings(faulty.url, Secret("old"), api_key_file=str(file))
        keys = ApiKeys(settings, hide)
        senders = Senders(
            outbox, lambda: Backend(settings, DIALECT), DIALECT, keys, max_rate_per_s=1000.0
        )
        file.write_text("n3w")
        store(outbox, measurement("A"))
        with log_to(said, "DEBUG", redaction), changes.listening("1"):
            senders.start()
            wait_for(lambda: "a redirect to" in str(changes.view()))
            senders.stop(TIMEOUT_S)
    assert "a redirect to http://a/***" in said.getvalue()
    for told in (said.getvalue(), str(changes.view())):
        assert "n3w" not in told


def test_a_key_of_another_account_that_is_rotated(outbox: Outbox, tmp_path: Path) -> None:
    """`Unauthorized` for a device is a reason to read the file again, too."""
    file = tmp_path / "key"
    file.write_text("the old one")
    with FaultyBackend(api_key="the new one") as faulty:
        settings = BackendSettings(faulty.url, Secret("the old one"), api_key_file=str(file))
        keys = ApiKeys(settings)
        senders = Senders(
            outbox, lambda: Backend(settings, DIALECT), DIALECT, keys, max_rate_per_s=1000.0
        )
        store(outbox, measurement("A"))
        senders.start()
        wait_for(lambda: parked_serials(outbox) == ["A"])
        file.write_text("the new one")
        senders.expect(GX)
        store(outbox, measurement("A", at_s=30.0))
        wait_for(lambda: keys.key("any") == Secret("the new one"))
        senders.expect(GX)
        store(outbox, measurement("A", at_s=60.0))
        wait_for(lambda: len(faulty.stored) == 3)
        senders.stop(TIMEOUT_S)


def test_each_gx_is_sent_with_its_owners_key(outbox: Outbox, tmp_path: Path) -> None:
    """`backend.api_keys`, and the key of the config for all others."""
    file = tmp_path / "key"
    file.write_text("of the neighbour")
    sent: dict[str, Secret | None] = {}

    class Noting(Scripted):
        def post(self, body: bytes, api_key: Secret | None = None) -> Answer:
            sent[serials_in(body)[0]] = api_key
            return super().post(body, api_key)

    settings = BackendSettings("http://a", Secret("mine"), api_key_files={"gx2": str(file)})
    backend = Noting(taken)
    senders = Senders(outbox, lambda: backend, DIALECT, ApiKeys(settings), max_rate_per_s=10.0)
    for n in (1, 2, 3):
        store(outbox, measurement(f"S{n}"), portal_id=f"gx{n}")
    senders.start()
    assert senders.finish()
    senders.stop(TIMEOUT_S)
    assert sent == {"S1": Secret("mine"), "S2": Secret("of the neighbour"), "S3": Secret("mine")}


def test_a_backend_is_asked_for_its_time_once_it_agrees(outbox: Outbox) -> None:
    """Then everything is sent."""
    clock = SystemClock()
    backend = Scripted(taken)
    backend.ask_time = lambda: Reply(405, date=clock.now().utc)  # type: ignore[method-assign]
    trusted = threading.Event()
    senders = senders_of(outbox, backend)
    store(outbox, measurement("A"))
    senders.start(checking(clock.now, trusted, kernel=False))
    wait_for(lambda: waiting(outbox) == 0)
    assert trusted.is_set()
    senders.stop(TIMEOUT_S)
