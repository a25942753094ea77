"""What holds for numbered bodies wherever they are: in files, or in memory if the disk refuses."""

import random
from collections.abc import Iterable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mqtt_http_bridge.adapters.outbox.files import NumberedFiles
from mqtt_http_bridge.adapters.outbox.memory import NumberedBodies

Store = NumberedFiles | NumberedBodies


@pytest.fixture(params=["disk", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    """One of each kind; every test of this module is run with both."""
    if request.param == "memory":
        return NumberedBodies()
    files = NumberedFiles(tmp_path / "spool" / "waiting")
    files.prepare()
    return files


def write(store: Store, numbers: Iterable[int]) -> None:
    for number in numbers:
        store.write(number, b"%d" % number, is_final=False)


def test_a_body_is_read_as_it_was_written(store: Store) -> None:
    """Byte for byte, whatever the bytes are, and however many."""
    bodies = {1: b"", 2: b"{}", 3: bytes(range(256)), 4: b"x" * 1_000_000}
    for number, body in bodies.items():
        store.write(number, body, is_final=False)
    assert {number: store.read(number) for number in store} == bodies


def test_what_was_never_written_is_not_there(store: Store) -> None:
    """It reads as None, and counts as final, as nobody may change it."""
    assert store.read(1) is None
    assert store.is_final(1)
    assert list(store) == []
    assert store.oldest(10) == []


def test_the_oldest_come_in_order(store: Store) -> None:
    """By number, not by when they were written, nor as text; and no more than were asked for."""
    numbers = [10, 9, 1, 100, 2, 10**15]
    write(store, numbers)
    assert store.oldest(4) == [1, 2, 9, 10]
    assert store.oldest(100) == sorted(numbers)
    assert store.oldest(0) == []
    assert sorted(store) == sorted(numbers)


@pytest.mark.parametrize("is_final", [True, False])
def test_a_body_replaces_another(store: Store, is_final: bool) -> None:
    """Also one that was final, and with it the mark: the newer of both holds."""
    store.write(1, b"longer than the other", is_final=not is_final)
    store.write(1, b"short", is_final=is_final)
    assert store.read(1) == b"short"
    assert store.is_final(1) == is_final
    assert list(store) == [1]


def test_the_final_mark_comes_and_goes(store: Store) -> None:
    """It says nothing of the bytes, and stands for its own number alone."""
    write(store, [1, 2])
    store.set_final(1, is_final=True)
    assert (store.is_final(1), store.is_final(2)) == (True, False)
    store.set_final(1, is_final=False)
    assert not store.is_final(1)
    assert store.read(1) == b"1"


def test_removed_is_gone(store: Store) -> None:
    """Final or not; the others stay."""
    write(store, [1, 2, 3])
    store.set_final(2, is_final=True)
    store.remove(1)
    store.remove(2)
    assert store.oldest(10) == [3]
    assert store.read(2) is None


def test_what_is_not_there_may_be_removed_and_marked(store: Store) -> None:
    """Somebody else may have removed it in between: that is no error, and makes nothing."""
    store.remove(1)
    store.set_final(1, is_final=True)
    store.set_final(1, is_final=False)
    assert list(store) == []


def test_a_number_used_again_knows_nothing_of_its_past(store: Store) -> None:
    """Nor does the mark of one that was removed come back."""
    store.write(1, b"old", is_final=True)
    store.remove(1)
    store.write(1, b"new", is_final=False)
    assert (store.read(1), store.is_final(1)) == (b"new", False)


operations = st.lists(
    st.tuples(
        st.sampled_from(["write", "write final", "mark", "unmark", "remove"]), st.integers(1, 4)
    ),
    max_size=20,
)


def do(store: Store, operation: str, number: int, body: bytes) -> None:
    match operation:
        case "write" | "write final":
            store.write(number, body, is_final=operation == "write final")
        case "mark" | "unmark":
            store.set_final(number, is_final=operation == "mark")
        case "remove":
            store.remove(number)


@given(operations)
def test_disk_and_memory_agree_on_any_history(
    tmp_path_factory: pytest.TempPathFactory, history: list[tuple[str, int]]
) -> None:
    """After every step of it they hold the same under the same numbers."""
    files, memory = NumberedFiles(tmp_path_factory.mktemp("spool")), NumberedBodies()
    for step, (operation, number) in enumerate(history):
        for store in (files, memory):
            do(store, operation, number, b"%d" % step)
        assert sorted(files) == sorted(memory)
        for known in range(1, 5):
            assert files.read(known) == memory.read(known)
            assert files.is_final(known) == memory.is_final(known)


def test_any_order_of_writing_gives_the_same(store: Store) -> None:
    """Two hundred in a shuffled order are handed out in the one order."""
    numbers = list(range(1, 201))
    random.Random(5).shuffle(numbers)
    write(store, numbers)
    assert store.oldest(1000) == sorted(numbers)
