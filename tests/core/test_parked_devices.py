"""Tests what is parked of a device, and which of it is retried."""

from mqtt_http_bridge.core.delivery.parked_devices import ParkedDevices
from mqtt_http_bridge.core.delivery.refusal import (
    FAILS_ALONE,
    NEVER_STORED,
    UNKNOWN,
    Cause,
    Refusal,
)
from tests.support.many_gx import Shelf

PORTAL = "gx"
REFUSAL = Refusal(NEVER_STORED, "500")
NOT_FOUND = Refusal(Cause("not found", "register it"), "no such device")
POISON = Refusal(FAILS_ALONE, "500")


def parked(reports: int) -> tuple[ParkedDevices, Shelf]:
    """A device of which so many reports are parked, numbered from 1."""
    shelf, devices = Shelf(), ParkedDevices()
    for _ in range(reports):
        number = shelf.add(PORTAL, ("A",))
        shelf.parked[PORTAL][number] = shelf.owed[PORTAL].pop(number)
        devices.note_refused("A", REFUSAL, number, 0.0)
    return devices, shelf


def test_every_other_try_is_the_next_of_the_older_ones() -> None:
    """The newest may be at fault itself; each of the others has its turn, and again."""
    devices, shelf = parked(4)
    tried = []
    for _ in range(10):
        tried.append(devices.next_to_try("A", shelf, PORTAL))
        devices.note_try_failed("A", REFUSAL, 0.0)
    assert tried == [4, 1, 4, 2, 4, 3, 4, 1, 4, 2]


def test_a_newest_that_is_gone() -> None:
    """The oldest stands in for it; nothing is tried where nothing is left."""
    devices, shelf = parked(3)
    del shelf.parked[PORTAL][3]
    assert devices.next_to_try("A", shelf, PORTAL) == 1
    shelf.parked[PORTAL].clear()
    assert devices.next_to_try("A", shelf, PORTAL) is None


def test_after_nothing_was_left_the_oldest_has_its_turn_first() -> None:
    """Begins with the oldest of what is parked then, all of it new."""
    devices, shelf = parked(3)
    reports = dict(shelf.parked[PORTAL])
    shelf.parked[PORTAL].clear()
    assert devices.next_to_try("A", shelf, PORTAL) is None
    shelf.parked[PORTAL].update(reports)
    devices.note_try_failed("A", REFUSAL, 0.0)
    assert devices.next_to_try("A", shelf, PORTAL) == 1


def test_tries_come_more_and_more_slowly() -> None:
    """Tries after 1, 5, 15 and 60 min, and then each hour."""
    devices = ParkedDevices()
    devices.note_refused("A", REFUSAL, 1, 100.0)
    due = [devices["A"].due_s]
    for _ in range(4):
        devices.note_try_failed("A", None, 100.0)
        due.append(devices["A"].due_s)
    assert due == [160.0, 400.0, 1000.0, 3700.0, 3700.0]


def test_what_is_refused_when_it_is_measured_is_not_tried_beside() -> None:
    """Puts the try off by a minute with each new refusal, and never brings it nearer."""
    devices = ParkedDevices()
    devices.note_refused("A", NOT_FOUND, 1, 100.0)
    devices.note_refused("A", NOT_FOUND, 2, 130.0)
    assert (devices["A"].due_s, devices["A"].newest) == (190.0, 2)
    devices.note_try_failed("A", NOT_FOUND, 200.0)
    devices.note_refused("A", NOT_FOUND, 3, 201.0)
    assert devices["A"].due_s == 500.0


def test_what_is_not_sent_any_more_is_tried_in_its_time() -> None:
    """Puts nothing off when one more report of it is parked."""
    devices = ParkedDevices()
    devices.note_refused("A", POISON, 1, 100.0)
    devices.note_refused("A", POISON, 2, 130.0)
    assert devices["A"].due_s == 160.0


def test_what_waits_from_before_the_start_is_due_at_once() -> None:
    """Counts its failures from the start on."""
    devices = ParkedDevices()
    devices.restore("A", NOT_FOUND, 3, 100.0)
    assert devices["A"].due_s == 100.0
    devices.note_try_failed("A", None, 100.0)
    assert devices["A"].due_s == 160.0


def test_the_reason_is_the_last_one_that_was_told() -> None:
    """Keeps it after a try that the backend failed on, which told none."""
    devices = ParkedDevices()
    assert "A" not in devices
    assert devices.refusal_of("A") == Refusal(UNKNOWN, "")
    devices.note_refused("A", NOT_FOUND, 1, 0.0)
    assert "A" in devices
    devices.note_refused("A", POISON, 2, 0.0)
    assert devices.refusal_of("A") == POISON
    devices.note_try_failed("A", None, 0.0)
    assert devices.refusal_of("A") == POISON
    devices.note_try_failed("A", NOT_FOUND, 0.0)
    assert devices.refusal_of("A") == NOT_FOUND


def test_what_an_ok_frees() -> None:
    """Frees all but a report that is at fault by itself: that takes a try."""
    devices = ParkedDevices()
    for serial, refusal in (("A", NOT_FOUND), ("B", POISON), ("C", REFUSAL)):
        devices.note_refused(serial, refusal, 1, 0.0)
    assert devices.poison() == {"B": POISON}
    freed = [devices.is_freed_by(serial, is_try=False) for serial in "ABCD"]
    assert freed == [True, True, False, False]
    freed = [devices.is_freed_by(serial, is_try=True) for serial in "ABCD"]
    assert freed == [True, True, True, False]
    devices.forget("A")
    devices.forget("D")
    assert list(devices) == ["B", "C"]


def test_a_wish_to_retry_begins_anew() -> None:
    """Has all of them due, and wait as after their first failure."""
    devices = ParkedDevices()
    devices.note_refused("A", NOT_FOUND, 1, 0.0)
    devices.note_try_failed("A", NOT_FOUND, 0.0)
    devices["A"].scheduled_s = devices["A"].due_s
    devices.have_due(100.0)
    after = devices["A"]
    assert after.due_s == 100.0
    assert after.scheduled_s is None
    devices.note_try_failed("A", NOT_FOUND, 100.0)
    assert devices["A"].due_s == 160.0
