"""Loading: no garbage is looked for meanwhile, nor among what was loaded, and then it is again."""

import gc
from collections.abc import Iterator

import pytest

from mqtt_http_bridge.app.loading import loading


@pytest.fixture(autouse=True)
def _thaw() -> Iterator[None]:
    """Leaves nothing of this process set aside."""
    yield
    gc.unfreeze()


def test_no_garbage_is_looked_for_meanwhile_and_then_not_among_what_was_loaded() -> None:
    """It would be looked for among all that was loaded, which stays."""
    with loading():
        loaded = [[number] for number in range(1000)]
        assert not gc.isenabled()
    assert gc.isenabled()
    assert gc.get_freeze_count() >= len(loaded)


def test_what_cannot_be_loaded_leaves_the_search_on() -> None:
    """Whoever lives on after the error wants it."""
    with pytest.raises(ImportError), loading():
        raise ImportError
    assert gc.isenabled()
