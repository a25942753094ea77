"""Tests the dispatcher by itself, on virtual time: what it reads and looks at, and how often."""

import logging
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mqtt_http_bridge.app.dispatcher import LOOK_EVERY_S, NO_SERIAL
from mqtt_http_bridge.core.delivery.answers import Answer, NotSent, Reply
from mqtt_http_bridge.core.delivery.verdict import Verdict
from mqtt_http_bridge.core.solar_backend.body import to_body
from tests.support.measuring import measurement, only, summary
from tests.support.outboxes import GX
from tests.support.sending import OneKey, Scripted, Sending, serials_in, taken

pytestmark = pytest.mark.usefixtures("quick_disk")
OTHER = "gx2"
Starter = Callable[..., Sending]


class Keys(OneKey):
    """Notes when a key is read again."""

    def __init__(self) -> None:
        super().__init__()
        self.reads: list[str] = []
        self.is_changed = False

    def name_of(self, portal_id: str) -> str:
        return f"key of {portal_id}"

    def read_again(self, name: str) -> bool:
        self.reads.append(name)
        return self.is_changed


@pytest.fixture
def keys() -> Keys:
    """One key for each GX."""
    return Keys()


@pytest.fixture
def started(tmp_path: Path, keys: Keys) -> Iterator[Starter]:
    """Starts delivery, again and again from the same outbox."""
    running = list[Sending]()

    def start(answer: Callable[[bytes], Answer] = taken, **options: object) -> Sending:
        for each in running:
            each.outbox.close()
        sending = Sending(tmp_path, Scripted(answer), keys=keys, **options)  # type: ignore[arg-type]
        running.append(sending)
        return sending

    yield start
    for each in running:
        each.outbox.close()


def refusing(serial: str) -> Callable[[bytes], Answer]:
    """A backend that knows all devices but one."""

    def answer(body: bytes) -> Answer:
        results = dict.fromkeys(serials_in(body), "ok")
        if serial in results:
            results[serial] = "Device {} not found"
        return summary(404 if set(results) == {serial} else 207, **results)

    return answer


def posts(sending: Sending) -> list[bytes]:
    backend = sending.backend
    assert isinstance(backend, Scripted)
    return [body for _, body in backend.posts]


# --- after a start -------------------------------------------------------------------------------


def test_what_is_parked_is_told_once_whatever_restarts(
    started: Starter, caplog: pytest.LogCaptureFixture
) -> None:
    """And its end is told by the process in which it ends."""
    caplog.set_level(logging.INFO)
    for n in range(2):
        sending = started(refusing("X"))
        sending.send(measurement("A", "X", at_s=60.0 * n), for_s=10.0)
    assert caplog.text.count("parked until fixed: readings of X") == 1
    started().run_for(10.0)
    assert caplog.text.count("the backend stores readings of X again") == 1
    assert started().is_all_done


def test_what_waits_from_before_is_sent_newest_first(started: Starter) -> None:
    """Nothing has to come for that."""
    made = [measurement("A", at_s=30.0 * n) for n in range(3)]
    started(lambda body: NotSent("no")).send(*made)
    sending = started()
    sending.run_for(10.0)
    assert posts(sending) == [to_body(made[n]) for n in (2, 0, 1)]


# --- one entry -----------------------------------------------------------------------------------


def test_of_an_entry_that_is_taken_in_part_the_rest_is_sent(started: Starter) -> None:
    """Alone; and each POST is told of, with what came of it."""
    told = list[tuple[Answer, Verdict]]()
    stored = list[str]()
    answers = [summary(207, A="ok", B="cannot be stored now"), summary(201, B="ok")]
    sending = started(
        lambda body: answers.pop(0),
        on_verdict=lambda answer, verdict: told.append((answer, verdict)),
        on_entry=lambda job, exchange, timestamp: stored.append(timestamp),
    )
    made = measurement("A", "B")
    sending.send(made, for_s=120.0)
    assert posts(sending) == [to_body(made), to_body(only(made, ["B"]))]
    assert len(told) == 2
    assert stored == [made.timestamp.isoformat(timespec="microseconds")] * 2
    assert sending.is_all_done


def test_an_entry_that_the_backend_fails_on_is_sent_in_parts(started: Starter) -> None:
    """Those that it does not fail on are stored."""
    sending = started(lambda body: Reply(500) if "B" in serials_in(body) else taken(body))
    sending.send(measurement("C"), portal_id=OTHER)
    made = measurement("A", "B")
    sending.send(made, for_s=300.0)
    assert to_body(made) in posts(sending)
    assert to_body(only(made, ["A"])) in posts(sending)


