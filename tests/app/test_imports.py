"""Tests what each verb imports, in its own process: on a GX, imports cost memory and seconds."""

import json
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest
import yaml

from mqtt_http_bridge.demo.backend import StandInBackend
from tests.support.charger_values import single_tracker
from tests.support.gx import PORTAL_ID, StandInGx
from tests.support.mosquitto import Mosquitto

SUBSCRIBING = {
    "app.inbox",
    "app.log",
    "app.own_outbox",
    "app.run",
    "core.backoff",
    "core.broker_failure",
    "core.disk_remedy",
    "core.log",
    "core.log_limit",
    "core.errors",
    "core.events",
    "core.venus",
    "core.venus.paths",
    "core.shard",
    "core.venus.superseded",
    "core.venus.topic_cache",
    "core.config_schema",
    "core.config_settings",
    "core.config_values",
    "core.log_line",
    "core.redaction",
    "core.settings",
    "core.venus.topics",
    "core.words",
    "core.watchdog",
}
"""Modules that `run` needs before it has subscribed, beside the command line and adapters."""
RELAYING = {
    "app.backend_observer",
    "app.clock_check",
    "app.delivery_log",
    "app.dialect",
    "app.dispatcher",
    "app.main_loop",
    "app.outbox_observer",
    "app.relay_observer",
    "app.state_reporter",
    "app.status_thread",
    "app.watchdog",
    "app.senders",
    "app.storing",
    "app.wiring",
}
"""Modules of the verbs that it needs then."""
BIG = ("paho", "requests", "urllib3", "charset_normalizer", "yaml")

WATCHED = """
import json, sys
before = set(sys.modules)  # Where the coverage is counted, there are some already.
from mqtt_http_bridge.adapters.broker import Broker
from mqtt_http_bridge.app import run as service
from mqtt_http_bridge.cli import main

def noting(method):
    def note(self, *arguments, **options):
        found = method(self, *arguments, **options)
        names = [n for n in sys.modules if n not in before and not n.startswith("encodings.")]
        print(json.dumps([method.__name__, sorted(names)]), file=sys.stderr, flush=True)
        return found
    return note

subscribe = noting(Broker.subscribe)

def subscribe_and_watch_on(self, topics):
    subscribe(self, topics)
    from mqtt_http_bridge.adapters.outbox import Outbox
    Outbox.settle = noting(Outbox.settle)

service.ASK_S = 60.0  # However busy the machine is, nothing is loaded meanwhile.
Broker.subscribe = subscribe_and_watch_on
sys.exit(main())
"""
"""Writes down the modules that are there after SUBSCRIBE, and after an entry is settled."""


def packages_after(statement: str) -> set[str]:
    """Those of the big packages that are there after a statement."""
    code = f"import sys\n{statement}\nprint(*{{name.partition('.')[0] for name in sys.modules}})"
    found = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    return set(found.stdout.split()) & set(BIG)


def call(*arguments: str) -> str:
    """A statement that runs a verb to its end, and keeps what it says apart."""
    return (
        "from mqtt_http_bridge.cli import main\n"
        "sys.stdout = sys.stderr\n"
        f"try: main({list(arguments)!r})\n"
        "except SystemExit: pass\n"
        "sys.stdout = sys.__stdout__"
    )


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--version"], set()),
        (["run", "--help"], set()),
        (["outbox", "status"], {"yaml"}),
        (["replay", "none.jsonl"], set()),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_verb_imports_only_what_it_uses(arguments: list[str], expected: set[str]) -> None:
    """Nobody waits for MQTT or HTTP who asks for neither."""
    assert packages_after(call(*arguments)) == expected


def of_ours(names: Iterable[str]) -> set[str]:
    """Our modules among all, by the name below the package."""
    ours = "mqtt_http_bridge."
    return {name.removeprefix(ours) for name in names if name.startswith(ours)} - {"app", "core"}


