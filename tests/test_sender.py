"""Outbox, agenda, verdict and HTTP together: what becomes of each device, and what is told."""

import json
import logging
import os
import random
import threading
import time
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from mqtt_http_bridge.adapters.backend import Backend
from mqtt_http_bridge.adapters.outbox import Outbox, inspection
from mqtt_http_bridge.app.sender import MOST_TOLD, Sender
from mqtt_http_bridge.app.stand_in_server import Answer, Arrival
from mqtt_http_bridge.core.delivery import NoReply, Reply
from mqtt_http_bridge.core.measurement import to_json
from mqtt_http_bridge.core.settings import BackendSettings, OutboxSettings, Secret
from tests.faulty_backend import FaultyBackend, Forced
from tests.measuring import CANNOT_STORE, measurement, summary, violation
from tests.sending import BOOT, Scripted, Sending

HOUR_S = 3600.0
FIRST_LINE = "the backend takes measurements"
"""Told once after the start, where no trouble was told before; left out below."""
FAILS = Forced(500, b"Internal Server Error")


def adapter_of(backend: FaultyBackend, *, timeout_s: float = 5.0) -> Backend:
    return Backend(BackendSettings(backend.url, Secret(backend.api_key), timeout_s=timeout_s))


class Registry(FaultyBackend):
    """The backend with devices that can be registered, and devices that it fails on."""

    def __init__(self, **options: Any) -> None:
        super().__init__(known_serials=(), **options)
        self.registered = {"A", "B"}
        self._known_serials = self.registered
        self.fails_on: set[str] = set()
        self.fails_at: set[str] = set()

    def answer(self, arrival: Arrival) -> Answer:
        """Fails on some devices, and on all that is of some times."""
        is_failing = bool(self.fails_on & set(serials_in(arrival)))
        is_failing |= arrival.document["timestamp"] in self.fails_at
        return FAILS if is_failing else super().answer(arrival)


def serials_in(arrival: Arrival) -> list[str]:
    return [device["serial"] for device in arrival.document["devices"]]


@pytest.fixture(autouse=True)
def _quick_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Flushing is the disk's time, not ours; power cuts are tested elsewhere."""
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


@pytest.fixture
def backend() -> Iterator[Registry]:
    with Registry() as running:
        yield running


@pytest.fixture
def sending(backend: Registry, tmp_path: Path) -> Iterator[Sending]:
    with Sending(tmp_path / "outbox", adapter_of(backend)) as running:
        yield running


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.INFO, logger="mqtt_http_bridge.app.sender")
    caplog.handler.addFilter(lambda record: record.getMessage() != FIRST_LINE)
    return caplog


def test_the_first_success_is_told_once(
    backend: Registry, sending: Sending, caplog: pytest.LogCaptureFixture
) -> None:
    """Whoever has just installed it sees that it works."""
    caplog.set_level(logging.INFO, logger="mqtt_http_bridge.app.sender")
    for n in range(3):
        sending.send(measurement("A", at_s=30.0 * n), for_s=30.0)
    assert caplog.messages == [FIRST_LINE]


def stored_once(backend: FaultyBackend) -> set[tuple[str, str]]:
    """What is stored, by time and serial; nothing of it twice."""
    counts = Counter(backend.accepted)
    assert set(counts.values()) <= {1}, counts
    return set(counts)


def times(backend: FaultyBackend, serial: str) -> int:
    """How many reports of a device are stored."""
    return sum(1 for _, stored in stored_once(backend) if stored == serial)


# --- done, owed, set aside -----------------------------------------------------------------------


def test_what_is_stored_leaves_the_outbox(backend: Registry, sending: Sending) -> None:
    """The bytes on the disk are the bytes that are sent."""
    sent = measurement("A", "B")
    sending.send(sent)
    assert [arrival.body for arrival in backend.received] == [to_json(sent)]
    assert sending.is_all_done


def test_an_unknown_device_is_parked_and_the_others_go_on(
    backend: Registry, sending: Sending, log: pytest.LogCaptureFixture
) -> None:
    """Said once, with what to do; the known device is stored, once, each time."""
    for n in range(10):
        sending.send(measurement("A", "X", at_s=30.0 * n), for_s=30.0)
    assert times(backend, "A") == 10
    assert len(sending.outbox) == 0
    assert sending.outbox.parked_serials() == ["X"]
    (line,) = log.messages
    assert line == (
        "set aside until it is mended: what X measures: Device X not found: register it at the"
        " backend"
    )


