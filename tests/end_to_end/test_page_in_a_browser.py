"""Tests the status page in a real browser while things happen to the service."""

import re
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.browser import Browser
from tests.support.charger_values import multi_tracker, single_tracker
from tests.support.gx import StandInGx
from tests.support.running import Running, World

pytestmark = pytest.mark.once  # The page is the same on every Python.

ROOF, BARN = "HQ2211AAAA1", "1234567 HQ2233RS45X"
EVIL = "<img src=x onerror=\"document.title='evil'\">"


def tile(serial: str) -> str:
    """The JavaScript for the tile of a charger."""
    return f"document.querySelector('[data-serial=\"{serial}\"]')"


def tile_says(serial: str, text: str) -> str:
    """The condition that a tile says something."""
    return f"{tile(serial)}?.innerText.replaceAll('\\u202f', ' ').includes({text!r})"


def power_is(serial: str, text: str) -> str:
    """The condition that the power in a tile is this."""
    power = f"{tile(serial)}?.querySelector('.power').innerText"
    return f"{power}.replaceAll('\\u202f', ' ') === {text!r}"


@pytest.fixture(scope="module", autouse=True)
def _quick(browser: Browser) -> None:
    """Has the timers of the page run fast."""
    browser.hurry(10.0)


@dataclass
class Scene:
    """A page that is open on a service with a GX and a backend."""

    world: World
    gx: StandInGx
    service: Running
    browser: Browser
    url: str


@pytest.fixture
def scene(tmp_path: Path, browser: Browser) -> Iterator[Scene]:
    """One charger on the roof, in an ordinary window."""
    with World(tmp_path) as world:
        gx = world.add_gx(heartbeat_s=0.5)
        gx.add("solarcharger", 277, single_tracker())
        fault = "from mqtt_http_bridge.core.relay import site; site.SILENCE_S = 3.0;"
        fault += "from mqtt_http_bridge.core.status import well; well.SILENCE_S = 3.0;"
        fault += "well.START_S = 1.0;"
        fault += "from mqtt_http_bridge.core.relay import charger_report as report;"
        fault += "report.LEFT_OUT_S = 2.0;"
        fault += "from mqtt_http_bridge.core import config_values; config_values.read_port = int"
        service = world.run({"status.listen": "127.0.0.1:0"}, fault=fault)
        url = service.wait_for("status page at").rpartition(" ")[2]
        world.backend.wait_for(1, 60.0)
        browser.leave()
        browser.size(1000, 800)
        browser.scheme("light")
        browser.go(url)
        browser.wait_for(power_is(ROOF, "64.5 W"))
        yield Scene(world, gx, service, browser, url)


def test_a_charger_appears_changes_and_leaves(scene: Scene) -> None:
    """The whole life of a charger can be watched, and what it shows is what it said."""
    page = scene.browser
    page.wait_for("document.querySelector('#verdict').innerText === 'All is well'")
    for text in ("South roof", "62.5 V", "external control", "20.76 kWh", "ago"):
        page.wait_for(tile_says(ROOF, text))

    scene.gx.add("solarcharger", 0, multi_tracker())
    page.wait_for(power_is(BARN, "3.39 kW"))
    for text in ("Barn east", "310.3 V", "bulk"):
        page.wait_for(tile_says(BARN, text))

    scene.gx.set("solarcharger", 277, "Yield/Power", 120.5)
    page.wait_for(power_is(ROOF, "121 W") + " || " + power_is(ROOF, "120 W"))

    scene.gx.remove("solarcharger", 277)
    page.wait_for(tile_says(ROOF, "the GX lost it"))
    page.wait_for(tile_says(ROOF, "off the bus"))
    page.wait_for(power_is(ROOF, "0 W"))
    assert page.problems == []
    assert {re.sub(r"[^/]*$", "", url) for url in page.requests if url.startswith("http")} == {
        scene.url
    }


def test_the_backend_goes_away_and_comes_back(scene: Scene) -> None:
    """It says what is wrong and what fixes it; then that it is over."""
    page = scene.browser
    page.wait_for("document.querySelector('#backend').innerText.includes('stores measurements')")
    scene.world.backend.down()
    page.wait_for("document.querySelector('#problems').innerText.includes('Connection refused')")
    assert "To fix it: " in page.text("#problems")
    assert "takes nothing" in page.text("#backend")
    page.wait_for("/[1-9] measurements? waiting/.test(document.querySelector('#outbox').innerText)")
    scene.world.backend.up()
    page.wait_for("document.querySelector('#problems').innerText === ''", timeout_s=40.0)


