"""Tests the outbox against a model: whatever happens, both owe the same."""

import random
import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from mqtt_http_bridge.adapters.outbox import Boot
from tests.adapters.outbox import support
from tests.adapters.outbox.power import Call, Disk, Record, recording
from tests.adapters.outbox.refusing import refusing_everything
from tests.adapters.outbox.support import FORMAT, minute_of, settled
from tests.support.extent import extent, ours

pytestmark = pytest.mark.slow
PORTALS = ("gx1", "gx2")
SERIALS = ("A", "B")
SMALL = 32 * 16 * 1024


class OutboxMachine(RuleBasedStateMachine):
    """The model is what is owed, and what is parked, by GX and minute; the disk is the outbox."""

    def __init__(self) -> None:
        super().__init__()
        self.root = Path(tempfile.mkdtemp())
        self.lives = 0
        self.minute = 0
        self.owed: dict[tuple[str, int], tuple[str, ...]] = {}
        self.parked: dict[tuple[str, int], tuple[str, ...]] = {}
        self.unsafe: set[tuple[str, int]] = set()
        """Entries settled since the last flush: a power cut may bring them back."""
        self.recording = recording()
        self.record: Record = self.recording.__enter__()
        self._open()

    def teardown(self) -> None:
        self.outbox.close()
        self.recording.__exit__(None, None, None)
        shutil.rmtree(self.root)

    @property
    def directory(self) -> Path:
        return self.root / str(self.lives)

    def _open(self) -> None:
        boot = Boot(f"boot-{self.lives}", 0.0)
        self.outbox = support.outbox_in(self.directory, max_bytes=SMALL, boot=boot)

    # --- what happens --------------------------------------------------------------------------

    @rule(portal=st.sampled_from(PORTALS), size=st.sampled_from([0, 700, 5000]))
    def store(self, portal: str, size: int) -> None:
        """A measurement is made."""
        self.minute += 1
        support.store(self.outbox, self.minute, portal=portal, serials=SERIALS, size=size)
        self.owed[portal, self.minute] = SERIALS
        self.unsafe.clear()

    @rule(
        portal=st.sampled_from(PORTALS),
        is_newest=st.booleans(),
        gone=st.sampled_from(["A", "AB", "B", ""]),
    )
    def deliver(self, portal: str, is_newest: bool, gone: str) -> None:
        """The backend takes all of an entry, or a part of it, or nothing."""
        number = self._number(portal, is_newest=is_newest)
        if number is None:
            return
        entry = support.take(self.outbox, number, portal)
        key = portal, minute_of(entry.body)
        rest = tuple(s for s in self.owed[key] if s not in gone)
        assert FORMAT.serials(entry.body) == self.owed[key]
        self.outbox.settle(entry, FORMAT.only(entry.body, rest) if rest else None)
        del self.owed[key]
        self.unsafe.add(key)
        if rest:
            self.owed[key] = rest

    @rule(portal=st.sampled_from(PORTALS), is_newest=st.booleans())
    def park(self, portal: str, is_newest: bool) -> None:
        """The backend fails on all that is left of an entry."""
        number = self._number(portal, is_newest=is_newest)
        if number is not None:
            entry = support.take(self.outbox, number, portal)
            key = portal, minute_of(entry.body)
            serials = self.owed.pop(key)
            self.outbox.park(entry, entry.body, serials, "not, found: no")
            self.parked[key] = serials
            self.unsafe.add(key)

    @rule(portal=st.sampled_from(PORTALS), serial=st.sampled_from(SERIALS))
    def unpark(self, portal: str, serial: str) -> None:
        """The backend takes a device again."""
        self.outbox.unpark(portal, serial)
        for key in [k for k, s in self.parked.items() if k[0] == portal and serial in s]:
            self.owed[key] = self.parked.pop(key)
            self.unsafe.add(key)

    @rule(portal=st.sampled_from(PORTALS))
    def give_back(self, portal: str) -> None:
        """A POST was never sent."""
        number = self._number(portal, is_newest=True)
        if number is not None:
            support.give_back(self.outbox, support.take(self.outbox, number, portal))

    @rule()
    def store_while_the_disk_refuses(self) -> None:
        """Nothing is written, read or flushed for one measurement."""
        with refusing_everything():
            self.minute += 1
            support.store(self.outbox, self.minute, portal="gx1", serials=SERIALS)
            self.owed["gx1", self.minute] = SERIALS
            assert self.outbox.view().fault
        self.outbox.writer._next_look_s = 0.0
        settled(self.outbox)
        assert self.outbox.view().fault is None
        self.unsafe.clear()

    @rule()
    def restart(self) -> None:
        """The process ends as it should."""
        self.outbox.close()
        self.unsafe.clear()
        self._open()

    @rule()
    def kill(self) -> None:
        """The process dies: what it has done is done."""
        support.crash(self.outbox)
        self._open()

    @rule(seed=st.integers(0, 1000))
    def cut_the_power(self, seed: int) -> None:
        """The disk has what was flushed, and any sectors of the rest."""
        support.crash(self.outbox)
        disk = Disk()
        for event in self.record.history:
            if isinstance(event, Call) and str(self.directory) in event.path:
                disk.do(event)
        old = self.directory
        self.lives += 1
        disk.leave(old, self.directory, random.Random(seed))
        self.record.history.clear()
        self._open()
        self._copy_to_record()
        self._learn()

    def _copy_to_record(self) -> None:
        """Notes that what a new disk begins with is safe."""
        calls = []
        for path in [p for p in self.directory.rglob("*") if p.is_file()]:
            name = str(path)
            calls += [Call("create", name), Call("pwrite", name, 0, path.read_bytes())]
            calls += [Call("flush", name), Call("flush", str(path.parent))]
        self.record.history[:] = calls

    def _learn(self) -> None:
        """Sees what of all that was settled since the last flush is owed again."""
        owed, parked = self._found()
        for key in self.unsafe:
            self.owed.pop(key, None)
            self.parked.pop(key, None)
            if key in owed:
                self.owed[key] = owed[key]
            if key in parked:
                self.parked[key] = parked[key]
        self.unsafe.clear()

    # --- what holds ----------------------------------------------------------------------------

    @invariant()
    def both_owe_the_same(self) -> None:
        """Entry by entry, device by device; the newest is the newest."""
        assert self._found() == (self.owed, self.parked)

    @invariant()
    @precondition(lambda self: not self.unsafe)
    def the_disk_is_not_wasted(self) -> None:
        """It holds at most twice what is owed, and two segments and one under way."""
        settled(self.outbox)
        sizes = list(self.outbox._log.segments.files.segments().values())
        assert sum(sizes) <= 2 * self.outbox._log.index.live_bytes() + 2 * max(sizes)
        assert support.lost(self.outbox) == 0

    def _found(self) -> tuple[dict[tuple[str, int], tuple[str, ...]], ...]:
        owed, parked = (
            dict[tuple[str, int], tuple[str, ...]](),
            dict[tuple[str, int], tuple[str, ...]](),
        )
        for view in self.outbox.view().portals:
            found = support.numbers(self.outbox, view.portal_id)
            assert view.owed == len(found)
            assert (view.newest, view.oldest) == ((found[-1], found[0]) if found else (None, None))
            owed |= dict(self._texts(view.portal_id, found))
            for device in view.parked:
                number, found = 0, []
                while (
                    number := self.outbox.parked_after(view.portal_id, device.serial, number) or 0
                ):
                    found.append(number)
                assert device.entries == len(found)
                assert device.reason == "not, found: no"
                parked |= dict(self._texts(view.portal_id, found))
        return owed, parked

    def _texts(
        self, portal: str, found: list[int]
    ) -> list[tuple[tuple[str, int], tuple[str, ...]]]:
        texts = []
        for number in found:
            entry = support.take(self.outbox, number, portal)
            support.give_back(self.outbox, entry)
            texts.append(((portal, minute_of(entry.body)), FORMAT.serials(entry.body)))
        assert [key for key, _ in texts] == sorted(key for key, _ in texts)
        return texts

    def _number(self, portal: str, *, is_newest: bool) -> int | None:
        return self.outbox.newest(portal) if is_newest else self.outbox.oldest_after(portal)


OutboxMachine.TestCase.settings = settings(
    ours, max_examples=extent(25, 1000), stateful_step_count=30
)
TestOutboxMachine = OutboxMachine.TestCase
