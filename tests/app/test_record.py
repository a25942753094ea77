"""Tests how `record` writes: what it counts, what it hides, and what comes at the very end."""

import gzip
import io
import itertools
import json
import threading
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from mqtt_http_bridge.adapters.broker import Broker
from mqtt_http_bridge.adapters.recording import RecordingWriter, read_recording
from mqtt_http_bridge.app import record as record_module
from mqtt_http_bridge.app.inbox import Inbox, Stop
from mqtt_http_bridge.cli import DONE, FAILED, main
from mqtt_http_bridge.core.events import AllRead, Message, Tick
from tests.support.charger_values import single_tracker
from tests.support.gx import PORTAL_ID, StandInGx
from tests.support.mosquitto import Mosquitto
from tests.support.patience import PATIENCE_S
from tests.support.virtual import moment

TOPIC = f"N/{PORTAL_ID}/solarcharger/277/Serial"
Scribe = record_module._Scribe
REST_S = record_module.REST_S
ScribeMaker = Callable[..., Scribe]


class Screen(io.StringIO):
    """A stderr, which a person may watch: what is flushed is shown."""

    def __init__(self, *, is_watched: bool) -> None:
        super().__init__()
        self.shown = ""
        self._is_watched = is_watched

    def isatty(self) -> bool:
        return self._is_watched

    def flush(self) -> None:
        self.shown = self.getvalue()


def message(at_s: float, value: object = "HQ2211AAAA1") -> Message:
    return Message(moment(at_s), TOPIC, json.dumps({"value": value}).encode())


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """The file to record to."""
    return tmp_path / "r.jsonl"


@pytest.fixture
def scribe(path: Path) -> ScribeMaker:
    """Makes what writes the recording."""

    def make(*, is_anonymous: bool = False) -> Scribe:
        return Scribe(RecordingWriter(path, moment(0.0)), is_anonymous=is_anonymous)

    return make


def written(path: Path) -> list[dict[str, Any]]:
    """Returns the lines of a recording below its header."""
    lines = path.read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines[1:]]


def payloads(path: Path) -> list[str]:
    return [json.loads(line["payload"])["value"] for line in written(path) if "topic" in line]


def test_messages_alone_are_counted(scribe: ScribeMaker, path: Path) -> None:
    """A recording of other events has nothing that a person wants."""
    own = scribe()
    for event in (Tick(moment(1.0)), message(2.0), AllRead(moment(3.0), 3.0), message(4.0)):
        own.write(event)
    own.close()
    assert own.messages == 2
    assert len(payloads(path)) == 2


def test_what_is_hidden_is_hidden_in_topic_and_payload(scribe: ScribeMaker, path: Path) -> None:
    """And the same text becomes the same other text throughout."""
    own = scribe(is_anonymous=True)
    own.write(message(1.0))
    own.write(message(2.0))
    own.close()
    text = path.read_text(encoding="utf-8")
    assert PORTAL_ID not in text
    assert "HQ2211AAAA1" not in text
    assert len(set(payloads(path))) == 1


def test_without_being_asked_nothing_is_hidden(scribe: ScribeMaker, path: Path) -> None:
    """A recording for oneself has the real serials."""
    own = scribe()
    own.write(message(1.0))
    own.close()
    assert payloads(path) == ["HQ2211AAAA1"]
    assert PORTAL_ID in path.read_text(encoding="utf-8")


def test_what_was_read_at_the_very_end_is_written(scribe: ScribeMaker, path: Path) -> None:
    """Messages of the same moment or later; time in a recording never goes back."""
    own, inbox = scribe(), Inbox()
    own.write(message(5.0, "first"))
    for item in (message(4.9, "older"), Stop(), message(5.0, "same"), message(6.0, "later")):
        inbox.put(item)
    own.write_rest(inbox)
    own.close()
    assert payloads(path) == ["first", "same", "later"]
    assert own.messages == 3
    assert [event for event in read_recording(path) if isinstance(event, Message)]


def test_what_was_read_at_the_very_end_may_be_all(scribe: ScribeMaker, path: Path) -> None:
    """Nothing came before it."""
    own, inbox = scribe(), Inbox()
    inbox.put(message(1.0, "only"))
    own.write_rest(inbox)
    own.close()
    assert payloads(path) == ["only"]


