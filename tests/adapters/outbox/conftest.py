"""Defines the fixtures of all tests of the outbox."""

from pathlib import Path

import pytest

from mqtt_http_bridge.adapters.outbox import files
from tests.adapters.outbox.damaging import SMALL
from tests.adapters.outbox.support import opened, store, take


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """Returns where an outbox is going to be."""
    return tmp_path / "outbox"


@pytest.fixture
def quick_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Flushing is the disk's time, not ours; power cuts are tested elsewhere."""
    monkeypatch.setattr(files, "flush", lambda descriptor: None)
    monkeypatch.setattr(files, "flush_directory", lambda directory: None)


@pytest.fixture
def sound(tmp_path: Path) -> Path:
    """A closed outbox that owes minutes 1 to 4, the third of them parked."""
    directory = tmp_path / "sound"
    with opened(directory, max_bytes=SMALL) as outbox:
        store(outbox, 1, 2, 3, 4)
        entry = take(outbox, 3)
        outbox.park(entry, entry.body, ["HQ1"], "not found")
    return directory
