"""How modules are loaded while somebody waits for it."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def loading() -> Iterator[None]:
    """Within this no garbage is looked for, and later not among what has been loaded: it stays.

    To look would take a tenth of a start, each time. For one thread, and not one within another.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
