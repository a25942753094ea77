"""Tests the alerts with Prometheus' own tool: they fire if something is not well, and only then."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

import pytest

from mqtt_http_bridge.core.views import HeardBefore, Loss, RelayView, SiteView, StatusView
from tests.monitoring.prometheus import DIRECTORY, rules, targets
from tests.monitoring.promtool import Story, asked, check, fired, promtool
from tests.monitoring.views import day, night, owing, site, with_everything
from tests.support.extent import IS_LONG
from tests.support.virtual import OTHER_PORTAL, PORTAL, moment

pytestmark = [
    pytest.mark.once,
    pytest.mark.slow,
    pytest.mark.skipif(not IS_LONG, reason="needs promtool: tests/run slow installs it"),
]

HOUR_S = 3600.0
FIRING = 'ALERTS{alertstate="firing"}'
LONG_AGO = moment(-100_000.0)


# --- stories -------------------------------------------------------------------------------------


def well_since(t_s: float) -> StatusView:
    """A service that has long been well."""
    return day(LONG_AGO, moment(t_s))


def starting(t_s: float, started_s: float, *, boots_s: float = 20.0) -> StatusView:
    """A service that has started, is connected after 20 s, and hears its GX after `boots_s`."""
    started, now = moment(started_s), moment(t_s)
    age_s = t_s - started_s
    status = day(started, now)
    before = (HeardBefore(PORTAL, "barn", moment(started_s - 60.0).utc.timestamp()),)
    if age_s < 20.0:
        return status._replace(relay=RelayView(now), heard_before=before)
    if age_s < boots_s:
        silent = SiteView(PORTAL, "barn", -float("inf"), ())
        return status._replace(relay=status.relay._replace(sites=(silent,)), heard_before=before)
    return status


def through_the_night(t_s: float) -> StatusView:
    """Dusk after an hour, dawn after eleven."""
    if HOUR_S < t_s < 11 * HOUR_S:
        return night(LONG_AGO, moment(t_s), moment(HOUR_S))
    return well_since(t_s)


def a_start(t_s: float) -> StatusView:
    """The first one that Prometheus sees."""
    return starting(t_s, -1.0)


def a_start_without_a_clock(t_s: float) -> StatusView:
    """Nothing is sent for ten minutes, as the clock is not to be trusted."""
    status = starting(t_s, -1.0)
    return owing(status, PORTAL, moment(30.0)) if 30.0 < t_s <= 660.0 else status


def an_upgrade(t_s: float) -> StatusView | None:
    """After an hour, one minute without an answer; then a new process."""
    if t_s < HOUR_S:
        return well_since(t_s)
    return starting(t_s, HOUR_S + 60.0) if t_s >= HOUR_S + 60.0 else None


def an_upgrade_that_is_taken_back(t_s: float) -> StatusView | None:
    """The new version ends after a minute, and the one before is back."""
    back_s = HOUR_S + 150.0
    if HOUR_S + 120.0 <= t_s < back_s:
        return None
    return starting(t_s, back_s) if t_s >= back_s else an_upgrade(t_s)


def a_new_firmware(t_s: float) -> StatusView:
    """The GX is silent for ten minutes."""
    if HOUR_S <= t_s < HOUR_S + 600.0:
        now = moment(t_s)
        return day(LONG_AGO, now, site(now, silent_s=t_s - HOUR_S + 5.0))
    return well_since(t_s)


def a_new_firmware_under_the_relay(t_s: float) -> StatusView | None:
    """The relay runs on the GX: it is away for ten minutes, and waits for the GX after it."""
    if t_s < HOUR_S:
        return well_since(t_s)
    return starting(t_s, HOUR_S + 600.0, boots_s=90.0) if t_s >= HOUR_S + 600.0 else None


def no_backend(t_s: float) -> StatusView:
    """From the tenth minute on."""
    status = well_since(t_s)
    return owing(status, PORTAL, moment(600.0)) if t_s >= 600.0 else status


def no_backend_since_dusk(t_s: float) -> StatusView:
    """Makes a state in which what was measured last waits through the night."""
    if t_s < 600.0:
        return well_since(t_s)
    return owing(night(LONG_AGO, moment(t_s), moment(600.0)), PORTAL, moment(600.0))


def one_of_two_is_silent(t_s: float) -> StatusView:
    """The second one, from the tenth minute on."""
    now = moment(t_s)
    silent = site(now, OTHER_PORTAL, silent_s=max(0.0, t_s - 600.0))
    return day(LONG_AGO, now, site(now), silent)


def nobody_is_heard(t_s: float) -> StatusView:
    """No GX, from the start on."""
    now = moment(t_s)
    status = day(moment(-1.0), now, SiteView(PORTAL, "barn", -float("inf"), ()))
    return status._replace(backend=status.backend._replace(gx=MappingProxyType({})))


def gone(t_s: float) -> StatusView | None:
    """From the tenth minute on."""
    return well_since(t_s) if t_s < 600.0 else None


def restarting(t_s: float) -> StatusView | None:
    """From the tenth minute on: a minute of trying, and a minute of pause, over and over."""
    if t_s < 600.0:
        return well_since(t_s)
    round_s = (t_s - 600.0) % 120.0
    return starting(t_s, t_s - round_s - 1.0, boots_s=999.0) if round_s < 60.0 else None


def by_turns(t_s: float) -> StatusView:
    """Four minutes without the GX, four minutes with it."""
    if t_s % 480.0 >= 240.0:
        return well_since(t_s)._replace(relay=RelayView(moment(t_s)))
    return well_since(t_s)


def filling_up(t_s: float) -> StatusView:
    """Nothing is stored, and the room runs out after eight hours."""
    status = owing(well_since(t_s), PORTAL, moment(0.0))
    return status._replace(outbox=status.outbox._replace(hours_of_room=8.0 - t_s / HOUR_S))


def little_room(t_s: float) -> StatusView:
    """So many GX devices that there is room for three hours, and all is stored."""
    status = well_since(t_s)
    return status._replace(outbox=status.outbox._replace(hours_of_room=3.0))


def in_memory(t_s: float) -> StatusView:
    """From the tenth minute on the disk refuses; the backend has yet to take the newest."""
    status = well_since(t_s)
    return status._replace(outbox=status.outbox._replace(in_memory=int(t_s >= 600.0)))


def in_memory_for_a_moment(t_s: float) -> StatusView:
    """Makes a state in which the newest is not on disk yet each second time Prometheus looks."""
    status = well_since(t_s)
    return status._replace(outbox=status.outbox._replace(in_memory=int(t_s % 60.0 == 0.0)))


def with_losses(status: StatusView, count: int) -> StatusView:
    """The same, with so many measurements given up."""
    loss = Loss(count, "2026-01-01T00:00:00Z", "2026-01-01T01:00:00Z", ("no room",))
    return status._replace(outbox=status.outbox._replace(lost=(loss,)))


def losing(t_s: float) -> StatusView:
    """Two are given up in the tenth minute, beside those that were long ago."""
    return with_losses(well_since(t_s), 7 if t_s >= 600.0 else 5)


def lost_long_ago(t_s: float) -> StatusView | None:
    """Known from the disk at once after an upgrade."""
    status = an_upgrade(t_s)
    return with_losses(status, 5) if status is not None else None


# --- what is silent ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("story", "hours"),
    [
        (through_the_night, 13),
        (a_start, 2),
        (a_start_without_a_clock, 2),
        (an_upgrade, 3),
        (an_upgrade_that_is_taken_back, 3),
        (a_new_firmware, 3),
        (a_new_firmware_under_the_relay, 3),
        (little_room, 2),
        (in_memory_for_a_moment, 2),
        (lost_long_ago, 3),
    ],
    ids=lambda found: getattr(found, "__name__", None),
)
def test_silent(story: Story, hours: int, tmp_path: Path) -> None:
    """Nothing fires at any time."""
    whole = f"group by (alertname) (count_over_time({FIRING}[{hours}h]))"
    check(tmp_path, story, hours * 60, expressions=[asked(whole, hours * 60)])


# --- what fires ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Alarm:
    """A story, and the alerts of it: none by the one minute, and these by the other."""

    story: Story
    silent_min: int
    firing_min: int
    alerts: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """The portal ids by alert, or an empty text for the relay."""


NOT_WELL = {"MqttHttpBridgeNotWell": ("",)}
GX_NOT_WELL = NOT_WELL | {"MqttHttpBridgeGxNotWell": (PORTAL,)}
ALARMS = [
    Alarm(no_backend, 27, 35, GX_NOT_WELL),
    Alarm(no_backend_since_dusk, 27, 600, GX_NOT_WELL),
    Alarm(one_of_two_is_silent, 27, 35, NOT_WELL | {"MqttHttpBridgeGxNotWell": (OTHER_PORTAL,)}),
    Alarm(nobody_is_heard, 14, 21, NOT_WELL),
    Alarm(gone, 24, 26, {"MqttHttpBridgeDown": ("",)}),
    Alarm(restarting, 15, 40, GX_NOT_WELL | {"MqttHttpBridgeRestarts": ("",)}),
    Alarm(by_turns, 70, 120, {"MqttHttpBridgeComesAndGoes": ("",)}),
    Alarm(filling_up, 10, 150, GX_NOT_WELL | {"MqttHttpBridgeOutboxFillsUp": ("",)}),
    Alarm(in_memory, 28, 31, {"MqttHttpBridgeMemoryAlone": ("",)}),
    Alarm(losing, 9, 12, {"MqttHttpBridgeLost": ("",)}),
]


@pytest.mark.parametrize("alarm", ALARMS, ids=lambda alarm: alarm.story.__name__)
def test_alarm(alarm: Alarm, tmp_path: Path) -> None:
    """Those fire that should, once it has lasted, with the right labels and words; no others do."""
    expected = [
        fired(rule["alert"], alarm.firing_min, *alarm.alerts.get(rule["alert"], ()))
        for rule in rules()
    ]
    before = [asked(FIRING, alarm.silent_min)]
    check(tmp_path, alarm.story, alarm.firing_min, expected, before)


def test_every_alert_is_tried() -> None:
    """No alert was forgotten here."""
    assert {name for alarm in ALARMS for name in alarm.alerts} == {
        rule["alert"] for rule in rules()
    }


def test_it_is_silent_again(tmp_path: Path) -> None:
    """Minutes after it is well again."""

    def story(t_s: float) -> StatusView:
        return no_backend(t_s) if t_s < HOUR_S else well_since(t_s)

    check(tmp_path, story, 65, [fired("MqttHttpBridgeNotWell", 59, "")], [asked(FIRING, 62)])


# --- the files -----------------------------------------------------------------------------------


def test_the_config_is_good() -> None:
    """Prometheus accepts it."""
    promtool("check", "config", str(DIRECTORY / "prometheus.yaml"))


@pytest.mark.parametrize("expression", [expression for expression, _ in targets()])
def test_every_panel_shows_something(expression: str, tmp_path: Path) -> None:
    """Its expression is PromQL, and finds something of a service with something to tell."""

    def story(t_s: float) -> StatusView:
        return with_everything(LONG_AGO, moment(t_s))

    filled = re.sub(r'"\$\w+"', '".+"', expression).replace("$__rate_interval", "5m")
    check(tmp_path, story, 10, expressions=[asked(f"group({filled})", 10, "{}")])
