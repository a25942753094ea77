"""Compares the index of what is owed with the rule that it follows, said as simply as can be."""

from hypothesis import given
from hypothesis import strategies as st

from mqtt_http_bridge.adapters.outbox import records
from mqtt_http_bridge.adapters.outbox.index import (
    UNIT_BYTES,
    Index,
    bytes_in,
    number_of,
    segment_of,
    slot_of,
)
from mqtt_http_bridge.adapters.outbox.records import Entry

LINES = st.lists(
    st.tuples(
        st.sampled_from(["put", "narrow", "parked", "done"]),
        st.integers(1, 12),
        st.sampled_from(["gx0", "gx1"]),
        st.integers(0, 400),
        st.integers(0, 3),
    ),
    max_size=30,
)


def line_of(kind: str, number: int, portal_id: str, size: int) -> bytes:
    """A line of the log whose body has so many bytes."""
    entry = Entry(number, portal_id, b"x" * size, is_final=True)
    if kind == "done":
        return records.done(number, portal_id)
    if kind == "put":
        return records.put(entry)
    serials = ("A", "B") if kind == "parked" else ()
    return records.replaced(
        Entry(number, portal_id, b"x" * size, is_final=True, parked_serials=serials, reason="no")
    )


def state(index: Index) -> object:
    """All that can be asked."""
    portals = {
        key.decode(): (
            list(portal.owed),
            {serial: list(numbers) for serial, numbers in portal.parked.items()},
        )
        for key, portal in index.portals.items()
    }
    slots = [index.live_bytes(slot) for slot in range(5)]
    return portals, slots, index.live_bytes(), index.next_number, index.parked_bytes


def simple_state(lines: list[tuple[str, int, str, int, int]]) -> object:
    """The same by the rule alone: the last line of each entry counts, and no other."""
    last, names = dict[tuple[str, int], tuple[str, int, int]](), list[str]()
    for kind, number, portal_id, size, slot in lines:
        last.pop((portal_id, number), None)
        if kind != "done":
            units = -(-len(line_of(kind, number, portal_id, size)) // UNIT_BYTES)
            last[portal_id, number] = kind, units, slot
            names.append(portal_id)
    portals = {}
    for name in names:
        mine = sorted((n, kind) for (key, n), (kind, _, _) in last.items() if key == name)
        owed, parked = ([n for n, kind in mine if (kind == "parked") == x] for x in (False, True))
        portals[name] = owed, {"A": parked, "B": parked} if parked else {}
    slots = [sum(u for _, u, s in last.values() if s == slot) * UNIT_BYTES for slot in range(5)]
    parked_bytes = sum(u for kind, u, _ in last.values() if kind == "parked") * UNIT_BYTES
    next_number = max((number for _, number, _, _, _ in lines), default=0) + 1
    return portals, slots, sum(slots), next_number, parked_bytes


@given(LINES)
def test_the_last_line_of_each_entry_counts(lines: list[tuple[str, int, str, int, int]]) -> None:
    """Whatever lines there are, in whatever order."""
    index = Index()
    for kind, number, portal_id, size, slot in lines:
        line = line_of(kind, number, portal_id, size)
        assert index.apply(records.fields_of(line), slot, len(line))
    assert state(index) == simple_state(lines)


def test_sizes_are_rounded_up() -> None:
    """A line counts for as many units as it needs; once it is gone, for none."""
    index = Index()
    for number, size in enumerate((UNIT_BYTES, UNIT_BYTES + 1, 2 * UNIT_BYTES), start=1):
        index.apply(records.fields_of(line_of("put", number, "gx", 1)), 1, size)
    assert index.live_bytes(1) == index.live_bytes() == 5 * UNIT_BYTES
    for number in (1, 2, 3):
        index.apply(records.fields_of(records.done(number, "gx")), 2, 30)
    assert index.live_bytes() == 0


def test_a_measurement_that_is_cut_counts_as_long_as_it_was() -> None:
    """The hours that the room lasts are told from what the last measurement of a GX took."""
    index = Index()
    for kind, number, size in (("put", 1, 320), ("put", 2, 640), ("narrow", 2, 64), ("put", 3, 96)):
        index.apply(records.fields_of(line_of(kind, number, "gx", 1)), 1, size)
        newest = index.portals[b"gx"].newest_put
        assert bytes_in(newest) == {1: 320, 2: 640, 3: 96}[number]
    index.apply(records.fields_of(records.done(3, "gx")), 1, 30)
    assert number_of(index.portals[b"gx"].newest_put) == 3


@given(st.integers(1, 1 << 40), st.integers(0, 65_533))
def test_slots_tell_segments_apart(oldest: int, further: int) -> None:
    """Of 65,535 in a row each has a slot of its own, and none that of memory."""
    assert 0 < slot_of(oldest + further) <= 65_535
    assert segment_of(slot_of(oldest + further), oldest) == oldest + further


def test_what_is_owed_in_a_range() -> None:
    """Takes the first number in and the last one not, of any GX; what is parked is not owed."""
    index = Index()
    for kind, number, portal_id in (("put", 3, "a"), ("put", 7, "b"), ("parked", 5, "a")):
        fields = records.decode(line_of(kind, number, portal_id, 100).rstrip(b"\n"))
        assert fields is not None
        index.apply(fields, slot_of(1), 100)
    found = [number for number in range(1, 9) if index.is_owed(number, number + 1)]
    assert found == [3, 7]
    assert index.is_owed(4, 8)
    assert not index.is_owed(4, 7)
