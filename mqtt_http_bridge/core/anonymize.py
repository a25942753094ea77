"""Removes serials, names and portal ids from recordings, but keeps them consistent.

The same original always gets the same replacement, so a swapped unit still looks swapped. The
replacements are numbered, not computed: a serial can be guessed from its hash.
"""

import json
from typing import Final

from mqtt_http_bridge.core.venus import topics
from mqtt_http_bridge.core.venus.paths import CUSTOM_NAME, SERIAL
from mqtt_http_bridge.core.venus.payloads import INVALID, Value, parse

_PRIVATE_LEAVES: Final = {
    CUSTOM_NAME.name: "Name {}",
    "N2kUniqueNumber": "Number {}",
    "Name": "Name {}",
    SERIAL.name: "SERIAL{:04d}",
    "SerialNumber": "SERIAL{:04d}",
    "ServiceName": "Service {}",
}
"""The last part of the paths that show who or where somebody is, at any depth.

The unique number of a VE.Can device is the first half of its serial, and part of its service name.
"""
_PORTAL: Final = "{:012x}"


class Anonymizer:
    """Replaces what could reveal whose devices these are; one object for each recording."""

    def __init__(self) -> None:
        self._replacements: dict[tuple[str, str], str] = {}

    def topic(self, topic: str) -> str:
        """The topic with another portal id."""
        kind, slash, rest = topic.partition("/")
        portal_id, slash_after, path = rest.partition("/")
        return kind + slash + self._replace(_PORTAL, portal_id) + slash_after + path

    def payload(self, topic: str, payload: bytes) -> bytes:
        """The payload of the original `topic`, with a different text if it is private."""
        form = self._form(topic)
        if form is None or not payload:
            return payload
        said = parse(payload)
        if not isinstance(said, Value):
            return payload if said == INVALID else b"{}"
        text = said.value if isinstance(said.value, str) else ""
        return json.dumps({"value": self._replace(form, text)}, separators=(",", ":")).encode()

    def _form(self, topic: str) -> str | None:
        if topic.endswith(f"/{topics.PORTAL_ID}"):
            return _PORTAL
        return _PRIVATE_LEAVES.get(topic.rpartition("/")[2])

    def _replace(self, form: str, text: str) -> str:
        if not text.strip():
            return text
        taken = sum(1 for known_form, _ in self._replacements if known_form == form)
        return self._replacements.setdefault((form, text), form.format(taken + 1))