def test_what_was_parked_arrives_once_it_can(backend: Registry, sending: Sending) -> None:
    """Unchanged and in order, within the hour after the device was registered."""
    sent = [measurement("A", "X", at_s=30.0 * n) for n in range(5)]
    for one in sent:
        sending.send(one)
    backend.registered.add("X")
    before = len(backend.received)
    sending.run_for(HOUR_S)
    bodies = [arrival.body for arrival in backend.received[before:]]
    assert bodies == [to_json(one.only(["X"])) for one in sent]
    assert sending.is_all_done
    assert len(stored_once(backend)) == 10


def test_a_parked_device_is_tried_slowly(backend: Registry, sending: Sending) -> None:
    """1, 5, 15, 60 min, then hourly: a day has not thirty tries."""
    sending.send(measurement("X"))
    sending.run_for(24 * HOUR_S)
    assert len(backend.received) == 1 + 4 + 22


def test_a_wish_to_retry_is_heard_within_a_minute(
    backend: Registry, sending: Sending, tmp_path: Path
) -> None:
    """`outbox retry`, while the next try is an hour away."""
    sending.send(measurement("X"), for_s=3 * HOUR_S)
    backend.registered.add("X")
    inspection.request_retry(tmp_path / "outbox")
    sending.run_for(61.0)
    assert sending.is_all_done


def test_a_restart_tries_what_is_parked_at_once(backend: Registry, tmp_path: Path) -> None:
    """Somebody has mended the config, and restarts the service."""
    with Sending(tmp_path, adapter_of(backend)) as sending:
        sending.send(measurement("X"), for_s=3 * HOUR_S)
    backend.registered.add("X")
    with Sending(tmp_path, adapter_of(backend)) as sending:
        sending.run_for(1.0)
        assert sending.is_all_done


def test_a_passing_fault_of_one_device_is_tried_again(
    backend: Registry, sending: Sending, log: pytest.LogCaptureFixture
) -> None:
    """A minute later, with that device alone."""
    backend.cannot_store.add("B")
    sent = measurement("A", "B")
    sending.send(sent)
    assert (len(sending.outbox), sending.outbox.parked_serials()) == (1, [])
    backend.cannot_store.clear()
    sending.run_for(60.0)
    assert backend.received[-1].body == to_json(sent.only(["B"]))
    assert len(stored_once(backend)) == 2
    assert sending.is_all_done
    assert log.messages == [
        f"not delivered, kept in the outbox: B: {CANNOT_STORE}",
        "the backend takes measurements again",
    ]


def test_a_fault_of_one_device_that_does_not_pass_is_set_aside(
    backend: Registry, sending: Sending
) -> None:
    """After five tries, and kept."""
    backend.cannot_store.add("B")
    sending.send(measurement("A", "B"), for_s=3 * HOUR_S)
    assert (len(sending.outbox), sending.outbox.parked_serials()) == (0, ["B"])
    assert times(backend, "A") == 1


def test_a_device_that_cannot_be_stored_does_not_slow_down_a_backlog(
    backend: Registry, sending: Sending
) -> None:
    """Its reports are tried by themselves; the others drain on, and the live value goes at once."""
    backend.cannot_store.add("B")
    for n in range(700):
        sending.outbox.append(measurement("A", "B", at_s=30.0 * n))
    sending.run_for(150.0)
    assert times(backend, "A") == 700
    sending.send(live := measurement("A", "B", at_s=40_000.0), for_s=0.05)
    assert (live.timestamp.isoformat(timespec="microseconds"), "A") in backend.accepted


def test_422_isolates_the_device_it_names_at_once(backend: Registry, sending: Sending) -> None:
    """The rest is sent again without it, a moment later."""
    refusal = violation(["body", "devices", 1, "yield_power_w"])
    backend.answer_next(Forced(422, refusal.body))
    sent = measurement("A", "B")
    sending.send(sent, for_s=1.0)
    assert [arrival.body for arrival in backend.received] == [
        to_json(sent),
        to_json(sent.only(["A"])),
    ]
    assert (len(sending.outbox), sending.outbox.parked_serials()) == (0, ["B"])


