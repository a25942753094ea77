"""Implements `config test`: finds what is wrong with a config, beyond its syntax, before `run`."""

import os
from collections.abc import Iterator
from pathlib import Path

from mqtt_http_bridge.app.dialect import DIALECT
from mqtt_http_bridge.app.own_outbox import SHARED_FIX, shared_outbox
from mqtt_http_bridge.core.errors import ConfigError
from mqtt_http_bridge.core.settings import Settings


def check_config(settings: Settings) -> list[str]:
    """Returns what is odd but may be right. Raises ConfigError for what cannot be right."""
    try:
        _check_outbox(Path(settings.outbox.directory))
        check_url(settings.backend.url if settings.backend else "")
    except ConfigError as error:
        raise ConfigError(f"{settings.source}: {error}") from error
    return list(_oddities(settings))


def _check_outbox(directory: Path) -> None:
    """Checks whether the outbox can be there; creates nothing."""
    places = (directory, *directory.absolute().parents)
    try:
        there = next(place for place in places if place.exists())
    except OSError as error:
        raise ConfigError(
            f"outbox.directory: expected the name of a directory, found one that cannot be:"
            f" {error.strerror}"
        ) from None
    if not there.is_dir():
        raise ConfigError(f"outbox.directory: expected a directory, found a file at {there}")
    if not os.access(there, os.W_OK | os.X_OK):
        raise ConfigError(
            f"outbox.directory: expected to be allowed to write in {there}, found that this user is"
            " not: run this as the user of the service, or name another directory"
        )


def check_url(url: str, name: str = "backend.url") -> None:
    """Refuses the address of the API itself. Raises ConfigError, which calls it by `name`."""
    if url.rstrip("/").endswith(DIALECT.path):
        raise ConfigError(
            f"{name}: expected the address without {DIALECT.path}, found it with that:"
            f" leave that out, it is added ({url.rstrip('/').removesuffix(DIALECT.path)})"
        )


def _oddities(settings: Settings) -> Iterator[str]:
    if shared := shared_outbox(settings):
        yield f"{settings.source}: {shared}: {SHARED_FIX}"
    for portal_id in settings.mqtt.portal_ids:
        if portal_id != portal_id.lower():
            yield (
                f"{settings.source}: mqtt.portal_id: those of GX devices are in lower case, found"
                f" {portal_id!r}: is it {portal_id.lower()!r}?"
            )
