"""The entries that wait, wherever they are: on the disk, or in memory while the disk refuses."""

from contextlib import suppress
from typing import Final, Protocol

from mqtt_http_bridge.adapters.outbox.disk import Disk
from mqtt_http_bridge.adapters.outbox.memory import NumberedBodies

MOST_IN_MEMORY: Final = 2880
"""A day at the usual interval, under 3 MB."""


class Renew(Protocol):
    """Makes the new number of an entry, and its bytes if they have to change with it."""

    def __call__(self, number: int, body: bytes, *, is_final: bool) -> tuple[int, bytes]:
        """A final one keeps its bytes."""


class Spool:
    """What memory holds counts before what the disk holds. For an Outbox, which has the lock.

    A method that raises OSError has done in memory what the disk refused; `catch_up` does the rest.
    """

    def __init__(self, disk: Disk) -> None:
        self._disk = disk
        self._files = disk.layout.waiting
        self._memory = NumberedBodies()
        self._outdated: dict[int, bytes] = {}
        """What is on the disk and should not be: memory has another in its place, or it is done."""

    def __len__(self) -> int:
        """How many entries there are."""
        done = sum(1 for number in self._outdated if number not in self._memory)
        return max(0, self._disk.waiting - done) + len(self._held())

    def _held(self) -> list[int]:
        """The numbers of the entries that are in memory alone."""
        return [number for number in self._memory if number not in self._outdated]

    @property
    def is_on_disk(self) -> bool:
        """Whether nothing is held in memory alone."""
        return not self._held()

    def oldest(self, most: int) -> list[int]:
        """The numbers of the oldest entries, in order, `most` at most."""
        on_disk: list[int] = []
        if self._may_send_from_disk:
            with suppress(OSError):
                on_disk = self._files.oldest(most + len(self._outdated))
        numbers = {*on_disk} - self._outdated.keys() | {*self._memory}
        return sorted(numbers)[:most]

    @property
    def _may_send_from_disk(self) -> bool:
        """A disk that lets go of nothing would have all it holds sent again: there is a limit."""
        return len(self._outdated) < MOST_IN_MEMORY

    def read(self, number: int) -> tuple[bytes, bool] | None:
        """The entry and whether it is final; None if it is not there. Raises OSError."""
        body = self._memory.read(number)
        if body is not None:
            return body, self._memory.is_final(number)
        if number in self._outdated or not self._may_send_from_disk:
            return None
        body = self._files.read(number)
        return None if body is None else (body, self._files.is_final(number))

    # --- changes -------------------------------------------------------------------------------

    def add(self, number: int, body: bytes, *, keep: int | None) -> None:
        """Puts a new entry on the disk; the oldest, but for `keep`, make room. Raises OSError."""
        self._disk.add(number, body, is_final=False, keep=keep)

    def hold(self, number: int, body: bytes, *, keep: int | None) -> bytes | None:
        """Holds a new entry in memory; returns the oldest one, but for `keep`, if it had to go."""
        self._memory.write(number, body, is_final=False)
        held = self._held()
        if len(held) <= MOST_IN_MEMORY:
            return None
        oldest = min(number for number in held if number != keep)
        lost = self._memory.read(oldest)
        self._memory.remove(oldest)
        return lost

    def mark(self, number: int, body: bytes, *, is_final: bool) -> None:
        """Marks an entry as final, or takes the mark back. Raises OSError."""
        if number in self._memory:
            self._memory.set_final(number, is_final=is_final)
            return
        try:
            self._files.set_final(number, is_final=is_final)
        except OSError:
            if is_final:
                self._outdated[number] = body
                self._memory.write(number, body, is_final=True)
            raise

    def replace(self, number: int, old: bytes, new: bytes) -> None:
        """Puts `new`, which is final, in the place of `old`. Raises OSError."""
        if number not in self._memory:
            self._outdated[number] = old
        self._memory.write(number, new, is_final=True)
        self._update(number)

    def remove(self, number: int, old: bytes) -> None:
        """Removes an entry, whose bytes are `old`. Raises OSError."""
        if number not in self._memory:
            self._outdated[number] = old
        self._memory.remove(number)
        self._update(number)

    # --- the disk comes back -------------------------------------------------------------------

    def catch_up(self, *, keep: int | None) -> bool:
        """Puts on the disk, in order, what memory holds; returns whether the disk has it all.

        Raises OSError if it takes nothing new. What it does not let go of is left for another time.
        """
        is_updated = True
        for number in list(self._outdated):
            try:
                self._update(number)
            except OSError:
                is_updated = False
                break
        for number in sorted(self._held()):
            body = self._memory.read(number) or b""
            self._disk.add(number, body, is_final=self._memory.is_final(number), keep=keep)
            self._memory.remove(number)
        return is_updated

    def _update(self, number: int) -> None:
        """Brings what the disk has of an entry up to date. Raises OSError."""
        if number not in self._outdated:
            return
        old, new = self._outdated[number], self._memory.read(number)
        if self._files.read(number) == old:
            if new is None:
                self._disk.remove(number, old)
            else:
                self._disk.replace(number, old, new)
            self._memory.remove(number)
        elif not self._disk.is_open:
            raise FileNotFoundError(2, "the spool directory is not there")
        else:
            # Somebody has removed it: what is still owed of it becomes an entry anew.
            self._disk.doubt_count()
        del self._outdated[number]

    def renumber(self, below: int, renew: Renew) -> dict[int, int]:
        """Gives entries that are in memory alone and have a number below `below` a new one.

        The directory is another than when the numbers were given. Returns the new numbers by the
        old ones. Raises OSError.
        """
        for number in list(self._outdated):
            if self._files.read(number) != self._outdated[number]:
                del self._outdated[number]
        renumbered = {}
        for number in sorted(self._held()):
            if number < below:
                body, is_final = self._memory.read(number) or b"", self._memory.is_final(number)
                self._memory.remove(number)
                new_number, new_body = renew(number, body, is_final=is_final)
                renumbered[number] = new_number
                self._memory.write(new_number, new_body, is_final=is_final)
        return renumbered
