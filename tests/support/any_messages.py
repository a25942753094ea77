"""Generates messages of any form for property tests: topics, payloads, scalar values."""

import json

from hypothesis import strategies as st

from mqtt_http_bridge.core.venus.paths import PATHS, SERVICES
from tests.support.sayings import PORTAL_ID, payload_of


def topic_of(path: str, *, service: str = "solarcharger", instance: str = "277") -> str:
    """The topic of a path of a charger."""
    return f"N/{PORTAL_ID}/{service}/{instance}/{path}"


PARTS = [
    *("N", "R", "", PORTAL_ID, "heartbeat", "full_publish_completed", "system", *SERVICES),
    *("0", "277", "Pv", "V", "P", "Yield", "Power", "State", "Serial", "x"),
]
any_topics = st.text() | st.lists(st.sampled_from(PARTS) | st.text(), max_size=8).map("/".join)
charger_topics = st.sampled_from(list(PATHS["solarcharger"])).map(topic_of)
scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text()
values = st.recursive(
    scalars, lambda deeper: st.lists(deeper) | st.dictionaries(st.text(), deeper), max_leaves=6
)
payloads = (
    st.binary()
    | values.map(payload_of)
    | values.map(json.dumps).map(str.encode)
    | st.text(alphabet='{}[]":,.-+eE0123456789valueNItrfsn ').map(str.encode)
)
