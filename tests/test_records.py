"""Tests what may go wrong with a record that is a tuple; docs/architecture.md says which are."""

import importlib
import pkgutil
from collections import Counter
from collections.abc import Iterator
from inspect import get_annotations, isclass

import mqtt_http_bridge


def records() -> Iterator[type]:
    """Every NamedTuple of the package."""
    for each in pkgutil.walk_packages(mqtt_http_bridge.__path__, "mqtt_http_bridge."):
        for found in vars(importlib.import_module(each.name)).values():
            if isclass(found) and found.__module__ == each.name and hasattr(found, "_fields"):
                yield found


def test_records_of_two_kinds_are_never_equal() -> None:
    """Tuples with equal members are, whatever they are called: then one has to be a dataclass."""
    kinds = Counter(
        (each.__module__, *map(str, get_annotations(each).values())) for each in records()
    )
    assert [kind for kind, count in kinds.items() if count > 1] == []


def test_every_record_is_true() -> None:
    """A tuple without members is false."""
    found = list(records())
    assert len(found) > 50
    assert [each for each in found if not get_annotations(each)] == []
