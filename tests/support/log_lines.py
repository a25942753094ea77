"""Compares log lines by what is logged, without what else is known of each line."""

from collections.abc import Iterable
from typing import TypeVar

from mqtt_http_bridge.core.log import Log

_T = TypeVar("_T")


def as_logged(commands: Iterable[_T]) -> list[_T | Log]:
    """The same commands, with lines that have no more than a level and a text."""
    return [Log(each.level, each.text) if isinstance(each, Log) else each for each in commands]
