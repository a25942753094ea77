"""Tests outbox, plan, verdict and HTTP together: what becomes of each device, what is logged."""

import json
import logging
import random
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from mqtt_http_bridge.adapters.backend import Backend
from mqtt_http_bridge.adapters.outbox import inspection
from mqtt_http_bridge.app.dialect import DIALECT
from mqtt_http_bridge.core.delivery import answers
from mqtt_http_bridge.core.delivery import verdict as verdicts
from mqtt_http_bridge.core.delivery.answers import NoReply, NotSent, Reply
from mqtt_http_bridge.core.delivery.refusal import UNREADABLE
from mqtt_http_bridge.core.log_limit import LogLimit
from mqtt_http_bridge.core.settings import BackendSettings, Secret
from mqtt_http_bridge.core.solar_backend.body import to_body
from mqtt_http_bridge.demo.server import Answer, Arrival
from tests.support.faulty_backend import FaultyBackend, Forced
from tests.support.measuring import CANNOT_STORE, measurement, only, violation
from tests.support.outboxes import GX
from tests.support.sending import OneKey, Scripted, Sending, serials_in, taken

HOUR_S = 3600.0
INTERVAL_S = 30.0
FIRST_LINE = "the backend stores measurements"
"""Told once after the start, where no trouble was told before; left out below."""
AGAIN = "the backend stores measurements again"
FAILS = Forced(500, b"Internal Server Error")


def adapter_of(backend: FaultyBackend, *, timeout_s: float = 5.0) -> Backend:
    return Backend(
        BackendSettings(backend.url, Secret(backend.api_key), timeout_s=timeout_s), DIALECT
    )


class Registry(FaultyBackend):
    """The backend with devices that can be registered, and devices that it fails on."""

    def __init__(self, **options: Any) -> None:
        super().__init__(known_serials=(), **options)
        self.registered = set("ABCDEFG")
        self._known_serials = self.registered
        self.fails_on: set[str] = set()
        self.fails_at: set[str] = set()

    def answer(self, arrival: Arrival) -> Answer:
        """Fails on some devices, and on all that is of some times."""
        is_failing = bool(self.fails_on & set(serials_in(arrival.body)))
        is_failing |= arrival.document["timestamp"] in self.fails_at
        return FAILS if is_failing else super().answer(arrival)


pytestmark = pytest.mark.usefixtures("quick_disk")


@pytest.fixture
def backend() -> Iterator[Registry]:
    with Registry() as running:
        yield running


@pytest.fixture
def sending(backend: Registry, tmp_path: Path) -> Iterator[Sending]:
    with Sending(tmp_path / "outbox", adapter_of(backend)) as running:
        yield running


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    """The log without the line that a first success brings."""
    caplog.set_level(logging.INFO, logger="mqtt_http_bridge.app.log")
    with caplog.filtering(_NoFirstLine()):
        yield caplog


