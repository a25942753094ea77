"""Reads the messages of a recording without our own reader: use it to play one as a GX."""

import base64
import gzip
import json
from collections.abc import Iterator, Mapping
from pathlib import Path

from mqtt_http_bridge.core.venus import topics
from mqtt_http_bridge.core.venus.paths import PATHS
from tests.support.dbus_flashmq import Message
from tests.support.places import RECORDINGS


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


def charger_sayings() -> set[tuple[str, bytes]]:
    """Topic and payload of what chargers said in the recordings of the paths in the table."""
    return {
        (said.topic, said.payload)
        for recording in RECORDINGS.glob("*.jsonl.gz")
        for _, said in recorded_messages(recording)
        if topics.is_interesting(said.topic) and said.topic.split("/", 4)[2] in PATHS
    }
