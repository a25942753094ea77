"""Tests `check` and `discover` when the broker is a bridge or a cluster."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from paho.mqtt import publish

from mqtt_http_bridge.adapters.config import load
from mqtt_http_bridge.app import listen, prefixes
from mqtt_http_bridge.cli import DONE, main
from mqtt_http_bridge.core.status.findings import UNTIL_LIVE, Finding, Mark
from tests.app.test_check import found, wrong
from tests.support.charger_values import single_tracker
from tests.support.dbus_flashmq import payload_of
from tests.support.gx import PORTAL_ID, StandInGx
from tests.support.mirror import mirror_of
from tests.support.mosquitto import HOST, Mosquitto
from tests.support.patience import PATIENCE_S
from tests.support.peer import SERVER_UNAVAILABLE, Peer
from tests.support.running import World

pytestmark = [pytest.mark.long, pytest.mark.lively]

PREFIX = "home/venus"
REQUESTS = f"{PREFIX}/R/{PORTAL_ID}/keepalive"


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shortens the waits for what does not come: what comes takes a quarter of a second."""
    monkeypatch.setattr(listen, "ANSWER_S", 5.0)
    monkeypatch.setattr(listen, "OLD_GX_S", 2.5)
    monkeypatch.setattr(prefixes, "SEARCH_S", 2.5)


@pytest.fixture
def mirror(world: World, gx: StandInGx) -> Iterator[Mosquitto]:
    """The GX's broker below a prefix."""
    with mirror_of(world.broker, PREFIX) as mirror:
        yield mirror


def through(world: World, mirror: Mosquitto, **mqtt: object) -> dict[str, list[Finding]]:
    """Returns what `check` finds there."""
    return found(world, {"mqtt.port": mirror.port, **{f"mqtt.{k}": v for k, v in mqtt.items()}})


# --- a prefix ------------------------------------------------------------------------------------


def test_with_the_right_prefix_all_is_well(world: World, mirror: Mosquitto) -> None:
    """The GX is woken, heard and told, as without one."""
    steps = through(world, mirror, topic_prefix=PREFIX)
    for step in ("portal id", "keepalive", "charger", "GX clock"):
        assert [finding.mark for finding in steps[step]] == [Mark.OK], step


@pytest.mark.parametrize("configured", [None, "home", "home/venus/N"])
def test_topics_below_another_prefix_are_seen(
    world: World, mirror: Mosquitto, configured: str | None
) -> None:
    """The one to set is named, and nothing is said to be asleep."""
    mqtt = {"topic_prefix": configured} if configured else {}
    finding = wrong(through(world, mirror, **mqtt), "portal id")
    assert finding.fix == (
        f"set mqtt.topic_prefix: {PREFIX}, below which the broker announces {PORTAL_ID}"
    )


def test_a_prefix_where_there_is_none(world: World, gx: StandInGx) -> None:
    """It is to be left out."""
    finding = wrong(found(world, {"mqtt.topic_prefix": PREFIX}), "portal id")
    assert finding.fix.startswith("leave mqtt.topic_prefix out: ")
    assert PORTAL_ID in finding.fix


