"""The outbox of the service: on the disk, and in memory while the disk refuses.

*Is*: at-least-once delivery of measurements, across crashes and power cuts.
*Is not*: exactly-once, which the backend cannot give; a general queue.
"""

import logging
import queue
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Final

from mqtt_http_bridge.adapters.outbox.clock_steps import Boot, ClockSteps
from mqtt_http_bridge.adapters.outbox.disk import Disk
from mqtt_http_bridge.adapters.outbox.entry import Entry
from mqtt_http_bridge.adapters.outbox.parked import Parking
from mqtt_http_bridge.adapters.outbox.spool import MOST_IN_MEMORY, Spool
from mqtt_http_bridge.adapters.outbox.told import Told
from mqtt_http_bridge.core.agenda import MOST_IN_MIND
from mqtt_http_bridge.core.errors import MalformedMeasurement, OutboxBusy
from mqtt_http_bridge.core.measurement import Measurement, from_json, to_json
from mqtt_http_bridge.core.settings import OutboxSettings

log = logging.getLogger(__name__)

_WAKE: Final = -1


class Outbox:
    """One thread appends, one other sends; one lock serves both. No method raises for the disk."""

    def __init__(self, settings: OutboxSettings, boot: Boot) -> None:
        """Takes the directory over. Raises OutboxBusy if another process has it."""
        self.directory = Path(settings.directory)
        self._mutex = threading.RLock()
        self._news: queue.SimpleQueue[int] = queue.SimpleQueue()
        self._disk = Disk(self.directory, settings.max_bytes)
        self._spool = Spool(self._disk)
        self._parking = Parking(self._disk)
        self._told = Told(self.directory)
        self._steps = ClockSteps(boot)
        self._was_open = False
        self._next_number = 1
        self._in_flight: int | None = None
        self._renumbered: dict[int, int] = {}
        """The new number of the entry in flight, if it has got one."""
        self._unreadable: dict[int, int] = {}
        """Entries that the disk would not read, and how often it had healed before."""
        self._heals = 0
        self._latest: tuple[bytes, Measurement] | None = None
        """What was appended last: most entries are taken at once, and need not be parsed then."""
        with self._telling():
            self._open()

    def close(self) -> None:
        """Puts what it can on the disk and gives the directory up."""
        with self._mutex:
            with self._telling():
                self._spool.catch_up(keep=self._in_flight)
            self._save_notes()
            if not self._spool.is_on_disk:
                log.error(
                    "measurements are lost that were only in memory, as the disk refuses them"
                )
            self._disk.close()

    # --- for the thread that measures ----------------------------------------------------------

    def append(self, measurement: Measurement) -> None:
        """Puts `measurement` on the disk, or in memory if the disk refuses; tells the sender."""
        body, number, is_well = to_json(measurement), 0, False
        with self._mutex:
            try:
                self._open()
                is_well = self._spool.catch_up(keep=self._in_flight)
                number = self._take_number()
                self._spool.add(number, body, keep=self._in_flight)
            except (OSError, OutboxBusy) as error:
                self._tell_fault(error)
                number = number or self._take_number()
                self._hold(number, body)
            else:
                self._heal(is_well=is_well)
            self._save_losses()
            self._told.losses(self._disk.losses)
            self._latest = body, measurement
        self._news.put(number)

    def note_clock_step(self, step_s: float) -> None:
        """The wall clock was set by `step_s`; what was appended before and never sent is off."""
        with self._mutex:
            self._steps.note(step_s, self._next_number)
            self._save_notes()

    def wake(self) -> None:
        """Ends a `wait` of the sender."""
        self._news.put(_WAKE)

    # --- for the thread that sends -------------------------------------------------------------

    def wait(self, timeout_s: float | None) -> list[int]:
        """The numbers of new entries; empty after `timeout_s` (None: no limit), or when woken."""
        numbers = []
        try:
            numbers.append(self._news.get(timeout=timeout_s))
            while True:
                numbers.append(self._news.get_nowait())
        except queue.Empty:
            return [number for number in numbers if number != _WAKE]

    def oldest(self, most: int) -> list[int]:
        """The numbers of the oldest entries, in order, `most` at most."""
        with self._mutex:
            return self._spool.oldest(most)

    def __len__(self) -> int:
        """How many measurements wait; any thread may ask."""
        with self._mutex:
            return len(self._spool)

    def take(self, number: int) -> Entry | None:
        """The entry `number`, final from now on; None if it is not there, or no measurement.

        An entry that was never sent is put right by how far the clock was set in the meantime.
        """
        with self._mutex:
            self._renumbered = {}
            try:
                found = self._spool.read(number)
                if found is None:
                    self._disk.doubt_count()  # A person, or the need for room, has removed it.
                    return None
                body, was_final = found
                entry = Entry(number, body, self._measurement_in(body), was_final)
            except MalformedMeasurement:
                with self._telling():
                    self._disk.set_aside(number)
                return None
            except OSError as error:
                self._note_unreadable(number, error)
                return None
            self._in_flight = number
            return entry if was_final else self._made_final(entry)

    def _measurement_in(self, body: bytes) -> Measurement:
        if self._latest is not None and self._latest[0] == body:
            return self._latest[1]
        return from_json(body)

    def give_back(self, entry: Entry) -> None:
        """The entry was not sent after all: no byte of it has left."""
        with self._mutex:
            self._in_flight = None
            if not entry.was_final:
                with self._telling():
                    self._spool.mark(self._number_of(entry), entry.body, is_final=False)

    def settle(self, entry: Entry, remaining: Measurement | None) -> None:
        """Leaves of the entry what `remaining` holds, or nothing."""
        with self._mutex, self._telling():
            self._in_flight = None
            number = self._number_of(entry)
            if remaining is None:
                self._spool.remove(number, entry.body)
            elif remaining != entry.measurement:
                self._spool.replace(number, entry.body, to_json(remaining))

    # --- parked --------------------------------------------------------------------------------

    def park(self, entry: Entry, serial: str, reason: str) -> bool:
        """Sets aside what the entry has of one device; false if the disk refuses."""
        body = to_json(entry.measurement.only([serial]))
        with self._mutex, self._telling():
            self._disk.park(serial, self._number_of(entry), body, reason)
            return True
        return False

    def parked_serials(self) -> list[str]:
        """The devices of which something is parked."""
        with self._mutex, suppress(OSError):
            return self._disk.layout.parked_serials()
        return []

    def take_parked(self, serial: str) -> Entry | None:
        """What to try next of what is parked of a device, or None if nothing is."""
        with self._mutex, self._telling():
            return self._parking.next(serial)
        return None

    def keep_parked(self, entry: Entry, serial: str) -> None:
        """The backend has refused again what was parked: the next try is another's."""
        with self._mutex:
            self._parking.refuse(serial, entry)

    def unpark(self, entry: Entry, serial: str) -> None:
        """The backend has taken what was parked."""
        with self._mutex, self._telling():
            self._parking.remove(serial, entry)

    def is_retry_wanted(self) -> bool:
        """Whether somebody wants what is parked to be tried now; true once for each wish."""
        with suppress(OSError):
            self._disk.layout.retry.unlink()
            return True
        return False

    # --- the disk, and what it refuses ---------------------------------------------------------

    def _open(self) -> None:
        """Makes sure that the directory is ours. OSError or OutboxBusy if it cannot be."""
        if self._disk.is_open:
            return
        highest = self._disk.open()
        try:
            self._begin(highest)
        except OSError:
            self._disk.close()
            raise

    def _begin(self, highest: int) -> None:
        """Goes on from what is in the directory. Raises OSError."""
        old_steps = self._steps
        if not self._was_open:
            self._resume_clock(highest + 1)
        self._next_number = max(self._next_number, highest + 1, self._steps.least_number)
        below = highest + 1 if self._was_open else self._next_number
        self._was_open = True
        self._renumber(below, old_steps)
        self._save_notes()

    def _resume_clock(self, next_number: int) -> None:
        try:
            self._steps = self._steps.resumed(self._disk.layout.clock, next_number)
        except ValueError:
            self._disk.set_file_aside(self._disk.layout.clock)
            self._resume_clock(next_number)

    def _renumber(self, below: int, steps: ClockSteps) -> None:
        """Gives new numbers to what was appended before it was known which ones are taken.

        Steps of the clock are known by number, so what they are good for is put right by now.
        """

        def renew(number: int, body: bytes, *, is_final: bool) -> tuple[int, bytes]:
            shift = steps.shift_of(number)
            right = body if is_final or not shift else to_json(from_json(body).shifted(shift))
            return self._take_number(), right

        renumbered = self._spool.renumber(below, renew)
        for old, new in renumbered.items():
            if old == self._in_flight:
                self._renumbered, self._in_flight = {old: new}, new
            else:
                self._news.put(new)

    def _number_of(self, entry: Entry) -> int:
        return self._renumbered.get(entry.number, entry.number)

    def _heal(self, *, is_well: bool) -> None:
        """The disk has taken an entry: the sender may have missed older ones while it was away."""
        if is_well and self._told.is_faulty:
            self._told.healed()
            self._heals += 1
            self._disk.doubt_count()
            for number in self._spool.oldest(MOST_IN_MIND + 1):
                self._news.put(number)

    def _hold(self, number: int, body: bytes) -> None:
        """Holds an entry in memory; the oldest goes when there are too many."""
        lost = self._spool.hold(number, body, keep=self._in_flight)
        if lost is not None:
            self._disk.losses.add(from_json(lost).timestamp.isoformat(), "the disk refuses")

    def _made_final(self, entry: Entry) -> Entry:
        """The entry as it will be sent: with the time it would bear, had the clock been right."""
        shift = self._steps.shift_of(entry.number)
        if not shift:
            with self._telling():
                self._spool.mark(entry.number, entry.body, is_final=True)
            return entry
        measurement = entry.measurement.shifted(shift)
        shifted = replace(entry, body=to_json(measurement), measurement=measurement, was_final=True)
        with self._telling():
            self._spool.replace(entry.number, entry.body, shifted.body)
        return shifted

    def _note_unreadable(self, number: int, error: OSError) -> None:
        """An entry that cannot be read though the disk is well otherwise is damaged."""
        self._tell_fault(error)
        if self._heals > self._unreadable.setdefault(number, self._heals):
            del self._unreadable[number]
            with self._telling():
                self._disk.set_aside(number)

    def _take_number(self) -> int:
        number = self._next_number
        self._next_number += 1
        return number

    def _save_notes(self) -> None:
        """Keeps the notes beside the entries; entries come first, so a failure can wait."""
        self._save_losses()
        if self._disk.is_open:
            with suppress(OSError):
                self._steps.save(self._disk.layout.clock)

    def _save_losses(self) -> None:
        if not self._disk.losses.is_saved and self._disk.is_open:
            with suppress(OSError):
                self._disk.losses.save()

    @contextmanager
    def _telling(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            self._tell_fault(error)

    def _tell_fault(self, error: OSError | OutboxBusy) -> None:
        self._told.fault(error, MOST_IN_MEMORY)