def test_what_the_disk_will_not_park_is_still_owed(backend: Registry, sending: Sending) -> None:
    """And the backend is not asked ten times a second meanwhile."""
    sending.outbox.parks = False
    refusal = violation(["body", "devices", 1, "name"])
    backend.always(Forced(422, refusal.body))
    sending.send(measurement("A", "B"), for_s=HOUR_S)
    assert len(sending.outbox) == 1
    assert len(backend.received) < 10
    sending.outbox.parks = True
    backend.always(None)
    sending.run_for(HOUR_S)
    assert sending.is_all_done


def test_a_measurement_that_makes_the_backend_fail_is_split(
    backend: Registry, sending: Sending, log: pytest.LogCaptureFixture
) -> None:
    """After five failures over ten minutes while others pass: the good device gets through."""
    backend.fails_on.add("B")
    sending.send(measurement("A", "B"))
    for n in range(1, 26):
        sending.send(measurement("A", at_s=30.0 * n), for_s=30.0)
    assert len(sending.outbox) == 0
    assert sending.outbox.parked_serials() == ["B"]
    assert times(backend, "A") == 26
    assert ["B"] in map(serials_in, backend.received)
    assert log.messages[-1].startswith("set aside until it is mended: what B measures: ")


def test_a_device_that_every_measurement_holds_does_not_block_the_others_for_ever(
    backend: Registry, sending: Sending
) -> None:
    """Where nothing passes because of it, a trial after an hour lets the good device through."""
    backend.fails_on.add("B")
    for n in range(20):
        sending.send(measurement("A", "B", at_s=30.0 * n), for_s=30.0)
    sending.run_for(6 * HOUR_S)
    assert len(sending.outbox) == 0
    assert times(backend, "A") == 20
    assert sending.outbox.parked_serials() == ["B"]


def test_a_trial_in_an_outage_parks_nothing(backend: Registry, sending: Sending) -> None:
    """A backend that fails on every device alone is down: all is owed, and sent in the end."""
    backend.fails_on.update("AB")
    for n in range(20):
        sending.send(measurement("A", "B", at_s=30.0 * n), for_s=30.0)
    sending.run_for(6 * HOUR_S)
    assert sending.outbox.parked_serials() == []
    backend.fails_on.clear()
    sending.run_for(HOUR_S)
    assert len(sending.outbox) == 0
    assert times(backend, "A") == times(backend, "B") == 20


def test_one_parked_report_that_nobody_mends_does_not_keep_the_others(
    backend: Registry, sending: Sending
) -> None:
    """The next try is another's: what can be stored is stored, the hopeless one stays."""
    backend.registered.discard("B")
    for n in range(3):
        sending.send(measurement("A", "B", at_s=30.0 * n), for_s=30.0)
    backend.registered.add("B")
    backend.fails_at.add(backend.received[0].document["timestamp"])
    sending.run_for(6 * HOUR_S)
    assert times(backend, "B") == 2
    assert sending.outbox.parked_serials() == ["B"]


def test_a_split_that_meets_an_outage_goes_on_later(backend: Registry, sending: Sending) -> None:
    """Nothing of the parts is lost, nothing that was stored is sent again."""
    backend.fails_on.add("B")
    sending.send(measurement("A", "B"))
    for n in range(1, 25):
        sending.send(measurement("A", at_s=30.0 * n), for_s=30.0)
    backend.registered.add("C")
    backend.always(Forced(503))
    sending.run_for(300.0)
    backend.always(None)
    sending.run_for(HOUR_S)
    assert len(sending.outbox) == 0
    assert times(backend, "A") == 25