def test_discover_finds_the_prefix(
    mirror: Mosquitto, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is in the config that is printed, and so are the chargers behind it."""
    assert main(["discover", "127.0.0.1", "--port", str(mirror.port)]) == DONE
    captured = capsys.readouterr()
    assert f"{PORTAL_ID} below {PREFIX}/" in captured.err
    assert "HQ2211AAAA1" in captured.err
    (tmp_path / "config.yaml").write_text(captured.out, encoding="utf-8")
    (tmp_path / "api_key.txt").write_text("key\n", encoding="utf-8")
    mqtt = load(tmp_path / "config.yaml", {}, needs_backend=False).mqtt
    assert (mqtt.topic_prefix, mqtt.portal_ids) == (PREFIX, (PORTAL_ID,))


# --- requests that do not get through ------------------------------------------------------------


@pytest.fixture
def one_way(world: World, gx: StandInGx) -> Iterator[Mosquitto]:
    """A mirror that passes nothing on to the GX."""
    with mirror_of(world.broker, PREFIX, passes_requests=False) as mirror:
        yield mirror


def test_requests_do_not_get_through(world: World, one_way: Mosquitto) -> None:
    """The topic that the bridge has to pass on is named, and what it means until then."""
    steps = through(world, one_way, topic_prefix=PREFIX)
    finding = wrong(steps, "keepalive")
    assert f"{REQUESTS} does not reach it" in finding.text
    assert UNTIL_LIVE in finding.text
    assert finding.fix == f"have the bridge pass {REQUESTS} on to the GX"


def test_somebody_else_keeps_it_awake(world: World, gx: StandInGx, one_way: Mosquitto) -> None:
    """It is heard, so that is only worth knowing: but it never says everything when asked."""
    topic = f"R/{PORTAL_ID}/keepalive"
    publish.single(topic, b"", hostname=HOST, port=world.broker.inside_port)
    gx.wait_for_keepalive(1)
    steps = through(world, one_way, topic_prefix=PREFIX)
    (finding,) = steps["keepalive"]
    assert finding.mark is Mark.WARNING
    assert f"{REQUESTS} does not reach it" in finding.text


def test_a_mirror_that_retains(world: World) -> None:
    """Without a prefix as well: what it holds of a charger is no life, and that is said."""
    with StandInGx(world.broker) as gx:
        gx.freeze()
        for path, value in single_tracker().items():
            topic = f"N/{PORTAL_ID}/solarcharger/277/{path}"
            sent = gx._client.publish(topic, payload_of(value), qos=1, retain=True)
            # What the broker has only after we subscribe would be live.
            sent.wait_for_publish(PATIENCE_S)
        steps = found(world)
    finding = wrong(steps, "keepalive")
    assert f"R/{PORTAL_ID}/keepalive does not reach it" in finding.text
    assert UNTIL_LIVE in finding.text


def test_discover_tells_that_requests_do_not_get_through(
    one_way: Mosquitto, capsys: pytest.CaptureFixture[str]
) -> None:
    """It prints what it knows, and tells what is to be fixed."""
    assert main(["discover", "127.0.0.1", "--port", str(one_way.port)]) == DONE
    said = capsys.readouterr().err
    assert f"have the bridge pass {REQUESTS} on to the GX" in said


# --- several addresses ---------------------------------------------------------------------------


def test_a_node_that_is_down_is_a_note(world: World, gx: StandInGx) -> None:
    """As long as another is up, all works; each is named."""
    with Mosquitto() as down:
        down.stop()
        hosts = [f"127.0.0.1:{down.port}", f"127.0.0.1:{world.broker.port}"]
        steps = found(world, {"mqtt.host": hosts})
    assert [finding.mark for finding in steps["GX port"]] == [Mark.WARNING, Mark.OK]
    assert f"127.0.0.1:{down.port}" in steps["GX port"][0].text
    assert "another address will do" in steps["GX port"][0].text
    assert steps["charger"][0].mark is Mark.OK


def test_every_node_is_down(world: World) -> None:
    """Then each is wrong."""
    with ExitStack() as stack:
        nodes = [stack.enter_context(Mosquitto()) for _ in range(2)]
        for node in nodes:
            node.stop()
        steps = found(world, {"mqtt.host": [f"127.0.0.1:{node.port}" for node in nodes]})
    assert [finding.mark for finding in steps["GX port"]] == [Mark.WRONG, Mark.WRONG]
    assert steps["GX login"][0].mark is Mark.UNKNOWN


def test_the_second_node_lets_us_in(world: World, gx: StandInGx) -> None:
    """The first is open, and takes nobody: the other one is heard."""
    with Peer(SERVER_UNAVAILABLE) as full:
        hosts = [f"127.0.0.1:{full.port}", f"127.0.0.1:{world.broker.port}"]
        steps = found(world, {"mqtt.host": hosts})
    assert steps["charger"][0].mark is Mark.OK
