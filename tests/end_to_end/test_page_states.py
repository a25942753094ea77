"""Tests the page in every state of a service, in a real browser, for four kinds of people.

What the pictures look like was judged by eye; here it is held that all is there, true, readable and
within the edges. `python -m tests.support.screenshots DIRECTORY` makes the pictures again.
"""

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from mqtt_http_bridge.core.measurement import Measurement
from mqtt_http_bridge.core.status.changes import Change
from mqtt_http_bridge.core.status.history import History
from tests.support import axe
from tests.support import page_states as states
from tests.support.browser import Browser
from tests.support.page_states import State, serving
from tests.support.screenshots import DOCS, make_pictures
from tests.support.sunny_day import history_of

pytestmark = pytest.mark.once  # The page is the same on every Python.

SMALLEST_PX = 12.0
TEXT = "document.body.innerText.replaceAll('\\u202f', ' ')"
SIZES = """
[...document.querySelectorAll('body *')].filter(e => e.checkVisibility() &&
  [...e.childNodes].some(n => n.nodeType === 3 && n.textContent.trim()))
  .map(e => parseFloat(getComputedStyle(e).fontSize))
"""
SHOWN = "document.querySelector('#verdict')?.innerText.startsWith({!r})"


@pytest.fixture(scope="module", autouse=True)
def _quick_and_at_home(browser: Browser) -> None:
    """Has the timers of the page run fast, in the zone of the states."""
    browser.hurry(10.0)
    browser.timezone(states.ZONE)


