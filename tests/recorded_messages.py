"""The messages of a recording, as they came."""

import base64
import gzip
import json
from collections.abc import Iterator, Mapping
from pathlib import Path

from tests.dbus_flashmq import Message


def recorded_messages(path: Path) -> Iterator[tuple[float, Message]]:
    """Each message of a recording with its time, in seconds since the recording started."""
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        for record in map(json.loads, lines):
            if "topic" in record:
                yield (
                    record["t"],
                    Message(
                        topic=record["topic"],
                        payload=_recorded_payload(record),
                        retain=record["retain"],
                    ),
                )


def _recorded_payload(record: Mapping[str, str]) -> bytes:
    if "payload_base64" in record:
        return base64.b64decode(record["payload_base64"])
    return record["payload"].encode()