# --- what holds the whole queue ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("forced", "said"),
    [
        (Forced(401, b'{"error":"unauthorized"}'), "401: mend backend.api_key"),
        (Forced(403), "403: mend backend.api_key"),
        (Forced(302, headers={"Location": "/login"}), "302, a redirect: set backend.url"),
        (Forced(404, b'{"detail":"Not Found"}'), "404: mend backend.url"),
        (Forced(200, b"<html>Welcome</html>"), "200, but not as the Solar Backend API does"),
    ],
    ids=["401", "403", "302", "404", "captive portal"],
)
def test_a_wrong_setting_holds_everything_and_is_said_once(
    backend: Registry,
    sending: Sending,
    log: pytest.LogCaptureFixture,
    forced: Forced,
    said: str,
) -> None:
    """Four hours with a try after 1, 5, 15, 60 and 60 min; then all of it arrives."""
    backend.always(forced)
    for n in range(480):
        sending.send(measurement("A", at_s=30.0 * n), for_s=30.0)
    assert len(backend.received) == 1 + 6
    assert len(sending.outbox) == 480
    (line,) = log.messages
    assert said in line
    backend.always(None)
    sending.run_for(2 * HOUR_S)
    assert len(stored_once(backend)) == 480
    assert log.messages[1:] == ["the backend takes measurements again"]


def test_an_outage_tells_each_reason_once(tmp_path: Path, log: pytest.LogCaptureFixture) -> None:
    """A network that fails in two ways all day long makes two lines."""
    reasons = ["no answer within 30 s", "no connection: Network is unreachable"]
    network = Scripted(lambda body: NoReply(random.Random(len(network.posts)).choice(reasons)))
    with Sending(tmp_path, network) as sending:
        sending.send(measurement("A"), for_s=24 * HOUR_S)
    assert sorted(log.messages) == [
        f"not delivered, kept in the outbox: {reason}" for reason in reasons
    ]


def test_a_backend_with_ever_new_words_does_not_fill_the_log(
    tmp_path: Path, log: pytest.LogCaptureFixture
) -> None:
    """A few of them will do."""
    network = Scripted(lambda body: NoReply(f"request {len(network.posts)} failed"))
    with Sending(tmp_path, network) as sending:
        sending.send(measurement("A"), for_s=24 * HOUR_S)
    assert len(network.posts) > MOST_TOLD == len(log.messages)


def test_one_post_at_a_time_and_the_same_bytes_each_time(
    backend: Registry, sending: Sending
) -> None:
    """A lost answer may have stored it: what is sent again says the same."""
    backend.answer_next(*[Forced(503)] * 4)
    sent = measurement("A", "B")
    sending.send(sent, for_s=60.0)
    assert {arrival.body for arrival in backend.received} == {to_json(sent)}
    assert len(backend.received) == 5
    assert backend.contract_violations == []


def test_retry_after_is_obeyed(backend: Registry, sending: Sending) -> None:
    """Not a second sooner, fresh measurements or not."""
    backend.answer_next(Forced(429, headers={"Retry-After": "600"}))
    for n in range(20):
        sending.send(measurement("A", at_s=30.0 * n), for_s=30.0 if n < 19 else 29.9)
    assert len(backend.received) == 1
    sending.run_for(HOUR_S)
    assert len(stored_once(backend)) == 20


@pytest.mark.parametrize("is_sent", [True, False])
def test_an_entry_is_final_once_a_byte_of_it_may_have_left(tmp_path: Path, is_sent: bool) -> None:
    """Until then its time can still be put right."""
    with Sending(tmp_path, Scripted(lambda body: NoReply("no", is_sent=is_sent))) as sending:
        sending.send(measurement("A"), for_s=0.5)
        (number,) = sending.outbox.oldest(1)
        entry = sending.outbox.take(number)
        assert entry is not None
        assert entry.was_final == is_sent


@pytest.mark.parametrize("seed", range(5))
def test_through_any_weather_everything_arrives_once(
    backend: Registry, sending: Sending, seed: int
) -> None:
    """Faults at random for hours, none of which stores unseen: each report is stored once."""
    weather = random.Random(seed)
    partly = [{"device_identifier": "A", "status": "error", "error": CANNOT_STORE}]
    faults: list[Forced | None] = [
        FAILS,
        Forced(503),
        Forced(429, headers={"Retry-After": "5"}),
        Forced(401),
        Forced(404, b'{"detail":"Not Found"}'),
        Forced(404, json.dumps({"results": partly}).encode()),
        Forced(201, b'{"results":[]}'),
        Forced(422, violation(["body", "devices", 0, "name"]).body),
        Forced(200, b"<html>"),
        *[None] * 8,
    ]
    for n in range(100):
        backend.answer_next(weather.choice(faults))
        sending.send(measurement("A", "B", at_s=30.0 * n), for_s=30.0)
    backend._next.clear()
    sending.run_for(4 * HOUR_S)
    assert sending.is_all_done
    assert len(stored_once(backend)) == 200
    assert backend.contract_violations == []


