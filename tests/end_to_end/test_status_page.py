"""Tests the status page of a running service without a browser, whatever clients do."""

import http.client
import json
import socket
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from mqtt_http_bridge.adapters.status_page import FILES
from mqtt_http_bridge.adapters.status_page.server import LONGEST_CONNECTION_S
from mqtt_http_bridge.core.status.metrics import METRICS, PREFIX
from tests.support.charger_values import multi_tracker, single_tracker
from tests.support.faulty_backend import Forced
from tests.support.gx import PORTAL_ID, StandInGx
from tests.support.running import Running, World

ROOF = "HQ2211AAAA1"
FREE_PORT = "from mqtt_http_bridge.core import config_values; config_values.read_port = int"
"""Lets a config say port 0, which takes a free one."""
PATHS = (
    *FILES,
    "/history.json",
    "/history-recent.json",
    "/status.json",
    "/healthz",
    "/readyz",
    "/metrics",
)

pytestmark = pytest.mark.lively


class Page:
    """One service with its status page."""

    def __init__(self, world: World, service: Running, address: tuple[str, int]) -> None:
        self.world = world
        self.service = service
        self.address = address

    def ask(self, path: str, method: str = "GET") -> tuple[int, bytes, dict[str, str]]:
        """Status, body and headers of one request."""
        connection = http.client.HTTPConnection(*self.address, timeout=10)
        connection.request(method, path)
        response = connection.getresponse()
        headers = {name.lower(): value for name, value in response.getheaders()}
        answer = (response.status, response.read(), headers)
        connection.close()
        return answer

    def status(self) -> dict[str, Any]:
        """Returns what /status.json tells."""
        document: dict[str, Any] = json.loads(self.ask("/status.json")[1])
        return document

    def samples(self) -> dict[str, dict[str, float]]:
        """Reads /metrics, by name without our prefix and by serial, or the empty text."""
        found: dict[str, dict[str, float]] = {}
        for family in text_string_to_metric_families(self.ask("/metrics")[1].decode()):
            for sample in family.samples:
                name = sample.name.removeprefix(PREFIX)
                found.setdefault(name, {})[sample.labels.get("serial", "")] = sample.value
        return found

    def wait(self, holds: Any, timeout_s: float = 20.0) -> None:
        """Asks until `holds()` is true. Or TimeoutError."""
        deadline_s = time.monotonic() + timeout_s
        while not holds():
            if time.monotonic() > deadline_s:
                raise TimeoutError(f"found {self.status()}")
            time.sleep(0.05)


def open_page(world: World, fault: str = "pass") -> Page:
    """A running service with a page at a free port."""
    service = world.run({"status.listen": "127.0.0.1:0"}, fault=f"{FREE_PORT}; {fault}")
    url = service.wait_for("status page at").rpartition(" ")[2]
    return Page(world, service, ("127.0.0.1", int(url.strip("/").rpartition(":")[2])))


@pytest.fixture
def page(world: World, gx: StandInGx) -> Page:
    """A page of which the first measurement is already delivered."""
    page = open_page(world)
    world.backend.wait_for(1, 60.0)
    return page


# --- what it tells -------------------------------------------------------------------------------


def test_every_path_answers_get_and_head(page: Page) -> None:
    """HEAD says what GET would, without the body; both forbid to be kept or framed."""
    page.wait(lambda: page.ask("/readyz")[0] == 200)
    for path in PATHS:
        status, body, headers = page.ask(path)
        head_status, head_body, head_headers = page.ask(path, "HEAD")
        assert (status, head_status, head_body) == (200, 200, b"")
        assert int(headers["content-length"]) == len(body) > 0
        assert headers["content-type"] == head_headers["content-type"]
        assert headers["cache-control"] == "no-store"
        assert headers["x-frame-options"] == "DENY"
        assert "default-src 'none'" in headers["content-security-policy"]
        assert "unsafe" not in headers["content-security-policy"]
        assert "Python" not in headers["server"]