def test_a_flood_does_not_hold_up_the_end(
    scribe: ScribeMaker, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It ends after a second: the rest of twenty megabytes would take long."""
    own, inbox, times = scribe(), Inbox(), itertools.count(0.0, REST_S / 4)
    monkeypatch.setattr(record_module, "time", SimpleNamespace(monotonic=lambda: next(times)))
    for at_s in range(10):
        inbox.put(message(at_s, str(at_s)))
    own.write_rest(inbox)
    own.close()
    assert payloads(path) == ["0", "1", "2"]
    assert inbox


@pytest.mark.parametrize(("is_watched", "shown"), [(True, [1, 51, 101]), (False, [])])
def test_a_person_who_watches_sees_a_count(
    scribe: ScribeMaker, monkeypatch: pytest.MonkeyPatch, *, is_watched: bool, shown: list[int]
) -> None:
    """At the first message and every 50 more, in one line; a script sees none."""
    stderr = Screen(is_watched=is_watched)
    monkeypatch.setattr("sys.stderr", stderr)
    own = scribe()
    for number in range(120):
        own.write(message(float(number)))
    own.close()
    found = [int(part.split()[0]) for part in stderr.shown.split("\r") if part]
    assert found == shown
    assert "\n" not in stderr.getvalue()


def test_it_ends_by_itself(
    mosquitto: Mosquitto, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """After --duration, with what the GX said, and not before; the connection ends as well."""
    path = tmp_path / "r.jsonl.gz"
    to = ["--host", "127.0.0.1", "--port", str(mosquitto.port), "--duration", "1.5"]
    with StandInGx(mosquitto, heartbeat_s=0.2) as gx:
        gx.add("solarcharger", 277, single_tracker())
        assert main(["record", "-o", str(path), *to, "--anonymize"]) == DONE
    text = gzip.decompress(path.read_bytes()).decode()
    assert "solarcharger" in text
    assert PORTAL_ID not in text
    assert f"{path}: {text.count('topic')} messages" in capsys.readouterr().err
    assert "broker" not in {thread.name for thread in threading.enumerate()}


def test_what_comes_while_the_connection_ends_is_recorded(
    mosquitto: Mosquitto, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last that has arrived is read when nobody waits for it any more."""

    class Late(Broker):
        def stop(self, timeout_s: float) -> None:
            super().stop(timeout_s)
            self._emit(message(self._now().monotonic_s, "late"))

    monkeypatch.setattr(record_module, "Broker", Late)
    to = ["--host", "127.0.0.1", "--port", str(mosquitto.port), "--duration", "0.2"]
    assert main(["record", "-o", str(path), *to]) == DONE
    assert payloads(path) == ["late"]


def test_what_is_left_out_at_the_end_is_told(
    mosquitto: Mosquitto,
    path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A recording that ends early must not look like all there was."""

    class Fast(Broker):
        def start(self, wait_s: float = 0.0) -> None:
            super().start(wait_s)
            self._emit(message(self._now().monotonic_s, "early"))

        def stop(self, timeout_s: float) -> None:
            super().stop(timeout_s)
            self._emit(message(self._now().monotonic_s, "late"))

    monkeypatch.setattr(record_module, "Broker", Fast)
    monkeypatch.setattr(record_module, "REST_S", 0.0)
    to = ["--host", "127.0.0.1", "--port", str(mosquitto.port), "--duration", "0.5"]
    assert main(["record", "-o", str(path), *to]) == DONE
    assert payloads(path) == ["early"]
    said = "1 message: they came faster than they could be written, and the last are left out"
    assert f"{path}: {said}" in capsys.readouterr().err


def test_one_that_is_ended_early_leaves_no_timer() -> None:
    """It would keep the process until the duration is over."""
    inbox = Inbox()
    with record_module._stop_after(3600.0, inbox):
        (timer,) = (t for t in threading.enumerate() if isinstance(t, threading.Timer))
    timer.join(PATIENCE_S)
    assert not timer.is_alive()
    assert not inbox


@pytest.mark.parametrize("is_removed", [False, True], ids=["there", "removed by somebody"])
def test_without_a_message_there_is_no_file(
    mosquitto: Mosquitto,
    path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    *,
    is_removed: bool,
) -> None:
    """It says why: an empty recording would look like a success."""

    class Watched(Broker):
        def stop(self, timeout_s: float) -> None:
            super().stop(timeout_s)
            assert path.exists()
            if is_removed:
                path.unlink()

    monkeypatch.setattr(record_module, "Broker", Watched)
    to = ["--host", "127.0.0.1", "--port", str(mosquitto.port), "--duration", "0.5"]
    assert main(["record", "-o", str(path), *to]) == FAILED
    assert "expected messages from" in capsys.readouterr().err
    assert not path.exists()
