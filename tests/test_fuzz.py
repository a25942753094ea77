"""Whatever comes from outside: nothing is raised but what is promised, and nothing hangs.

FUZZ_EXAMPLES=100000 in the environment looks for longer; HYPOTHESIS_PROFILE=searching for others.
Frames are fuzzed in test_bulk.py, against stock paho.
"""

import gzip
import json
import tempfile
from contextlib import suppress
from functools import cache
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from mqtt_http_bridge.adapters.config import load
from mqtt_http_bridge.adapters.outbox import Boot, Outbox
from mqtt_http_bridge.adapters.recording import read_recording
from mqtt_http_bridge.core.delivery import Reply, judge
from mqtt_http_bridge.core.errors import ConfigError, LocalFault, MalformedRecording
from mqtt_http_bridge.core.events import Connected, Message
from mqtt_http_bridge.core.measurement import Measurement, to_json
from mqtt_http_bridge.core.settings import OutboxSettings
from tests.bench.virtual_gx import VirtualGx, moment
from tests.fuzzing import fuzzed
from tests.gx import PORTAL_ID

RECORDING = Path(__file__).parent / "recordings" / "expire.jsonl.gz"
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
    """What two chargers measure."""
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
        to_json(found)


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
    """Whatever the backend answers, each device is stored, owed or refused, and none is both."""
    verdict = judge(Reply(status, body), measurement())
    serials = {device.serial for device in measurement().devices}
    assert verdict.owed | set(verdict.refused) <= serials
    assert not verdict.owed & set(verdict.refused)


@fuzzed
@given(mutated(to_json(measurement())))
def test_spool_files(data: bytes) -> None:
    """A file in the spool is a measurement, and sent as it is, or it is set aside."""
    with tempfile.TemporaryDirectory() as directory:
        first = Outbox(OutboxSettings(directory), Boot("fuzz", 0.0))
        first.append(measurement())
        first.close()
        (path,) = (Path(directory) / "waiting").glob("*.json")
        path.chmod(0o600)
        path.write_bytes(data)
        outbox = Outbox(OutboxSettings(directory), Boot("fuzz", 0.0))
        (number,) = outbox.oldest(2)
        entry = outbox.take(number)
        assert entry is None or entry.body == data
        assert entry is not None or outbox.oldest(2) == []
        outbox.close()
