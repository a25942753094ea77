"""Tests how PyYAML is loaded: quicker, and meaning the same."""

import re
import subprocess
import sys

import pytest

from mqtt_http_bridge.adapters.yaml_loading import QUICK, SLOW, yaml


def test_both_patterns_find_the_same_characters() -> None:
    slow, quick = re.compile(SLOW), re.compile(QUICK)
    for code in range(sys.maxunicode + 1):
        assert bool(slow.match(chr(code))) == bool(quick.match(chr(code))), hex(code)


def test_the_installed_yaml_has_the_quick_pattern() -> None:
    """A PyYAML that writes its pattern in another way would be slow again, without a word.

    In a process of its own: the tests import PyYAML before the relay does.
    """
    program = "from mqtt_http_bridge.adapters.yaml_loading import QUICK, yaml;"
    program += "print(yaml.reader.Reader.NON_PRINTABLE.pattern == QUICK)"
    assert subprocess.check_output([sys.executable, "-c", program], text=True) == "True\n"


def test_a_character_that_yaml_does_not_allow_is_still_refused() -> None:
    with pytest.raises(yaml.reader.ReaderError, match="#x0007"):
        yaml.safe_load("key: 'a\x07'")


def test_nothing_else_is_compiled_differently() -> None:
    assert ascii(re.compile(SLOW).pattern) == ascii(SLOW)
