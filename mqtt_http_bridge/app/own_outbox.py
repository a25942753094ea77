"""Keeps the outboxes of several configs in one folder apart.

Two relays with one outbox cannot run at the same time, and one after the other they would send what
is left of the other one's measurements with their own key.
"""

from pathlib import Path
from typing import Final

from mqtt_http_bridge.adapters.config import DEFAULT_OUTBOX, others_with_outbox
from mqtt_http_bridge.core.errors import ConfigError
from mqtt_http_bridge.core.settings import Settings

SHARED_FIX: Final = "set another outbox.directory in one of them"


def own_outbox(config: Path, outbox: str | None) -> str | None:
    """Returns the outbox directory for a config that is about to be written; None: the default.

    Without a wish it is one that no other config in this folder has. Raises ConfigError if the one
    that is wished for is taken.
    """
    others = others_with_outbox(config, outbox or DEFAULT_OUTBOX)
    if not others:
        return outbox
    if outbox is None:
        return own_outbox(config, f"{config.stem}.outbox")
    raise ConfigError(
        f"{config}: expected an outbox directory of its own, found that {outbox} is that of"
        f" {others[0]}: choose another one with --outbox"
    )


def taken_words(config: Path) -> str:
    """Says why a new config does not get the default outbox directory."""
    return f"{others_with_outbox(config, DEFAULT_OUTBOX)[0]} has the outbox {DEFAULT_OUTBOX}"


def shared_outbox(settings: Settings) -> str:
    """Says that another config beside this one names the same outbox; empty if none does."""
    directory = settings.outbox.directory
    others = others_with_outbox(Path(settings.source), directory) if settings.source else []
    if not others:
        return ""
    return f"{directory} is the outbox of {others[0]}, too: each would send what the other has left"