@pytest.fixture(scope="module")
def judge(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The source of axe-core."""
    return axe.fetch(tmp_path_factory.mktemp("axe"))


def watch(browser: Browser, url: str, state: State) -> None:
    """Opens the page, and waits until it has shown the state."""
    browser.size(1280, 900)
    browser.scheme("light")
    browser.leave()
    browser.go(url)
    browser.wait_for(SHOWN.format("All is well" if state.is_gone else state.verdict))


# --- all states -----------------------------------------------------------------------------------


@pytest.mark.parametrize("make", states.STATES, ids=lambda make: make.__name__)
def test_each_state_in_each_view(make: Callable[[], State], browser: Browser, judge: str) -> None:
    """It says how it is, hides nothing, runs over no edge, and axe-core finds nothing."""
    state = make()
    with serving(state) as served:
        watch(browser, served.url, state)
        if state.is_gone:
            served.server.stop()
            browser.wait_for(SHOWN.format(state.verdict))
        else:
            assert browser.problems == []
        for width, height, scheme in (
            (1280, 900, "light"),
            (390, 844, "dark"),
            (320, 640, "light"),
            (3840, 2160, "dark"),
        ):
            browser.size(width, height, mobile=width < 500)
            browser.scheme(scheme)
            text = browser.evaluate(TEXT)
            assert [t for t in state.shows if t.replace("\u202f", " ") not in text] == []
            assert browser.evaluate("document.documentElement.scrollWidth") <= width
            assert min(browser.evaluate(SIZES)) >= SMALLEST_PX
            if width in (1280, 390):
                assert axe.complaints(browser, judge) == []
        asked = {url for url in browser.requests if url.startswith("http")}
        assert {re.sub(r"[^/]*$", "", url) for url in asked} == {served.url}
        assert browser.evaluate("document.querySelectorAll('main img, main script').length") == 0
        assert browser.evaluate("document.title").endswith("mqtt-http-bridge")


def test_there_are_fourteen_states_at_least() -> None:
    """A test of none would hold."""
    assert len(states.STATES) >= 14


def test_green_never_stands_beside_a_backend_that_does_not_store(browser: Browser) -> None:
    """Neither as a lamp nor as a word, as long as it goes on."""
    state = states.backend_down()
    with serving(state) as served:
        watch(browser, served.url, state)
        green = browser.evaluate(
            "getComputedStyle(document.documentElement).getPropertyValue('--good')"
        )
        browser.evaluate(
            "document.body.append(Object.assign(document.createElement('i'), {id: 'g'}))"
        )
        browser.evaluate(f"document.querySelector('#g').style.color = '{green}'")
        found = browser.evaluate(
            "(g => [...document.querySelectorAll('.lamp, main *')].filter(e => e.checkVisibility()"
            " && !e.closest('#changes') && (getComputedStyle(e).color === g ||"
            " getComputedStyle(e).backgroundColor === g)).length)"
            "(getComputedStyle(document.querySelector('#g')).color)"
        )
        assert found == 0


def test_night_is_calm(browser: Browser) -> None:
    """Nothing asks for action, and a charger that lives on PV power alone may be off the bus."""
    asleep = states.night()
    (barn, south, carport) = asleep.status.relay.sites[0].chargers
    assert carport.report is not None
    off = carport._replace(
        is_on_bus=False,
        report=carport.report._replace(reachable=False, trackers=()),
    )
    asleep.status = states.with_chargers(asleep.status, barn, south, off)
    with serving(asleep) as served:
        watch(browser, served.url, asleep)
        assert browser.evaluate("document.querySelector('#hero').dataset.tone") == "night"
        assert (
            browser.evaluate("document.querySelectorAll('[data-tone=look], .told li').length") == 0
        )


def test_a_start_is_calm(browser: Browser) -> None:
    """A matter of a minute is not red, and nothing is empty below a heading."""
    state = states.starting()
    with serving(state) as served:
        watch(browser, served.url, state)
        edge = "getComputedStyle(document.querySelector('#problems li')).borderLeftColor"
        assert browser.evaluate(edge) == "rgb(90, 102, 117)"
        assert browser.evaluate("document.querySelector('#chargers').hidden")


def test_what_is_parked_is_not_called_stored(browser: Browser) -> None:
    """An outbox in which nothing waits may hold what the backend refuses."""
    state = states.set_aside()
    with serving(state) as served:
        watch(browser, served.url, state)
        assert browser.text("#outbox-says") == "reports of 1 charger are parked"
        assert browser.text("#waiting-more") == "reports of 1 charger are parked"


def test_the_most_is_never_less_than_what_is_now(browser: Browser) -> None:
    """It has the time at which it was; a mean over minutes may be less than the power of now."""
    state, later = states.three_by_day(), states.young()
    said = "document.querySelector('#power-more').innerText.replaceAll('\u202f', ' ')"
    with serving(state) as served:
        watch(browser, served.url, state)
        assert browser.evaluate(said) == "most 7.63 kW at 13:06"
    with serving(later) as served:
        watch(browser, served.url, later)
        assert browser.text("#power").startswith("4.84")
        assert browser.evaluate(said) == ""


# --- what stays -----------------------------------------------------------------------------------


def test_what_is_selected_focused_and_scrolled_to_stays(browser: Browser) -> None:
    """A new document changes texts, not nodes."""
    state = states.three_by_day()
    with serving(state) as served:
        watch(browser, served.url, state)
        browser.size(390, 700, mobile=True)
        browser.evaluate(
            "window.nodes = [...document.querySelectorAll('.tile, .tile *:not(svg *, .tip *)')];"
            "window.serial = [...document.querySelectorAll('dd')]"
            ".find(e => e.textContent === '1234567 HQ2233RS45X');"
            "getSelection().selectAllChildren(serial);"
            "document.querySelector('.tile .plot').focus(); scrollTo(0, 700)"
        )
        top = browser.evaluate("scrollY")
        assert top > 300
        later = states.BARN.report(states.NOON_S)._replace(yield_power_w=777.0)
        (barn, *others) = state.status.relay.sites[0].chargers
        served.state.status = states.with_chargers(
            state.status, barn._replace(report=later), *others
        )
        browser.wait_for("document.querySelector('.tile .power').innerText.startsWith('777')")
        assert browser.evaluate("getSelection().toString()") == "1234567 HQ2233RS45X"
        assert browser.evaluate("document.activeElement.className") == "plot small"
        assert browser.evaluate("scrollY") == top
        assert browser.evaluate("nodes.every(node => node.isConnected)")


def test_what_is_called_the_same_is_shown_once_each(browser: Browser) -> None:
    """However often the page asks: chargers without a name of their own, and trackers."""
    roofs = [
        replace(states.SOUTH, name="SmartSolar"),
        replace(states.BARN, name="SmartSolar", trackers=("Roof", "Roof", "Roof")),
    ]
    state = State(states.plant(states.NOON_S, roofs), history_of(roofs, states.NOON_S).view())
    lists = "['#legend li', '.trackers li'].map(each => document.querySelectorAll(each).length)"
    with serving(state) as served:
        watch(browser, served.url, state)
        for n in range(3):
            served.state.status = state.status._replace(version=f"1.0.{n}")
            browser.wait_for(f"document.querySelector('#about').innerText.includes('1.0.{n}')")
            assert browser.evaluate(lists) == [2, 4]
        told = browser.evaluate(
            "[...document.querySelectorAll('.trackers')][0].innerText.match(/[0-9.]+(?=.V)/g)"
        )
        assert told == ["62.5", "73.8", "85.1"]


def test_what_is_selected_stays_while_others_come_and_go(browser: Browser) -> None:
    """A charger that is back goes to its place, and a change that comes again to the top."""
    state, well = states.lost_charger(), states.three_by_day()
    names = "[...document.querySelectorAll('.tile h4')].map(e => e.innerText).join()"
    with serving(state) as served:
        watch(browser, served.url, state)
        assert browser.evaluate(names) == "Carport,Barn,South roof"
        browser.evaluate(
            "getSelection().selectAllChildren([...document.querySelectorAll('dd')]"
            ".find(e => e.textContent === 'HQ2208AXN7V'));"
            "document.querySelectorAll('.tile .plot')[2].focus()"
        )
        served.state.status = well.status
        browser.wait_for(f"{names} === 'Barn,South roof,Carport'")
        assert browser.evaluate("getSelection().toString()") == "HQ2208AXN7V"
        assert browser.evaluate("document.activeElement.ariaLabel") == "Power of South roof"
        browser.evaluate(
            "getSelection().selectAllChildren(document.querySelector('#changes li:last-child p'))"
        )
        again = replace(states.LAST_NIGHT[4], at=states.at(states.NOON_S).utc.timestamp())
        served.state.changes = [c for c in states.LAST_NIGHT if c.text != again.text] + [again]
        browser.wait_for("document.querySelector('#changes li time').innerText === '14:30'")
        assert browser.evaluate("getSelection().toString()").startswith("the service was started")


def test_a_row_that_is_open_stays_open(browser: Browser) -> None:
    """It is opened from the keyboard, and shows what a tile does."""
    state = states.thirteen()
    with serving(state) as served:
        watch(browser, served.url, state)
        browser.evaluate("document.querySelector('.row summary').focus()")
        browser.press("Enter")
        browser.wait_for("document.querySelector('.row[open] .inside .plot svg path')")
        assert "at the backend" in browser.text(".row[open] .inside")
        served.state.status = state.status._replace(version="1.0.1")
        browser.wait_for("document.querySelector('#about').innerText.includes('1.0.1')")
        assert browser.evaluate("document.querySelectorAll('.row[open]').length") == 1


def test_the_filter(browser: Browser) -> None:
    """It finds by name and by GX, opens what it finds, and says when there is nothing."""
    state = states.many()
    with serving(state) as served:
        watch(browser, served.url, state)
        assert browser.evaluate("document.querySelectorAll('.group[open]').length") == 2
        type_in(browser, "plant HQ22164a")
        browser.wait_for("document.querySelectorAll('.row').length === 1")
        assert "South roof 42" in browser.text(".group[open]")
        assert "4 of 4 producing" in browser.text(".group[open]")
        type_in(browser, "nobody is called so")
        browser.wait_for("!document.querySelector('#none').hidden")
        type_in(browser, "")
        browser.wait_for("document.querySelectorAll('.group').length === 50")
        assert browser.evaluate("document.querySelectorAll('.group[open]').length") == 2


def type_in(browser: Browser, text: str) -> None:
    browser.evaluate(
        f"(e => {{ e.value = {text!r}; e.dispatchEvent(new Event('input')); }})"
        "(document.querySelector('#filter'))"
    )


def test_trouble_comes_first(browser: Browser) -> None:
    """Of the GX devices and of the chargers; and before everything there is what to do about it."""
    state = states.many()
    with serving(state) as served:
        watch(browser, served.url, state)
        names = browser.evaluate(
            "[...document.querySelectorAll('.group h3')].map(e => e.innerText)"
        )
        assert names[:3] == ["Plant 5", "Plant 31", "Plant 1"]
        first = browser.evaluate("document.querySelector('.group .row .name').innerText")
        assert first == "Carport 5"
        order = "[...document.querySelectorAll('main > section')].map(each => each.id)"
        assert browser.evaluate(order) == ["hero", "trouble", "plant", "chargers"]


def test_the_service_comes_back(browser: Browser) -> None:
    """The page that has told of no answer tells the present again, without anybody's help."""
    state = states.three_by_day()
    with serving(state) as served:
        watch(browser, served.url, state)
        served.server.stop()
        browser.wait_for(SHOWN.format("No answer"))
        browser.wait_for("document.body.classList.contains('stale')")
        port = int(served.url.strip("/").rpartition(":")[2])
        with serving(state, port):
            browser.wait_for(SHOWN.format("All is well"))
            assert not browser.evaluate("document.body.classList.contains('stale')")


def test_ages_go_on_while_nobody_answers(browser: Browser) -> None:
    """An age of 3 s when it was told is more now, below the word that all this is old."""
    state = states.three_by_day()
    stored = "parseInt(document.querySelector('#stored').innerText)"
    heard = "parseInt(document.querySelector('.tile').innerText.match(/heard\\s+(\\d+)/)[1])"
    with serving(state) as served:
        watch(browser, served.url, state)
        assert (browser.evaluate(stored), browser.evaluate(heard)) == (3, 1)
        served.server.stop()
        browser.wait_for(SHOWN.format("No answer"))
        browser.wait_for(f"{stored} > 4 && {heard} > 2")
        assert browser.text("#verdict") == "No answer"
        assert browser.evaluate("document.body.classList.contains('stale')")


def test_a_name_from_right_to_left_stays_where_it_stands(browser: Browser) -> None:
    """The rest of the sentence stands to the right of it, as it is read."""
    state, name = states.silent_gx(), "\u0628\u064a\u062a"
    named = state.status.relay.sites[0]._replace(name=name)
    state.status = state.status._replace(relay=state.status.relay._replace(sites=(named,)))
    at = states.at(states.NOON_S).utc.timestamp()
    state.changes = [Change(at, f"{name}: charger 277 is in the place of {name}: 1")]
    places = """
    [...document.querySelectorAll('#problems bdi, #changes bdi, h3 bdi')].map(e => {
      const after = document.createRange();
      after.selectNodeContents(e.nextSibling);
      return [e.textContent, e.nextSibling.textContent && after.getBoundingClientRect().left,
        e.getBoundingClientRect().right - 1];
    })
    """
    with serving(state) as served:
        watch(browser, served.url, state)
        found = browser.evaluate(places)
        assert [each[0] for each in found] == [name] * 3
        lefts = [left for _, left, right in found if left != "" and left >= right]
        assert len(lefts) == 2, found


# --- plots ----------------------------------------------------------------------------------------

PLOT = "document.querySelector('#plant .plot')"


def test_values_under_the_pointer(browser: Browser) -> None:
    """The time, the sum and each charger; nothing once the pointer has left."""
    state = states.three_by_day()
    with serving(state) as served:
        watch(browser, served.url, state)
        box = browser.evaluate(f"{PLOT}.getBoundingClientRect().toJSON()")
        browser.point(box["x"] + box["width"] * 0.9, box["y"] + 50)
        browser.wait_for(f"!{PLOT}.querySelector('.tip').hidden")
        said = browser.text("#plant .tip").replace("\u202f", " ")
        assert re.match(r"12:\d\d\s+\d\.\d\d kW", said), said
        assert all(name in said for name in ("Barn", "South roof", "Carport"))
        browser.point(5, 5)
        browser.wait_for(f"{PLOT}.querySelector('.tip').hidden")


def test_values_by_the_keyboard(browser: Browser) -> None:
    """The arrow keys go from value to value, and what is there is told to who does not see."""
    state = states.three_by_day()
    with serving(state) as served:
        watch(browser, served.url, state)
        told = f"{PLOT}.getAttribute('aria-valuetext').replaceAll('\\u202f', ' ')"
        assert re.match(r"14:\d\d: \d\.\d\d kW", browser.evaluate(told))
        browser.evaluate(f"{PLOT}.focus()")
        browser.press("Home")
        browser.wait_for(f"{told}.startsWith('Sat 20 Jun 14:')")
        browser.press("ArrowRight")
        browser.wait_for(f"{PLOT}.getAttribute('aria-valuenow') === '1'")
        browser.press("Escape")
        browser.wait_for(f"{PLOT}.querySelector('.tip').hidden")


def test_a_gap_is_a_gap(browser: Browser) -> None:
    """The line of a charger that was away for an hour has two parts, and none in between."""
    state = states.three_by_day()
    with serving(state) as served:
        watch(browser, served.url, state)
        line = "document.querySelector('[data-serial=HQ2211CCCC3] .line').getAttribute('d')"
        browser.wait_for("document.querySelector('[data-serial=HQ2211CCCC3] .line')")
        assert browser.evaluate(line).count("M") == 2
        other = "document.querySelector('[data-serial=HQ2208AXN7V] .line').getAttribute('d')"
        assert browser.evaluate(other).count("M") == 1


def test_the_most_is_the_most_that_is_shown(browser: Browser) -> None:
    """The text under the plot tells the top of what is drawn."""
    state = states.one_by_day()
    most = max(state.history.chargers[states.SOUTH.serial].power_w)
    with serving(state) as served:
        watch(browser, served.url, state)
        said = browser.text("#plant .most").replace("\u202f", " ")
        assert said.startswith(f"Most: {most / 1000:.2f} kW at 12:"), said


def test_only_what_is_new_is_asked_for(browser: Browser) -> None:
    """The history is loaded once; then its last minutes, and the plot goes on."""
    history, now_s = History(60), states.NOON_S
    roof = states.SOUTH

    def measure(from_s: float, to_s: float) -> None:
        for seconds in range(int(from_s), int(to_s), 30):
            moment = states.at(seconds)
            history.add(Measurement(moment.utc, states.PORTAL, (roof.report(seconds),)))

    measure(now_s - 1800, now_s)
    state = State(states.plant(now_s, [roof]), history.view())
    with serving(state) as served:
        watch(browser, served.url, state)
        assert browser.evaluate(f"{PLOT}.getAttribute('aria-valuemax')") == "29"
        measure(now_s, now_s + 240)
        later = State(states.plant(now_s + 240, [roof]), history.view())
        later.recent = history.view(is_recent=True)
        served.state = later
        browser.wait_for(f"{PLOT}.getAttribute('aria-valuemax') === '33'")
        asked = [url.rpartition("/")[2] for url in browser.requests]
        assert asked.count("history.json") == 1
        assert "history-recent.json" in asked


def test_the_energy_of_the_day_begins_at_midnight_of_the_browser(browser: Browser) -> None:
    """Another zone has another midnight, and another sum."""
    state = states.one_by_day()
    said = {}
    with serving(state) as served:
        for zone in (states.ZONE, "America/Los_Angeles"):
            browser.timezone(zone)
            watch(browser, served.url, state)
            said[zone] = browser.text("#today").replace("\u202f", " ")
    browser.timezone(states.ZONE)
    report = states.SOUTH.report(states.NOON_S)
    grown_kwh = report.yield_total_kwh - states.SOUTH.total_kwh
    here, there = (float(text.removesuffix(" kWh")) for text in said.values())
    assert abs(here - grown_kwh) < 0.1
    assert there < here - 1.0


def test_the_pictures_of_the_documents_are_made(browser: Browser, tmp_path: Path) -> None:
    """Those that are there are the ones that are made, and none weighs much."""
    make_pictures(browser, tmp_path)
    made = {path.name for path in tmp_path.iterdir()}
    assert made == {path.name for path in DOCS.glob("*.png")}
    for path in (*tmp_path.iterdir(), *DOCS.glob("*.png")):
        assert 10_000 < path.stat().st_size < 150_000, path