def test_run_subscribes_before_it_loads_what_posts_and_loads_nothing_after(tmp_path: Path) -> None:
    """The broker is asked first, and nothing is loaded any more after the first POST."""
    with Mosquitto() as mosquitto, StandInBackend() as backend, StandInGx(mosquitto) as gx:
        gx.add("solarcharger", 277, single_tracker())
        config = tmp_path / "config.yaml"
        settings = {
            "backend": {"url": backend.url, "api_key": backend.api_key},
            "mqtt": {"port": mosquitto.port, "portal_id": PORTAL_ID},
            "device": {"update_interval": 1},
        }
        config.write_text(yaml.safe_dump(settings), encoding="utf-8")
        process = subprocess.Popen(
            [sys.executable, "-c", WATCHED, "run", "-c", str(config)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        with process:
            assert process.stderr is not None
            notes = [json.loads(process.stderr.readline()) for _ in range(4)]
            process.terminate()
            process.communicate()

    (subscribe, at_subscribe), *settled = notes
    assert subscribe == "subscribe"
    assert [place for place, _ in settled] == ["settle"] * 3
    loaded = {name.partition(".")[0] for name in at_subscribe}
    assert loaded & set(BIG) == {"paho", "yaml"}
    assert "difflib" not in at_subscribe, "only a faulty config needs it"
    assert "inspect" not in at_subscribe, "dataclasses load it, for a sixteenth of this start"
    ours = of_ours(at_subscribe)
    assert {name for name in ours if name.startswith(("app.", "core."))} == SUBSCRIBING
    assert ours & {"cli_gx", "adapters.tls"} == set(), "of other verbs, and of a broker with TLS"
    first, *later = [set(names) for _, names in settled]
    # All but what requests guesses encodings by.
    assert {name.partition(".")[0] for name in first} & set(BIG) == set(BIG) - {
        "charset_normalizer"
    }
    assert [names - first for names in later] == [set(), set()]


def test_what_run_imports_of_ours() -> None:
    """A module that is not on this list is paid for by every GX: add it only if `run` needs it."""
    code = (
        "import sys, mqtt_http_bridge.app.run, mqtt_http_bridge.app.wiring\n"
        "import mqtt_http_bridge.adapters.config\n"
        "print(*sys.modules, sep='\\n')"
    )
    found = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    names = of_ours(found.stdout.split())
    adapters = {name for name in names if name.startswith("adapters.")}
    apart = {"adapters.backend", "adapters.broker", "adapters.outbox", "adapters.status_page"}
    assert {name for name in names if name.startswith("app.")} <= SUBSCRIBING | RELAYING
    assert {".".join(name.split(".")[:2]) for name in adapters} <= apart | {
        "adapters.api_keys",
        "adapters.clock",
        "adapters.config",
        "adapters.connection_error",
        "adapters.directories",
        "adapters.installation",
        "adapters.key_file",
        "adapters.log_stream",
        "adapters.machine",
        "adapters.small_files",
        "adapters.thread_start",
        "adapters.state_file",
        "adapters.systemd",
        "adapters.kernel_clock",
        "adapters.yaml_loading",
    }
    others = {
        "adapters.outbox.inspection",
        "adapters.recording",
        "core.anonymize",
        "core.status.history",
        "demo.contract",
    }
    assert names & others == set()


def test_requests_is_loaded_without_guessers_and_without_a_word() -> None:
    """It saves 3.5 MiB, logs nothing, and other code in this process can still load them."""
    code = (
        "import sys, warnings\n"
        "warnings.simplefilter('error')\n"
        "from mqtt_http_bridge.adapters.backend import Backend\n"
        "from mqtt_http_bridge.app.dialect import DIALECT\n"
        "from mqtt_http_bridge.core.settings import BackendSettings, Secret\n"
        "settings = BackendSettings('http://127.0.0.1:9', Secret('key'))\n"
        "answer = Backend(settings, DIALECT).post(b'{}')\n"
        "assert 'requests' in sys.modules and 'refused' in answer.reason, answer\n"
        "print('charset_normalizer' in sys.modules, 'chardet' in sys.modules)\n"
        "import charset_normalizer\n"
    )
    command = [sys.executable, "-c", code]
    found = subprocess.run(command, check=False, capture_output=True, text=True)
    assert (found.stdout, found.stderr) == ("False False\n", "")
