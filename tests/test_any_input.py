"""Tests any input from outside: only the promised errors are raised, and nothing hangs.

`./tests/run slow` looks for longer, and at other examples each time. Frames are fuzzed in
tests/adapters/test_bulk_reader.py, against stock paho.
"""

import gzip
import json
import tempfile
from contextlib import suppress
from functools import cache
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mqtt_http_bridge.adapters.config import load
from mqtt_http_bridge.adapters.outbox import Boot, Outbox, records
from mqtt_http_bridge.adapters.outbox.records import Entry
from mqtt_http_bridge.adapters.recording import read_recording
from mqtt_http_bridge.app.dialect import DIALECT
from mqtt_http_bridge.core.delivery.answers import Reply
from mqtt_http_bridge.core.errors import ConfigError, LocalFault, MalformedRecording
from mqtt_http_bridge.core.events import Connected, Message
from mqtt_http_bridge.core.measurement import Measurement
from mqtt_http_bridge.core.settings import OutboxSettings
from mqtt_http_bridge.core.solar_backend.body import to_body
from mqtt_http_bridge.core.solar_backend.verdict import judge
from tests.bench.virtual_gx import VirtualGx, moment
from tests.support.extent import fuzzed
from tests.support.gx import PORTAL_ID
from tests.support.places import RECORDINGS

pytestmark = pytest.mark.slow

RECORDING = RECORDINGS / "expire.jsonl.gz"
CONFIG = b"""backend: {url: "http://127.0.0.1:9", api_key: "the key", timeout: 30}
mqtt: {host: 127.0.0.1, port: 1883, portal_id: auto, services: [solarcharger]}
device: {update_interval: 30, serials: {281: "HQ"}}
outbox: {directory: outbox, max_rate: 10}
"""

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=8,
)
TOPICS = st.one_of(
    st.text(max_size=40),
    st.lists(
        st.sampled_from(
            [
                *("N", PORTAL_ID, "solarcharger", "multi", "0", "-1", "9" * 30, "", "Pv", "V"),
                *("Serial", "State", "Yield", "Power", "System", "heartbeat", "٣"),
                "full_publish_completed",
            ]
        ),
        max_size=7,
    ).map("/".join),
)
PAYLOADS = st.one_of(
    st.binary(max_size=40),
    JSON.map(lambda value: json.dumps({"value": value}).encode()),
    st.sampled_from([b"", b'{"value":null}', b'{"value":' + b"9" * 5000 + b"}", b"[" * 5000]),
    st.floats().map(lambda number: b'{"value":%r}' % number),
)


def mutated(data: bytes) -> st.SearchStrategy[bytes]:
    """`data` with some of it replaced, doubled or left out."""

    def change(edits: list[tuple[int, int, bytes]]) -> bytes:
        changed = data
        for start, length, new in edits:
            at = start % (len(changed) + 1)
            changed = changed[:at] + new + changed[at + length :]
        return changed

    edit = st.tuples(st.integers(0, 10**6), st.integers(0, 40), st.binary(max_size=8))
    return st.lists(edit, min_size=1, max_size=4).map(change)


@cache
def measurement() -> Measurement:
    """Returns what two chargers measure."""
    gx = VirtualGx([PORTAL_ID], 2)
    gx.start()
    return gx.act_at(gx.until_next_measurement())[0]


@fuzzed
@given(st.lists(st.tuples(TOPICS, PAYLOADS, st.booleans()), max_size=20))
def test_topics_and_payloads(messages: list[tuple[str, bytes, bool]]) -> None:
    """Whatever is said, the core takes it in, and what it then measures can be sent."""
    gx = VirtualGx([PORTAL_ID], 1)
    gx.happen(Connected(moment(0.0)))
    for topic, payload, is_retained in messages:
        gx.happen(Message(moment(1.0), topic, payload, is_retained))
    gx.start()
    for found in gx.act_at(gx.until_next_measurement()):
        to_body(found)


@fuzzed
@given(mutated(CONFIG))
def test_configs(text: bytes) -> None:
    """A config is taken, or refused."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "config.yaml"
        path.write_bytes(text)
        with suppress(ConfigError):
            load(path, {})


@fuzzed
@given(mutated(gzip.decompress(RECORDING.read_bytes())[:3000]), st.booleans())
def test_recordings(data: bytes, is_zipped: bool) -> None:
    """A recording is played as far as it is one, or refused."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "recording"
        path.write_bytes(gzip.compress(data)[: len(data)] if is_zipped else data)
        with suppress(MalformedRecording, LocalFault):
            for _ in read_recording(path):
                pass


@fuzzed
@given(st.integers(100, 599), st.binary(max_size=80) | JSON.map(lambda v: json.dumps(v).encode()))
def test_answers(status: int, body: bytes) -> None:
    """Whatever the backend answers, each device that was sent has a fate, and no other."""
    serials = [device.serial for device in measurement().devices]
    assert judge(Reply(status, body), serials).fates.keys() == set(serials)


def log_of_two() -> bytes:
    """A file of the log with two entries."""
    texts = (Entry(n, PORTAL_ID, to_body(measurement()), is_final=True) for n in (1, 2))
    return records.head("0123456789abcdef", 1) + b"".join(map(records.put, texts))


@fuzzed
@given(mutated(log_of_two()))
def test_log_files(data: bytes) -> None:
    """Whatever a file of the log holds, what is read of it is a measurement as it was written."""
    with tempfile.TemporaryDirectory() as directory:
        log = Path(directory) / "log"
        log.mkdir()
        (log / f"{1:016d}.log").write_bytes(data)
        outbox = Outbox(OutboxSettings(directory), DIALECT, Boot("fuzz", 0.0))
        for number in (1, 2):
            entry = outbox.take(PORTAL_ID, number)
            assert entry is None or entry.body == to_body(measurement())
        outbox.close()
