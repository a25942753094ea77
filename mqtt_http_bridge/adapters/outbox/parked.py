"""What a setting keeps from being stored, by device; never in memory, as it may be for long."""

from mqtt_http_bridge.adapters.outbox.disk import Disk
from mqtt_http_bridge.adapters.outbox.entry import Entry
from mqtt_http_bridge.core.errors import MalformedMeasurement
from mqtt_http_bridge.core.measurement import from_json


class Parking:
    """For an Outbox, which has the lock. Every method may raise OSError."""

    def __init__(self, disk: Disk) -> None:
        self._disk = disk
        self._done: set[tuple[str, int]] = set()
        """What the backend has taken and the disk does not let go of."""
        self._refused: set[tuple[str, int]] = set()

    def next(self, serial: str) -> Entry | None:
        """What to try of a device: the oldest not refused since all were tried, or None."""
        passed = {number for of, number in self._refused if of == serial}
        entry = self._oldest(serial, passed)
        if entry is None and passed:
            self._refused -= {(serial, number) for number in passed}
            entry = self._oldest(serial, set())
        return entry

    def refuse(self, serial: str, entry: Entry) -> None:
        """It was refused again: one that nobody will mend must not keep the others from a try."""
        self._refused.add((serial, entry.number))

    def _oldest(self, serial: str, passed: set[int]) -> Entry | None:
        """The oldest but for `passed`; damaged ones are set aside."""
        files = self._disk.layout.parked_of(serial)
        passed = passed | {number for of, number in self._done if of == serial}
        while numbers := [n for n in files.oldest(1 + len(passed)) if n not in passed]:
            number, body = numbers[0], files.read(numbers[0])
            passed.add(number)
            try:
                if body is not None:
                    return Entry(number, body, from_json(body), was_final=True)
            except MalformedMeasurement:
                self._disk.set_aside(number, serial)
        return None

    def remove(self, serial: str, entry: Entry) -> None:
        """It is done: it will not be handed out again, whether or not the disk lets go of it."""
        self._done.add((serial, entry.number))
        self._refused.discard((serial, entry.number))
        self._disk.unpark(serial, entry.number, entry.body)
        self._done.discard((serial, entry.number))