# --- order and pace ------------------------------------------------------------------------------


def test_the_live_value_goes_before_the_backlog(tmp_path: Path) -> None:
    """In the middle of a backlog, a fresh measurement is the very next POST."""
    scripted = Scripted(lambda body: Reply(204))
    with Sending(tmp_path, scripted) as sending:
        scripted.now_s = lambda: sending.now_s
        sending.outbox.append(measurement("A"))
        old = [measurement("A", at_s=30.0 * n) for n in range(1, 40)]
        sending.send(*old, for_s=1.0)
        before = len(scripted.posts)
        sending.send(live := measurement("A", at_s=9000.0), for_s=10.0)
    assert scripted.posts[before][1] == to_json(live)
    drained = [body for _, body in scripted.posts if body != to_json(live)]
    assert drained[0] == to_json(old[-1])
    assert drained[1:] == sorted(drained[1:])
    gaps = [later - earlier for (earlier, _), (later, _) in pairwise(scripted.posts[2:])]
    assert sum(gap < 0.0999 for gap in gaps) <= 1


# --- the thread ----------------------------------------------------------------------------------


def test_stopping_does_not_wait_for_a_post_that_hangs(backend: Registry, tmp_path: Path) -> None:
    """The service has a few seconds to end; the entry stays where it is."""
    backend.always(Forced(201, delay_s=30.0))
    outbox = Outbox(OutboxSettings(str(tmp_path)), BOOT)
    sender = Sender(outbox, adapter_of(backend, timeout_s=30.0), max_rate_per_s=10.0)
    sender.start()
    outbox.append(measurement("A"))
    backend.wait_for_arrivals(1, 5.0)
    started_s = time.monotonic()
    sender.stop(0.2)
    assert time.monotonic() - started_s < 2.0
    assert len(outbox) == 1
    backend.down()
    sender._thread.join(5.0)
    assert not sender._thread.is_alive()
    assert len(outbox) == 1
    outbox.close()


def test_the_thread_delivers_what_comes_and_ends_when_told(
    backend: Registry, tmp_path: Path
) -> None:
    """In real time: append, arrival, end."""
    outbox = Outbox(OutboxSettings(str(tmp_path)), BOOT)
    sender = Sender(outbox, adapter_of(backend), max_rate_per_s=1000.0)
    sender.start()
    for n in range(20):
        outbox.append(measurement("A", at_s=30.0 * n))
    assert sender.finish()
    assert len(stored_once(backend)) == 20
    sender.stop(5.0)
    assert not sender._thread.is_alive()
    assert "sender" not in [thread.name for thread in threading.enumerate()]
    outbox.close()


def test_what_waits_from_before_is_said_and_sent(
    backend: Registry, tmp_path: Path, log: pytest.LogCaptureFixture
) -> None:
    """After a restart the backlog goes oldest first."""
    sent = [measurement("A", at_s=30.0 * n) for n in range(3)]
    with Sending(tmp_path, Scripted(lambda body: NoReply("down", is_sent=False))) as sending:
        sending.send(*sent)
    log.clear()
    with Sending(tmp_path, adapter_of(backend)) as sending:
        sending.run_for(1.0)
    assert [arrival.body for arrival in backend.received] == list(map(to_json, sent))
    assert log.messages == ["3 measurements wait from before"]


def test_finishing_without_success_says_so(tmp_path: Path) -> None:
    """What has to wait for another try is not waited for."""
    outbox = Outbox(OutboxSettings(str(tmp_path)), BOOT)
    answers = Scripted(lambda body: summary(404, A="Device A not found"))
    sender = Sender(outbox, answers, max_rate_per_s=1000.0)
    sender.start()
    outbox.append(measurement("A"))
    assert not sender.finish()
    sender.stop(5.0)
    outbox.close()
