"""Makes flushes take no time: a fixture for tests that are not about the disk."""

import pytest

from mqtt_http_bridge.adapters import directories
from mqtt_http_bridge.adapters.outbox import files


@pytest.fixture
def quick_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Flushing is the disk's time, not ours; power cuts are tested elsewhere."""
    monkeypatch.setattr(files, "flush", lambda descriptor: None)
    for module in (files, directories):
        monkeypatch.setattr(module, "flush_directory", lambda directory: None)