def test_nothing_but_get_and_head(page: Page) -> None:
    """Any other method is not allowed, whatever the path."""
    for method in ("POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "BREW"):
        status, _, headers = page.ask("/", method)
        assert (status, headers["allow"]) == (405, "GET, HEAD")


def test_there_is_nothing_else(page: Page) -> None:
    """No other path answers, and none leads to a file."""
    for path in ("/x", "/../config.yaml", "/page.htm", "/page.py", "/%2e%2e/"):
        assert page.ask(path)[0] == 404


def test_status_json(page: Page) -> None:
    """The page's document has what the page shows, and no secret."""
    page.wait(lambda: page.status()["backend"]["answered"] is not None)
    document = page.status()
    (gx,) = document["gx"]
    (charger,) = gx["chargers"]
    assert (gx["portal_id"], gx["live"]) == (PORTAL_ID, True)
    assert charger["serial"] == ROOF
    assert charger["state"] == "external control"
    assert charger["trackers"] == [{"name": "PV", "voltage_v": 62.48, "power_w": 64.53}]
    assert document["backend"]["status"] == 201
    assert document["problems"] == []
    assert page.world.backend.api_key not in json.dumps(document)


def test_history_json(page: Page) -> None:
    """The last day of each charger, and apart what is new in it."""
    whole = json.loads(page.ask("/history.json")[1])
    recent = json.loads(page.ask("/history-recent.json")[1])
    for document in (whole, recent):
        charger = document["chargers"][ROOF]
        assert charger["power_w"][-1] == 64.5
        assert charger["gains_wh"] == [0]
        assert charger["total_kwh"] == 20.76
        assert document["ends"] % document["span_s"] == 0
        assert 0 <= document["ends"] - time.time() <= document["span_s"] + 10
    assert (whole["slots"], whole["recent_slots"]) == (360, 10)


def test_what_happened_is_told_also_after_a_restart(page: Page) -> None:
    """The changes that the log told, and the start; those of the process before are not lost."""
    page.wait(lambda: any("stores" in each["text"] for each in page.status()["changes"]))
    assert page.service.stop() == 0
    again = open_page(page.world)
    page.wait(lambda: bool(again.status()["gx"]))
    told = [each["text"] for each in again.status()["changes"]]
    assert [text for text in told if text.startswith("the service was")] == [
        "the service was stopped",
        f"the service was started, version {again.status()['version']}",
    ]
    assert any(text.startswith("connected to the broker") for text in told)


def test_metrics(page: Page, gx: StandInGx) -> None:
    """Prometheus' own parser takes it; every family is in the table, with unit and type."""
    gx.set("solarcharger", 277, "CustomName", 'a "quoted" \\ name')
    page.wait(lambda: "posts_total" in page.samples())
    text = page.ask("/metrics")[1].decode()
    for family in text_string_to_metric_families(text):
        name = family.name.removeprefix(PREFIX)
        metric = METRICS.get(name) or METRICS[f"{name}_total"]
        assert family.name.startswith(PREFIX)
        assert (family.type, family.documentation) == (metric.kind, metric.says)
    samples = page.samples()
    assert samples["charger_power_watts"][ROOF] == 64.52999877929688
    assert samples["charger_yield_joules_total"][ROOF] == 20.760000228881836 * 3.6e6
    assert samples["tracker_voltage_volts"][ROOF] == 62.47999954223633
    now_s = time.time()
    assert now_s - 10 < samples["charger_heard_timestamp_seconds"][ROOF] <= now_s + 1


def test_the_series_of_a_charger_that_leaves_disappear(page: Page, gx: StandInGx) -> None:
    """Whoever is not on the bus has no power, not even 0."""
    gx.add("solarcharger", 0, multi_tracker())
    page.wait(lambda: len(page.samples()["charger_power_watts"]) == 2)
    gx.remove("solarcharger", 277)
    page.wait(lambda: ROOF not in page.samples().get("charger_power_watts", {}))
    assert not [name for name, found in page.samples().items() if ROOF in found]


def test_ready(world: World, gx: StandInGx) -> None:
    """Ready is who hears the GX and delivers; alive is who answers."""
    page = open_page(world)
    world.backend.wait_for(1, 60.0)
    page.wait(lambda: page.ask("/readyz")[0] == 200)
    world.backend.always(Forced(500))
    page.wait(lambda: page.ask("/readyz")[0] == 503)
    world.backend.always(None)
    page.wait(lambda: page.ask("/readyz")[0] == 200)
    world.broker.stop()
    page.wait(lambda: page.ask("/readyz")[0] == 503)
    assert page.ask("/healthz")[:2] == (200, b"alive\n")


def test_ready_at_night(world: World) -> None:
    """Chargers that say null at night make no measurement; that is as it should be."""
    gx = world.add_gx(heartbeat_s=0.3)
    gx.add("solarcharger", 277, single_tracker(power_w=None))
    page = open_page(world)
    page.wait(lambda: page.status()["gx"] != [])
    page.wait(lambda: page.ask("/readyz")[0] == 200)
    assert world.bodies == []


def test_what_is_parked_is_told(tmp_path: Path) -> None:
    """Everything that the backend refuses is shown with its reason, and what to do."""
    with World(tmp_path, known_serials=()) as world:
        world.add_gx(heartbeat_s=0.3).add("solarcharger", 277, single_tracker())
        page = open_page(world)
        page.wait(lambda: page.status()["outbox"]["parked"] != [])
        document = page.status()
        assert document["outbox"]["parked"][0]["reason"] == f"Device {ROOF} not found"
        assert "outbox retry" in document["problems"][0]["fix"]
        page.wait(lambda: page.samples()["outbox_parked"][ROOF] >= 1.0)


# --- what nobody can do to it --------------------------------------------------------------------


def test_hostile_clients(page: Page) -> None:
    """Idle, slow, endless and rude clients: the relay measures and delivers as if nobody was there.

    When they are gone, or cut off, the page answers again.
    """
    before = len(page.world.backend.received)
    clients = [socket.create_connection(page.address) for _ in range(40)]
    rude = (
        b"\x16\x03\x01\x02\x00",
        b"GET / HTTP/9.9\r\n",
        b"GET",
        b"A" * 70_000,
        b"\r\n\r\n",
        b"\0",
    )
    for number, client in enumerate(clients):
        try:
            client.sendall(rude[number % len(rude)])
        except OSError:
            continue
    page.world.backend.wait_for(before + 4, 60.0)
    for client in clients:
        client.close()
    page.wait(lambda: can_ask(page), timeout_s=20.0)
    taken = [a.monotonic_s for a in page.world.backend.received[before : before + 4]]
    # One second apart, and on a busy machine more; the page gives each of them five.
    assert max(b - a for a, b in pairwise(taken)) < LONGEST_CONNECTION_S - 1.0
    assert not page.service.said("Traceback")


def test_a_port_that_is_taken_holds_nothing_up(world: World, gx: StandInGx) -> None:
    """The service measures and delivers, and has its page once the port is free."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port: int = taken.getsockname()[1]
        quick = "from mqtt_http_bridge.adapters.status_page import server as s; s.TRY_AGAIN_S = 0.1"
        shorter = "s.IDLE_S = 0.1"
        service = world.run({"status.listen": f"127.0.0.1:{port}"}, fault=f"{quick}; {shorter}")
        service.wait_for("status.listen: expected to listen at")
        world.backend.wait_for(2, 60.0)
    service.wait_for("status page at")
    page = Page(world, service, ("127.0.0.1", port))
    page.wait(lambda: page.ask("/readyz")[0] == 200)
    assert len(service.said("status.listen")) == 1


def test_another_name_is_told_nothing(page: Page) -> None:
    """Only the names of this machine and of the config: a browser sends that of its page."""
    for host, status in ((socket.gethostname(), 200), ("evil.example.org", 421)):
        connection = http.client.HTTPConnection(*page.address, timeout=10)
        connection.request("GET", "/status.json", headers={"Host": host})
        response = connection.getresponse()
        assert response.status == status
        assert (ROOF.encode() in response.read()) is (status == 200)
        connection.close()


def can_ask(page: Page) -> bool:
    """Tells whether the page answers at all."""
    try:
        return page.ask("/healthz")[0] == 200
    except OSError:
        return False


def test_with_the_page_off_none_of_it_is_imported(tmp_path: Path) -> None:
    """A service without a page has no code of it, and no HTTP server at all."""
    code = (
        "import sys; import mqtt_http_bridge.app.run;"
        "print([m for m in sys.modules if 'status' in m and m.startswith('mqtt_http_bridge')"
        " or m.endswith('.metrics') or m in ('http.server', 'socketserver')])"
    )
    found = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path
    )
    assert found.stdout == "[]\n"


def test_with_the_page_off_nothing_listens(world: World, gx: StandInGx) -> None:
    """By default the service opens no port."""
    process = world.run()
    world.backend.wait_for(1, 60.0)
    assert process.said("status page") == []
    inodes = listening_inodes()
    fds = Path(f"/proc/{process._process.pid}/fd")
    if not fds.is_dir():
        pytest.skip("this system has no /proc")
    links = [str(fd.readlink()) for fd in fds.iterdir()]
    assert not [link for link in links if link.removeprefix("socket:").strip("[]") in inodes]


def listening_inodes() -> set[str]:
    """The sockets of this machine that listen for TCP."""
    rows: list[list[str]] = []
    for name in ("tcp", "tcp6"):
        path = Path("/proc/net") / name
        if path.exists():
            rows += [line.split() for line in path.read_text().splitlines()[1:]]
    return {row[9] for row in rows if row[3] == "0A"}