class _NoFirstLine(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        return record.getMessage() != FIRST_LINE


def test_the_first_success_is_told_once(sending: Sending, caplog: pytest.LogCaptureFixture) -> None:
    """Whoever has just installed it sees that it works."""
    caplog.set_level(logging.INFO, logger="mqtt_http_bridge.app.log")
    send_each(sending, 3, "A")
    assert caplog.messages == [FIRST_LINE]


def test_a_backend_that_stores_nothing_is_not_said_to_take_anything(
    backend: Registry, sending: Sending, caplog: pytest.LogCaptureFixture
) -> None:
    """With the key of somebody else it answers, and refuses every device."""
    caplog.set_level(logging.INFO, logger="mqtt_http_bridge.app.log")
    backend.registered.clear()
    send_each(sending, 3, "A")
    (line,) = caplog.messages
    assert line.startswith("parked until fixed: readings of A: ")


def send_each(
    sending: Sending, count: int, *serials: str, first: int = 0, portal_id: str = GX
) -> None:
    """One measurement each interval."""
    for n in range(first, first + count):
        one = measurement(*serials, at_s=INTERVAL_S * n)
        sending.send(one, for_s=INTERVAL_S, portal_id=portal_id)


def stored_once(backend: FaultyBackend) -> set[tuple[str, str]]:
    """Returns what is stored, by time and serial; nothing of it twice."""
    counts = Counter(backend.accepted)
    assert set(counts.values()) <= {1}, counts
    return set(counts)


def times(backend: FaultyBackend, serial: str) -> int:
    """Counts how many reports of a device are stored."""
    return sum(1 for _, stored in stored_once(backend) if stored == serial)


def stamp(n: int) -> str:
    """The timestamp of the measurement of an interval."""
    return measurement("A", at_s=INTERVAL_S * n).timestamp.isoformat(timespec="microseconds")


def bodies(backend: FaultyBackend, first: int = 0) -> list[bytes]:
    return [arrival.body for arrival in backend.received[first:]]


# --- done, owed, parked --------------------------------------------------------------------------


def test_what_is_stored_leaves_the_outbox(backend: Registry, sending: Sending) -> None:
    """The bytes on the disk are the bytes that are sent."""
    sent = measurement("A", "B")
    sending.send(sent)
    assert bodies(backend) == [to_body(sent)]
    assert sending.is_all_done


def test_an_unknown_device_is_parked_and_the_others_go_on(
    backend: Registry, sending: Sending, log: pytest.LogCaptureFixture
) -> None:
    """Said once, with what to do; the known device is stored, once, each time."""
    send_each(sending, 10, "A", "X")
    assert times(backend, "A") == 10
    assert (sending.waiting, sending.parked) == (0, ["X"])
    assert len(backend.received) == 10
    (line,) = log.messages
    assert line == (
        "parked until fixed: readings of X: Device X not found: register it at the backend"
        " (if it is not wanted there: device.ignore and outbox drop)"
    )


def test_a_device_that_is_registered_is_stored_within_an_interval(
    backend: Registry, sending: Sending, log: pytest.LogCaptureFixture
) -> None:
    """It goes on being sent with each new measurement; its next `ok` frees what is parked."""
    send_each(sending, 10, "A", "X")
    backend.registered.add("X")
    send_each(sending, 1, "A", "X", first=10)
    assert sending.is_all_done
    assert times(backend, "X") == 11
    assert log.messages[1:] == ["the backend stores readings of X again: sending what was parked"]


def test_what_was_parked_arrives_though_it_is_measured_no_more(
    backend: Registry, sending: Sending
) -> None:
    """The newest first, then the others in order, within the hour after it was registered."""
    sent = [measurement("A", "X", at_s=INTERVAL_S * n) for n in range(5)]
    for one in sent:
        sending.send(one)
    backend.registered.add("X")
    before = len(backend.received)
    sending.run_for(HOUR_S)
    left = [to_body(only(one, ["X"])) for one in sent]
    assert bodies(backend, before) == [left[-1], *left[:-1]]
    assert sending.is_all_done
    assert len(stored_once(backend)) == 10


def test_a_parked_device_is_tried_slowly(backend: Registry, sending: Sending) -> None:
    """1, 5, 15, 60 min, then hourly: a day has not thirty tries."""
    sending.send(measurement("X"))
    sending.run_for(24 * HOUR_S)
    assert len(backend.received) == 1 + 4 + 22


def test_a_wish_to_retry_is_heard_within_ten_seconds(
    backend: Registry, sending: Sending, tmp_path: Path
) -> None:
    """`outbox retry`, while the next try is an hour away."""
    sending.send(measurement("X"), for_s=3 * HOUR_S)
    backend.registered.add("X")
    inspection.request_retry(tmp_path / "outbox")
    sending.outbox.writer._next_look_s = 0.0
    sending.outbox._incoming.wake()
    while not sending.outbox.retry_requests:
        sending.outbox.flush(1.0)
    sending.run_for(10.0)
    assert sending.is_all_done


def test_a_restart_tries_what_is_parked_at_once(backend: Registry, tmp_path: Path) -> None:
    """Somebody has fixed the config, and restarts the service."""
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
    assert (sending.waiting, sending.parked) == (1, [])
    backend.cannot_store.clear()
    sending.run_for(58.0)
    assert len(backend.received) == 1
    sending.run_for(3.0)
    assert backend.received[-1].body == to_body(only(sent, ["B"]))
    assert len(stored_once(backend)) == 2
    assert sending.is_all_done


def test_a_fault_of_one_device_that_does_not_pass_is_set_aside(
    backend: Registry, sending: Sending
) -> None:
    """After three tries, and kept."""
    backend.cannot_store.add("B")
    sending.send(measurement("A", "B"))
    send_each(sending, 20, "A", first=1)
    assert (sending.waiting, sending.parked) == (0, ["B"])
    backend.cannot_store.clear()
    send_each(sending, 120, "A", first=21)
    assert sending.is_all_done
    assert times(backend, "B") == 1


def test_a_device_that_cannot_be_stored_does_not_slow_down_a_backlog(
    backend: Registry, sending: Sending
) -> None:
    """Its reports are tried by themselves; the others drain on, and the live value goes at once."""
    backend.cannot_store.add("B")
    sending.store(*[measurement("A", "B", at_s=INTERVAL_S * n) for n in range(700)])
    sending.run_for(150.0)
    assert times(backend, "A") == 700
    sending.send(live := measurement("A", "B", at_s=40_000.0), for_s=0.05)
    assert (live.timestamp.isoformat(timespec="microseconds"), "A") in backend.accepted


def test_422_isolates_the_device_it_names_at_once(
    backend: Registry, sending: Sending, log: pytest.LogCaptureFixture
) -> None:
    """The rest is sent again without it, a moment later, and that is all there is to tell."""
    refusal = violation(["body", "devices", 1, "yield_power_w"])
    backend.answer_next(Forced(422, refusal.body))
    sent = measurement("A", "B")
    sending.send(sent, for_s=0.05)
    assert bodies(backend) == [to_body(sent), to_body(only(sent, ["A"]))]
    assert (sending.waiting, sending.parked) == (0, ["B"])
    (line,) = log.messages
    assert line.startswith("parked until fixed: one reading of B: ")


def test_a_report_of_another_form_does_not_come_back_with_each_measurement(
    backend: Registry, sending: Sending
) -> None:
    """That the device's other reports are stored says nothing of it: it is tried slowly."""
    refusal = violation(["body", "devices", 0, "yield_power_w"])
    backend.answer_next(Forced(422, refusal.body))
    send_each(sending, 20, "A")
    tries = sum(arrival.document["timestamp"] == stamp(0) for arrival in backend.received)
    assert tries == 2
    assert sending.is_all_done  # By a try: the backend takes it now.


def test_what_cannot_be_read_is_set_aside(sending: Sending, log: pytest.LogCaptureFixture) -> None:
    """Whatever it is, it is kept and logged, and does not delay the rest."""
    sending.outbox.store(b'{"no":"measurement"}', portal_id=GX, is_clock_trusted=True)
    sending.send(measurement("A"), for_s=60.0)
    assert (sending.waiting, sending.parked) == (0, ["unreadable"])
    assert UNREADABLE.remedy in log.messages[-1]


def test_an_outage_does_not_change_what_is_next_of_what_is_parked(
    backend: Registry, sending: Sending
) -> None:
    """A try without an answer is no refusal: it is due as before."""
    sent = [measurement("X", at_s=INTERVAL_S * n) for n in range(3)]
    for one in sent:
        sending.send(one)
    backend.always(Forced(503))
    sending.run_for(2 * HOUR_S)
    backend.registered.add("X")
    backend.always(None)
    before = len(backend.received)
    sending.run_for(600.0)
    assert bodies(backend, before) == [*map(to_body, [sent[-1], *sent[:-1]])]


# --- a device that the backend fails on ----------------------------------------------------------


def test_a_culprit_harms_nobody(
    backend: Registry, sending: Sending, log: pytest.LogCaptureFixture
) -> None:
    """One of three in each measurement, for 24 min: the others are stored within the interval."""
    backend.fails_on.add("B")
    for n in range(48):
        send_each(sending, 1, "A", "B", "C", first=n)
        assert times(backend, "A") == times(backend, "C") == n + 1
    assert (sending.waiting, sending.parked) == (0, ["B"])
    (parked,) = [line for line in log.messages if line.startswith("parked until")]
    assert parked == (
        "parked until fixed: readings of B: the backend answered 500: ask whoever runs the backend"
    )
    # Once it is found, a measurement is one POST again, but for the tries.
    sent = [serials_in(body) for body in bodies(backend)]
    assert sent[-20:].count(("A", "C")) >= 18
    assert sum("B" in serials for serials in sent) < 15


def test_a_culprit_is_found_within_three_intervals(backend: Registry, sending: Sending) -> None:
    """Its report alone failed twice, and the other device's was stored before, between, after."""
    backend.fails_on.add("B")
    send_each(sending, 2, "A", "B")
    assert sending.parked == []
    send_each(sending, 1, "A", "B", first=2)
    assert sending.parked == ["B"]


def test_a_culprit_that_is_mended_delivers_everything(
    backend: Registry, sending: Sending, log: pytest.LogCaptureFixture
) -> None:
    """One `ok` for its newest report frees all; within the hour, each report once."""
    backend.fails_on.add("B")
    send_each(sending, 30, "A", "B")
    backend.fails_on.clear()
    before = len(backend.received)
    send_each(sending, 120, "A", "B", first=30)
    newest = next(body for body in bodies(backend, before) if serials_in(body) == ("B",))
    assert json.loads(newest)["timestamp"] >= stamp(30)
    assert sending.is_all_done
    assert times(backend, "A") == times(backend, "B") == 150
    assert log.messages[-1] == "the backend stores readings of B again: sending what was parked"


def test_a_restart_does_not_send_a_culprit_with_the_others(
    backend: Registry, tmp_path: Path
) -> None:
    """Everything that is parked tells who it is; it is tried at once, by itself."""
    backend.fails_on.add("B")
    with Sending(tmp_path, adapter_of(backend)) as sending:
        send_each(sending, 4, "A", "B")
        assert sending.parked == ["B"]
    before = len(backend.received)
    with Sending(tmp_path, adapter_of(backend)) as sending:
        send_each(sending, 4, "A", "B", first=4)
    assert ("A", "B") not in [serials_in(body) for body in bodies(backend, before)]
    assert times(backend, "A") == 8


@pytest.mark.parametrize("culprits", ["B", "AB", "ACE", "BCDEFG"])
def test_any_number_of_culprits_is_found(
    backend: Registry, sending: Sending, culprits: str
) -> None:
    """As long as one device is stored, each that is not is found, and the others flow."""
    backend.fails_on.update(culprits)
    send_each(sending, 12, *"ABCDEFG")
    healthy = set("ABCDEFG") - set(culprits)
    assert {serial: times(backend, serial) for serial in healthy} == dict.fromkeys(healthy, 12)
    assert (sending.waiting, sending.parked) == (0, sorted(culprits))


def test_a_gx_with_nothing_but_a_culprit_is_found_by_the_others(
    backend: Registry, sending: Sending
) -> None:
    """Everything that another GX delivers shows that the backend is up."""
    backend.fails_on.add("B")
    for n in range(6):
        sending.send(measurement("A", at_s=INTERVAL_S * n), for_s=15.0, portal_id="gx1")
        sending.send(measurement("B", at_s=INTERVAL_S * n), for_s=15.0, portal_id="gx2")
    assert sending.parked == ["B"]
    assert times(backend, "A") == 6


def test_a_chance_failure_parks_nobody(backend: Registry, sending: Sending) -> None:
    """One 500 in each of a hundred measurements: all is stored within its interval."""
    for n in range(100):
        backend.answer_next(FAILS)
        send_each(sending, 1, "A", "B", first=n)
        assert (sending.waiting, sending.parked) == (0, [])
    assert len(stored_once(backend)) == 200


def test_a_device_that_failed_by_chance_is_soon_sent_with_the_others_again(
    backend: Registry, sending: Sending
) -> None:
    """It failed alone, too; its next report is sent by itself, stored, and that was it."""
    backend.answer_next(FAILS, None, FAILS)
    send_each(sending, 1, "A", "B")
    assert [serials_in(body) for body in bodies(backend)] == [("A", "B"), ("A",), ("B",)]
    before = len(backend.received)
    send_each(sending, 3, "A", "B", first=1)
    sent = [serials_in(body) for body in bodies(backend, before)]
    assert sent[:2] == [("A",), ("B",)]
    assert sent[2:].count(("A", "B")) == 2  # And once more by itself, the report that failed.
    assert sending.is_all_done
    assert len(stored_once(backend)) == 8


def test_where_nothing_passes_nobody_is_a_culprit(backend: Registry, sending: Sending) -> None:
    """A backend that fails on everything for hours is down: all is owed, and sent in the end."""
    send_each(sending, 3, "A", "B")
    backend.always(FAILS)
    send_each(sending, 200, "A", "B", first=3)
    assert (sending.waiting, sending.parked) == (200, [])
    assert len(backend.received) < 3 + 2 * 200 + 2 * 20
    backend.always(None)
    sending.run_for(600.0)
    assert sending.is_all_done
    assert times(backend, "A") == times(backend, "B") == 203


def test_one_report_that_the_backend_fails_on_is_set_aside_by_itself(
    backend: Registry, sending: Sending
) -> None:
    """The device's other reports are stored: it is the report, and not the device."""
    backend.fails_at.add(stamp(3))
    send_each(sending, 40, "A", "B")
    assert times(backend, "A") == times(backend, "B") == 39
    assert (sending.waiting, sending.parked) == (0, ["A", "B"])


def test_one_parked_report_that_nobody_mends_does_not_keep_the_others(
    backend: Registry, sending: Sending
) -> None:
    """The next try is another's: what can be stored is stored, the hopeless one stays."""
    backend.cannot_store.add("B")
    send_each(sending, 3, "A", "B")
    send_each(sending, 30, "A", first=3)
    assert sending.parked == ["B"]
    backend.cannot_store.clear()
    backend.fails_at.add(stamp(2))
    sending.run_for(6 * HOUR_S)
    assert times(backend, "B") == 2
    send_each(sending, 40, "A", first=1000)  # What others deliver shows whose fault it is.
    assert (sending.waiting, sending.parked) == (0, ["B"])


def test_a_split_that_meets_an_outage_goes_on_later(backend: Registry, sending: Sending) -> None:
    """Nothing of the parts is lost, nothing that was stored is sent again."""
    backend.fails_on.add("B")
    backend.answer_next(None, None, Forced(503))
    send_each(sending, 1, *"ABCD")
    backend.fails_on.clear()
    send_each(sending, 5, *"ABCD", first=1)
    assert sending.is_all_done
    assert len(stored_once(backend)) == 24


def test_each_post_is_told_once_with_its_verdict(backend: Registry, tmp_path: Path) -> None:
    """Those of an entry sent in parts and of what is parked, too: nobody judges again."""
    backend.fails_on.add("B")
    told: list[tuple[answers.Answer, verdicts.Verdict]] = []
    with Sending(
        tmp_path, adapter_of(backend), on_verdict=lambda answer, v: told.append((answer, v))
    ) as sending:
        send_each(sending, 10, "A", "B")
        assert sending.parked == ["B"]
    sent = [(a.status, list(serials_in(a.body))) for a in backend.received]
    assert [(a.status, list(v.fates)) for a, v in told if isinstance(a, Reply)] == sent
    assert (500, ["B"]) in sent


# --- what holds more than one entry --------------------------------------------------------------


@pytest.mark.parametrize(
    ("forced", "said", "tries"),
    [
        (Forced(401, b'{"error":"unauthorized"}'), "401: correct backend.api_key or its file", 7),
        (Forced(403), "403: correct backend.api_key or its file", 7),
        (
            Forced(302, headers={"Location": "/login"}),
            "/login: set backend.url to where it leads",
            49,
        ),
        (Forced(404, b'{"detail":"Not Found"}'), "404: correct backend.url", 49),
        (Forced(200, b"<html>Welcome</html>"), "200, but not as the Solar Backend API does", 49),
        (Forced(200, b"{}"), "200, but not as the Solar Backend API does: correct backend.url", 49),
        (Forced(204), "204, but not as the Solar Backend API does: correct backend.url", 49),
    ],
    ids=["401", "403", "302", "404", "captive portal", "an object", "204"],
)
def test_a_wrong_setting_holds_everything_and_is_said_once(
    *,
    backend: Registry,
    sending: Sending,
    log: pytest.LogCaptureFixture,
    forced: Forced,
    said: str,
    tries: int,
) -> None:
    """Tries after 1, 5, 15, then 60 min for the key, and each 5 min at most for the address."""
    backend.always(forced)
    send_each(sending, 480, "A")
    assert len(backend.received) in range(tries - 1, tries + 2)
    assert sending.waiting == 480
    (line,) = log.messages
    assert said in line
    backend.always(None)
    sending.run_for(2 * HOUR_S)
    assert len(stored_once(backend)) == 480
    (again,) = log.messages[1:]
    assert again.startswith(AGAIN)


class KeyForEach(OneKey):
    """Each GX has a key of its own."""

    def name_of(self, portal_id: str) -> str:
        return portal_id


def test_a_key_that_is_refused_is_told_of_its_gx_alone(
    tmp_path: Path, log: pytest.LogCaptureFixture
) -> None:
    """Everything that others deliver is no sign that it is taken again."""
    backend = Scripted(lambda body: Reply(401) if b'"B"' in body else taken(body))
    with Sending(tmp_path, backend, keys=KeyForEach()) as sending:
        for n in range(20):
            sending.send(measurement("A", at_s=INTERVAL_S * n), for_s=15.0, portal_id="gx1")
            sending.send(measurement("B", at_s=INTERVAL_S * n), for_s=15.0, portal_id="gx2")
        (line,) = log.messages
        assert line.endswith("401: correct backend.api_key or its file, for the GX gx2")
        backend.answer = taken
        sending.run_for(2 * HOUR_S)
        assert log.messages[1:] == [f"{AGAIN}, with the key of the GX gx2"]


@pytest.mark.parametrize(
    "trouble",
    [Forced(503), Forced(502), Forced(408), Forced(425), FAILS],
    ids=["503", "502", "408", "425", "500"],
)
@pytest.mark.parametrize("outage", [3, 300])
def test_a_backend_that_comes_back_is_served_within_one_interval(
    backend: Registry, sending: Sending, trouble: Forced, outage: int
) -> None:
    """However long it was away: the next live measurement is the probe, and the backlog follows."""
    backend.always(trouble)
    send_each(sending, outage, "A", "B")
    backend.always(None)
    before = len(backend.received)
    send_each(sending, 1, "A", "B", first=outage)
    assert len(backend.received) > before
    assert (stamp(outage), "A") in backend.accepted
    sending.run_for(90.0)
    assert sending.is_all_done
    assert len(stored_once(backend)) == 2 * (outage + 1)


@pytest.mark.parametrize("answer", [NoReply("cut off"), NotSent("no connection")])
def test_a_network_that_comes_back_is_used_within_one_interval(
    tmp_path: Path, answer: answers.Answer
) -> None:
    """After a whole night, too; what is live goes first, and the backlog starts later."""
    network = Scripted(lambda body: answer)
    with Sending(tmp_path, network) as sending:
        network.now_s = lambda: sending.now_s
        send_each(sending, 1000, "A")
        tries = len(network.posts)
        assert tries < 1000 + 100
        network.answer = taken
        sending.send(measurement("A", at_s=INTERVAL_S * 1000), for_s=60.0)
        (first_s, first), (second_s, _) = network.posts[tries : tries + 2]
        assert first == to_body(measurement("A", at_s=INTERVAL_S * 1000))
        assert first_s == INTERVAL_S * 1000
        assert second_s == pytest.approx(first_s + 30.0)  # The longest that is drawn.
        sending.run_for(150.0)
        assert sending.is_all_done


def test_between_two_measurements_the_backlog_waits_longer_and_longer(tmp_path: Path) -> None:
    """While nothing new comes: full jitter, here the longest, from 1 s to 5 min; the newest."""
    network = Scripted(lambda body: NoReply("cut off"))
    with Sending(tmp_path, network) as sending:
        network.now_s = lambda: sending.now_s
        made = [measurement("A", at_s=INTERVAL_S * n) for n in range(5)]
        sending.send(*made, for_s=2000.0)
    assert {body for _, body in network.posts} == {to_body(made[-1])}  # The present matters.
    gaps = [later - earlier for (earlier, _), (later, _) in pairwise(network.posts)]
    assert gaps == pytest.approx([1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300, 300])


def test_an_outage_tells_each_kind_once(tmp_path: Path, log: pytest.LogCaptureFixture) -> None:
    """A network that fails in two ways all day long makes two lines, whatever words it finds."""

    def answer(body: bytes) -> answers.Answer:
        words = str(len(network.posts))
        is_sent = random.Random(len(network.posts)).random() < 0.5
        return NoReply(words) if is_sent else NotSent(words)

    network = Scripted(answer)
    with Sending(tmp_path, network) as sending:
        send_each(sending, 500, "A")
    assert len(log.messages) == 2
    assert all(line.startswith("not delivered, kept in the outbox") for line in log.messages)


def test_a_flapping_backend_does_not_fill_the_log(
    tmp_path: Path, log: pytest.LogCaptureFixture
) -> None:
    """Eight hours of a backend that fails each other minute: three times both halves."""
    limit, told = LogLimit(), list[str]()
    network = Scripted(taken)
    with Sending(tmp_path, network) as sending:
        clock = sending.outbox
        network.answer = lambda body: NoReply("cut off") if clock.now_s % 120 < 60 else taken(body)
        send_each(sending, 960, "A")
    for n, record in enumerate(log.records):
        told += [line.text for line in limit.pass_on(record.__dict__["line"], float(n))]
    assert len(log.records) > 100
    assert told == ["not delivered, kept in the outbox: cut off", AGAIN] * 3


def test_one_post_at_a_time_and_the_same_bytes_each_time(
    backend: Registry, sending: Sending
) -> None:
    """A lost answer may have stored it: what is sent again says the same."""
    backend.answer_next(*[Forced(503)] * 4)
    sent = measurement("A", "B")
    sending.send(sent, for_s=60.0)
    assert set(bodies(backend)) == {to_body(sent)}
    assert len(backend.received) == 5
    assert backend.contract_violations == []


@pytest.mark.parametrize("status", [429, 500, 503])
def test_retry_after_is_obeyed(backend: Registry, sending: Sending, status: int) -> None:
    """Not a second sooner, fresh measurements or not."""
    backend.answer_next(Forced(status, headers={"Retry-After": "600"}))
    for n in range(20):
        sending.send(measurement("A", at_s=INTERVAL_S * n), for_s=INTERVAL_S if n < 19 else 29.9)
    assert len(backend.received) == 1
    sending.run_for(HOUR_S)
    assert len(stored_once(backend)) == 20


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
        send_each(sending, 1, "A", "B", first=n)
    backend._next.clear()
    sending.run_for(9 * HOUR_S)
    assert sending.is_all_done
    assert len(stored_once(backend)) == 200
    assert backend.contract_violations == []


# --- order and pace ------------------------------------------------------------------------------


def test_the_live_value_goes_before_the_backlog(tmp_path: Path) -> None:
    """In the middle of a backlog, a fresh measurement is the very next POST."""
    scripted = Scripted(taken)
    with Sending(tmp_path, scripted) as sending:
        scripted.now_s = lambda: sending.now_s
        old = [measurement("A", at_s=INTERVAL_S * n) for n in range(40)]
        sending.send(*old, for_s=1.0)
        before = len(scripted.posts)
        sending.send(live := measurement("A", at_s=9000.0), for_s=10.0)
    assert scripted.posts[before][1] == to_body(live)
    drained = [body for _, body in scripted.posts if body != to_body(live)]
    assert drained[0] == to_body(old[-1])
    assert drained[1:] == [*map(to_body, old[:-1])]
    gaps = [later - earlier for (earlier, _), (later, _) in pairwise(scripted.posts[2:])]
    assert sum(gap < 0.0999 for gap in gaps) <= 1


def test_each_gx_has_its_newest_sent_before_any_backlog(tmp_path: Path) -> None:
    """Ten GX devices with a backlog each: ten live values, then the past of all in turn."""
    scripted = Scripted(taken)
    portals = [f"gx{n}" for n in range(10)]
    with Sending(tmp_path, scripted) as sending:
        for n, portal_id in enumerate(portals):
            for at in range(20):
                one = measurement(f"S{n}", at_s=INTERVAL_S * at)
                sending.store(one, portal_id=portal_id)
        sending.run_for(60.0)
        assert sending.is_all_done
    stamps = [json.loads(body)["timestamp"] for _, body in scripted.posts]
    assert set(stamps[:10]) == {stamp(19)}
    assert stamps[10:20] == [stamp(0)] * 10


def test_a_restart_sends_the_newest_of_each_gx_first(tmp_path: Path) -> None:
    """Then the rest, oldest first; how much waits from before is not asked of the backend."""
    sent = [measurement("A", at_s=INTERVAL_S * n) for n in range(3)]
    with Sending(tmp_path, Scripted(lambda body: NotSent("down"))) as sending:
        sending.send(*sent)
    scripted = Scripted(taken)
    with Sending(tmp_path, scripted) as sending:
        sending.run_for(1.0)
    order: Callable[[int], bytes] = lambda n: to_body(sent[n])  # noqa: E731
    assert [body for _, body in scripted.posts] == [order(2), order(0), order(1)]
