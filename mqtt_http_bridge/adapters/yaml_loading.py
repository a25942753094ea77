"""Imports PyYAML without its one slow pattern.

As it is imported, `yaml.reader` compiles a pattern for the characters that YAML does not allow. The
pattern lists what is allowed, up to U+10FFFF, and compiling that takes Python a fifth of the whole
import. Listed as what is not allowed, the same characters take a tenth of that time.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

SLOW: Final = "[^\x09\x0a\x0d\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]"
"""The pattern in PyYAML from 5.1 on; one that is written in any other way is left alone."""
QUICK: Final = "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f\ud800-\udfff\ufffe\uffff]"


@contextmanager
def _quick_pattern() -> Iterator[None]:
    as_written = re.compile

    def compiled(pattern: Any, flags: int = 0) -> Any:
        return as_written(QUICK if pattern == SLOW else pattern, flags)

    re.compile = compiled
    try:
        yield
    finally:
        re.compile = as_written


with _quick_pattern():
    import yaml

__all__ = ["yaml"]