def test_an_entry_that_is_gone_is_passed_over(started: Starter, keys: Keys) -> None:
    """Somebody has dropped it just now; no key is to blame for that."""
    sending = started()
    sending.store(measurement("A"))
    job = sending.dispatcher.choose()
    assert job is not None
    entry = sending.outbox.take(GX, job.number)
    assert entry is not None
    sending.outbox.settle(entry, None)
    before = len(keys.reads)
    sending.dispatcher.send(job, sending.backend)
    assert posts(sending) == []
    assert len(keys.reads) == before
    sending.send(measurement("A", at_s=30.0))
    assert len(posts(sending)) == 1
    assert sending.is_all_done


def test_an_entry_that_cannot_be_read_now_is_not_tried_at_once_again(
    started: Starter, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk refuses it: nobody spins on that."""
    sending, tries = started(), list[float]()

    def refuse(portal_id: str, number: int) -> None:
        tries.append(sending.now_s)
        assert len(tries) < 10

    with monkeypatch.context() as patch:
        patch.setattr(sending.outbox, "take", refuse)
        sending.send(measurement("A"), for_s=60.0)
    assert len(tries) > 1
    sending.run_for(60.0)
    assert sending.is_all_done


def test_an_entry_that_is_no_measurement_is_set_aside(
    started: Starter, caplog: pytest.LogCaptureFixture
) -> None:
    """That is told; the others go on."""
    sending = started()
    sending.outbox.store(b'{"a":"measurement"}', portal_id=GX, is_clock_trusted=True)
    sending.send(measurement("A"))
    sending.run_for(10.0)
    assert posts(sending) == [to_body(measurement("A"))]
    assert (sending.waiting, sending.parked) == (0, [NO_SERIAL])
    assert caplog.text.count("parked until fixed: one reading of unreadable") == 1


def test_before_each_post_somebody_may_be_told(started: Starter) -> None:
    """The thread is then busy for as long as a POST may take."""
    sending = started(lambda body: summary(207, A="ok", B="cannot be stored now"))
    sending.store(measurement("A", "B"))
    job = sending.dispatcher.choose()
    assert job is not None
    begun = list[int]()
    sending.dispatcher.send(job, sending.backend, lambda: begun.append(len(posts(sending))))
    assert begun == list(range(len(posts(sending))))


def test_after_the_end_nothing_is_settled(started: Starter) -> None:
    """The outbox may be closed: an answer that comes now is too late, and no POST follows."""
    told = list[str]()

    def answer(body: bytes) -> Answer:
        sending.dispatcher.abandon()
        return summary(207, A="ok", B="cannot be stored now")

    sending = started(answer, on_entry=lambda *_: told.append("settled"))
    sending.store(measurement("A", "B"))
    for _ in range(2):
        job = sending.dispatcher.choose()
        if job is not None:
            sending.dispatcher.send(job, sending.backend)
    assert (len(posts(sending)), told) == (1, [])
    assert sending.waiting == 1


def test_before_the_end_things_are_settled(
    started: Starter, caplog: pytest.LogCaptureFixture
) -> None:
    """At once, without another word from anybody; how delivery is going is told."""
    caplog.set_level(logging.INFO)
    sending = started()
    sending.send(measurement("A"))
    assert sending.is_all_done
    assert "the backend stores measurements" in caplog.messages


# --- keys ----------------------------------------------------------------------------------------


def test_a_refused_key_is_read_again_after_each_refusal(started: Starter, keys: Keys) -> None:
    """That of this GX; an accepted one is not read at all."""
    sending = started(lambda body: Reply(401) if b'"B"' in body else taken(body))
    sending.send(measurement("A"), portal_id=GX)
    assert keys.reads == []
    sending.send(measurement("B"), portal_id=OTHER)
    assert keys.reads[0] == f"key of {OTHER}"
    assert set(keys.reads) == {f"key of {OTHER}"}


def test_a_key_that_some_device_needs_another_one_of_is_read_again(
    started: Starter, keys: Keys
) -> None:
    """One of two is refused for the key; the other may be refused for whatever else."""

    def answer(body: bytes) -> Answer:
        results = {"A": "ok", "B": "Unauthorized", "C": "Device {} not found"}
        return summary(207, **{s: results[s] for s in serials_in(body)})

    sending = started(answer)
    sending.send(measurement("A", "C"), for_s=0.1)
    assert keys.reads == []
    sending.send(measurement("A", "B", "C", at_s=30.0), for_s=0.1)
    assert keys.reads == [f"key of {GX}"]


def test_a_held_key_is_read_again_each_minute(started: Starter, keys: Keys) -> None:
    """Not at each turn: it is a file."""
    sending = started(lambda body: Reply(401))
    sending.send(measurement("A"), for_s=1.0)
    before = len(keys.reads)
    sending.run_for(10 * LOOK_EVERY_S)
    tries = len(posts(sending)) - 1
    assert 9 <= len(keys.reads) - before - tries <= 11


def test_all_that_waits_for_a_key_goes_on_when_it_has_changed(started: Starter, keys: Keys) -> None:
    """Within a minute."""
    sending = started(lambda body: Reply(401))
    sending.send(measurement("A"), for_s=3 * 3600.0)
    backend = sending.backend
    assert isinstance(backend, Scripted)
    backend.answer = taken
    keys.is_changed = True
    sending.run_for(LOOK_EVERY_S)
    assert sending.is_all_done


# --- looking and waiting -------------------------------------------------------------------------


def test_all_gx_devices_are_looked_at_once_a_minute(
    started: Starter, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a thousand of them it takes long; and at once if somebody asks for it.

    That wakes the thread that waits.
    """
    sending = started(lambda body: NotSent("no"))
    sending.send(measurement("A"))
    looks, portal_ids = list[float](), sending.outbox.portal_ids

    def noted() -> list[str]:
        looks.append(sending.now_s)
        return list(portal_ids())

    monkeypatch.setattr(sending.outbox, "portal_ids", noted)
    sending.run_for(10 * LOOK_EVERY_S)
    assert 9 <= len(looks) <= 11
    del looks[:]
    wakes = list[None]()
    monkeypatch.setattr(sending.dispatcher, "wake", lambda: wakes.append(None))
    sending.dispatcher.look_at_all()
    assert len(wakes) == 1
    sending.dispatcher.choose()
    sending.dispatcher.choose()
    assert len(looks) == 1


def test_an_entry_that_nobody_announced_is_found_within_a_minute(started: Starter) -> None:
    """One that was stored while nobody looked."""
    sending = started()
    sending.run_for(1.0)
    sending.outbox.store(to_body(measurement("A")), portal_id=GX, is_clock_trusted=True)
    assert sending.outbox.flush(20.0)
    sending.run_for(LOOK_EVERY_S + 1.0)
    assert sending.is_all_done


def test_who_chooses_wakes_who_waits_only_for_something_sooner(
    started: Starter, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not for something at the same time, and not if nobody waits."""
    sending, wakes = started(), list[None]()
    monkeypatch.setattr(sending.dispatcher, "wake", lambda: wakes.append(None))
    sending.send(measurement("A"))
    sending.outbox.until_s = sending.now_s + 100.0
    sending.dispatcher.wait()
    for n in range(4):
        sending.store(measurement(f"S{n}"), portal_id=f"gx{n}")
    assert sending.dispatcher.choose() is not None
    assert len(wakes) == 0
    sending.dispatcher._waits_until_s = sending.dispatcher._plan.next_due_s()
    assert sending.dispatcher.choose() is not None
    assert sending.dispatcher._plan.next_due_s() == sending.dispatcher._waits_until_s
    assert len(wakes) == 0
    sending.dispatcher._waits_until_s = float("inf")
    assert sending.dispatcher.choose() is not None
    assert len(wakes) == 1


@pytest.mark.parametrize(("gxs", "most", "wanted"), [(0, 8, 1), (1, 8, 1), (3, 8, 3), (3, 2, 2)])
def test_as_many_connections_are_wanted_as_there_are_gx_devices(
    started: Starter, gxs: int, most: int, wanted: int
) -> None:
    """One at least, and no more than may be."""
    sending = started()
    for n in range(gxs):
        sending.send(measurement(f"S{n}"), portal_id=f"gx{n}")
    assert sending.dispatcher.wanted_connections(most) == wanted


def test_the_plan_knows_how_many_connections_there_are(started: Starter) -> None:
    """Half of them may send what is not live."""
    sending = started()
    sending.dispatcher.use_connections(6)
    assert sending.dispatcher._plan.connections == 6


def test_it_is_not_at_rest_while_something_has_just_come(started: Starter) -> None:
    """Even if nobody has chosen yet."""
    sending = started()
    sending.run_for(1.0)
    assert sending.dispatcher.is_at_rest
    sending.store(measurement("A"))
    assert not sending.dispatcher.is_at_rest


def test_a_request_to_retry_is_heard_once(started: Starter) -> None:
    """Each one is one more try."""
    sending = started(refusing("X"))
    sending.send(measurement("X"), for_s=100.0)
    for _ in range(2):
        before = len(posts(sending))
        sending.outbox.writer.retry_requests += 1
        sending.run_for(20.0)
        assert len(posts(sending)) == before + 1
