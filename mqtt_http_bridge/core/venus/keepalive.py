"""Writes what is sent to the GX: keepalives, which make it publish, and nothing else."""

import json
from typing import Final

KEEPALIVE_INTERVAL_S: Final = 30.0
"""Half the time for which a keepalive keeps the GX awake, so losing one does no harm."""
AWAKE_S: Final = 60.0
"""Seconds for which dbus-flashmq publishes after the last keepalive."""
SUPPRESSED_KEEPALIVE: Final = b'{ "keepalive-options" : ["suppress-republish"] }'
"""Keeps the GX publishing, without repeating the values."""


def full_keepalive(echo: str) -> bytes:
    """Asks for every value and a `full_publish_completed` that tells `echo` (Venus >= 3.50)."""
    options = [{"full-publish-completed-echo": echo}]
    return json.dumps({"keepalive-options": options}).encode()