def test_the_gx_goes_silent(scene: Scene) -> None:
    """Old numbers are not shown as the present ones."""
    scene.gx.freeze()
    page = scene.browser
    page.wait_for("document.querySelector('#problems').innerText.includes('not heard')")
    page.wait_for(tile_says(ROOF, "the GX is not heard"))
    page.wait_for(power_is(ROOF, "unknown"))
    scene.gx.thaw()
    page.wait_for(power_is(ROOF, "64.5 W"))


def test_the_broker_goes_away(scene: Scene) -> None:
    """The connection is lost: said with the reason, and numbers are not shown as live."""
    scene.world.broker.stop()
    page = scene.browser
    page.wait_for("document.querySelector('#problems').innerText.includes('no connection')")
    page.wait_for(power_is(ROOF, "unknown"))


def test_the_service_goes_away(scene: Scene) -> None:
    """The page says so, and what is old has no colour."""
    page = scene.browser
    scene.service.stop(signal.SIGTERM)
    page.wait_for("document.querySelector('#verdict').innerText === 'No answer'")
    assert "The service has not answered since" in page.text("#verdict-more")
    looks = "getComputedStyle(document.querySelector('#chargers')).filter"
    assert page.evaluate(looks) == "grayscale(1)"


def test_a_name_is_only_a_name(scene: Scene) -> None:
    """A name is shown as it is, and never runs."""
    scene.gx.set("solarcharger", 277, "CustomName", EVIL)
    page = scene.browser
    page.wait_for(tile_says(ROOF, "onerror"))
    assert page.evaluate("document.title") == "mqtt-http-bridge"
    assert page.evaluate("document.querySelectorAll('img').length") == 0


def test_what_is_injected_does_not_run(scene: Scene) -> None:
    """The policy allows the one script and the one style, and no request elsewhere."""
    page = scene.browser
    page.evaluate(
        "{const s = document.createElement('script'); s.textContent = 'document.title = 1';"
        "document.head.append(s)}"
    )
    assert page.evaluate("document.title") == "mqtt-http-bridge"
    assert page.evaluate("fetch('http://127.0.0.1:9/').then(() => 'went', () => 'held')") == "held"
    assert any("Content Security Policy" in problem for problem in page.problems)


@pytest.mark.parametrize("width", [320, 390])
def test_on_a_phone(scene: Scene, width: int) -> None:
    """Nothing runs over the edge, and the text is large enough to read."""
    scene.gx.set("solarcharger", 277, "CustomName", "AVeryLongNameWithoutAnyBlankInIt" * 3)
    page = scene.browser
    page.size(width, 700, scale=2.0, mobile=True)
    page.wait_for(tile_says(ROOF, "AVeryLong"))
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    sizes = page.evaluate(
        "[...document.querySelectorAll('body *')].filter(e => e.innerText)"
        ".map(e => parseFloat(getComputedStyle(e).fontSize))"
    )
    assert min(sizes) >= 12.0


def test_contrast_in_the_light_and_in_the_dark(scene: Scene) -> None:
    """Both ways every text has a contrast of 4.5 to its ground, as WCAG AA asks."""
    page = scene.browser
    scene.gx.freeze()
    page.wait_for("document.querySelector('#problems').innerText.includes('not heard')")
    grounds = {}
    for scheme in ("light", "dark"):
        page.scheme(scheme)
        grounds[scheme] = luminance(
            page.evaluate("getComputedStyle(document.body).backgroundColor")
        )
        pairs = page.evaluate(TEXTS_AND_GROUNDS)
        assert len(pairs) > 10
        assert [p for p in pairs if contrast(p["ink"], p["ground"]) < 4.5] == []
    assert grounds["dark"] < 0.05
    assert grounds["light"] > 0.8


TEXTS_AND_GROUNDS = """
[...document.querySelectorAll('body *')].filter(e => e.checkVisibility() &&
  [...e.childNodes].some(n => n.nodeType === 3 && n.textContent.trim())).map(e => {
    let g = e;
    while (getComputedStyle(g).backgroundColor === 'rgba(0, 0, 0, 0)') g = g.parentElement;
    return {ink: getComputedStyle(e).color, ground: getComputedStyle(g).backgroundColor,
      text: e.textContent};
  })
"""


def luminance(colour: str) -> float:
    """The relative luminance of `rgb(r, g, b)`."""
    shares = [int(part) / 255 for part in re.findall(r"\d+", colour)[:3]]
    linear = [s / 12.92 if s <= 0.04045 else ((s + 0.055) / 1.055) ** 2.4 for s in shares]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    """From 1 to 21."""
    darker, lighter = sorted((luminance(one), luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)
