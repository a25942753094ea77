"""Tests inputs that once went wrong, replayed through the real core.

The shapes are those of real drivers and installations, the values are made up. The echoes in some
files fit no request; then the warm-up lasts its 10 s, and what is right is right all the same.
"""

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import pytest

from mqtt_http_bridge.adapters.recording import read_recording
from mqtt_http_bridge.app.log import write_log
from mqtt_http_bridge.app.replay import play
from mqtt_http_bridge.core import config_schema
from mqtt_http_bridge.core.commands import Publish, Store
from mqtt_http_bridge.core.config_settings import settings_from
from mqtt_http_bridge.core.log import Log
from mqtt_http_bridge.core.measurement import DeviceReport, TrackerReport
from mqtt_http_bridge.core.relay.relay import Relay
from mqtt_http_bridge.core.solar_backend.body import to_body
from mqtt_http_bridge.core.status import findings
from mqtt_http_bridge.core.status.findings import Finding
from mqtt_http_bridge.demo import contract
from tests.support.places import CASES
from tests.support.virtual import is_full

CONFIGS: Mapping[str, Mapping[str, Any]] = {
    "moved_to_another_gx": {"mqtt": {"portal_id": ["c0619ab0aaaa", "c0619ab0bbbb"]}},
    "only_tracker_disabled": {"mqtt": {"services": ["solarcharger", "inverter"]}},
    "placeholder_serials": {"device": {"serials": {30: "LEFT-1", 31: "RIGHT-2"}}},
    "serials_key_without_service": {
        "mqtt": {"services": ["solarcharger", "multi"]},
        "device": {"serials": {"solarcharger/0": "A", "multi/0": "B"}},
    },
}
"""The config of each file that needs one."""


@dataclass(frozen=True)
class Reported:
    """A device report, and when it was made."""

    at_s: float
    gx: str
    device: DeviceReport
    heard_s: float
    """`last_update` in seconds since the recording started, to the second."""


@dataclass
class Outcome:
    """The outcome of a file."""

    reports: list[Reported] = field(default_factory=list)
    measurements: int = 0
    log: list[tuple[float, str, str]] = field(default_factory=list)
    """The time, the level, the text."""
    requests_s: list[float] = field(default_factory=list)
    """The time when everything was asked for."""
    findings: list[Finding] = field(default_factory=list)
    """The words of `check` on the chargers at the end."""

    def between(self, from_s: float, to_s: float) -> list[Reported]:
        """The reports of a part of the time."""
        return [each for each in self.reports if from_s <= each.at_s < to_s]

    def warnings(self) -> list[str]:
        """The warnings in the log."""
        return [text for _, level, text in self.log if level == "WARNING"]


@cache
def outcome_of(name: str) -> Outcome:
    """Plays the file `name` with its config."""
    values = config_schema.read_document(dict(CONFIGS.get(name, {})))
    values["outbox.directory"] = ""
    settings = settings_from(values, needs_backend=False)
    relay, found, moment = Relay(settings), Outcome(), None
    for moment, commands in play(relay, read_recording(CASES / f"{name}.jsonl")):
        started_unix_s = moment.utc.timestamp() - moment.monotonic_s
        for command in commands:
            match command:
                case Store(measurement):
                    assert contract.faults(contract.decode(to_body(measurement))) == []
                    found.measurements += 1
                    found.reports += [
                        Reported(
                            moment.monotonic_s,
                            measurement.cerbo_serial,
                            device,
                            device.last_update_s - started_unix_s,
                        )
                        for device in measurement.devices
                    ]
                case Log(level, text):
                    found.log.append((moment.monotonic_s, level, text))
                case Publish() as publish if is_full(publish):
                    found.requests_s.append(moment.monotonic_s)
    assert moment is not None
    for site in relay.view(moment).sites:
        found.findings += findings.chargers(site.chargers, settings.mqtt.services)
    return found


def only(reports: list[Reported]) -> set[tuple[str, float]]:
    """Serial and power of what was reported, which there must be."""
    assert reports
    return {(each.device.serial, each.device.yield_power_w) for each in reports}


def test_every_case_has_a_test() -> None:
    """A file that is added is not forgotten."""
    tests = {name.removeprefix("test_case_") for name in globals() if name.startswith("test_case_")}
    assert {path.stem for path in CASES.glob("*.jsonl")} == tests
    assert CONFIGS.keys() <= tests


def test_case_connected0_frozen_power() -> None:
    """The driver loses its charger at 40 s: no power from then on, whatever it goes on saying."""
    found = outcome_of("connected0_frozen_power")
    assert only(found.between(0, 40)) == {("RB-0001", 95.0)}
    assert found.between(40, 100) == []
    lost = found.between(100, 400)
    assert only(lost) == {("RB-0001", 0.0)}
    for each in lost:
        device = each.device
        assert (device.reachable, device.producing, device.trackers) == (False, False, ())
        assert (device.yield_total_kwh, each.heard_s) == (311.0, 40.0)
    assert lost[-1].at_s > 300.0


def test_case_one_tracker_under_pv0() -> None:
    """It has one tracker, and tells its voltage where others tell the first of several."""
    found = outcome_of("one_tracker_under_pv0")
    assert found.reports
    for each in found.reports:
        assert each.device.trackers == (TrackerReport(0, "PV", 118.4, 842.3),)


def test_case_two_units_one_instance() -> None:
    """Nobody can tell whose a number is: none is reported, and the GX is not asked in vain."""
    found = outcome_of("two_units_one_instance")
    assert found.reports == []
    (warning,) = found.warnings()
    for word in ("solarcharger/290", "SN-AAAA", "SN-BBBB"):
        assert word in warning
    # Of the connection, of what looked like a swap, and once more: none a minute from then on.
    assert len(found.requests_s) <= 3


def test_case_two_units_both_leave() -> None:
    """Neither is reported as lost: the last serial was one's, the last total the other's."""
    found = outcome_of("two_units_both_leave")
    assert found.measurements == 0
    assert "lost" in found.log[-1][2]
    assert found.log[-1][0] > 100.0


def test_case_placeholder_serials() -> None:
    """A setting beats what the device tells, which is the same for both."""
    found = outcome_of("placeholder_serials")
    assert only(found.reports) == {("LEFT-1", 55.0), ("RIGHT-2", 33.0)}
    told = [text for _, _, text in found.log if "reports the serial unknown" in text]
    assert len(told) == 2
    assert any("LEFT-1" in text for text in told)


def test_case_retained_charger_gx_alive() -> None:
    """A message that a mirror keeps is no sign that the charger is there."""
    found = outcome_of("retained_charger_gx_alive")
    assert found.measurements == 0
    assert found.warnings() == []


def test_case_never_says_a_total() -> None:
    """The one number that is missing is named, and night is no explanation: there is power."""
    found = outcome_of("never_says_a_total")
    assert found.reports == []
    (warning,) = found.warnings()
    assert "total yield is unknown: /Yield/System was never reported by this driver" in warning
    assert "power" not in warning
    (finding,) = found.findings
    assert "/Yield/System" in finding.text
    assert "sun" not in finding.fix


def test_case_total_with_a_unit() -> None:
    """The log says what was found, and where."""
    found = outcome_of("total_with_a_unit")
    assert found.reports == []
    (warning,) = found.warnings()
    assert "/Yield/System is the text '154.3kwh'" in warning


def test_case_only_tracker_disabled() -> None:
    """The charger is reported, its only tracker is not."""
    found = outcome_of("only_tracker_disabled")
    assert only(found.reports) == {("0123456 HQ2300TEST1", 0.0)}
    assert {each.device.trackers for each in found.reports} == {()}


def test_case_newline_in_log(caplog: pytest.LogCaptureFixture) -> None:
    """A device cannot forge a line: what it says stays in its own, and can be seen."""
    caplog.set_level(logging.INFO)
    for _, _, text in outcome_of("newline_in_log").log:
        write_log(Log.info(text))
    (line,) = [record.getMessage() for record in caplog.records if "HQ1" in record.getMessage()]
    assert "\n" not in line
    assert r"HQ1\nERROR outbox: forged line" in line
    assert r"Prod\nWARNING forged too" in line


def test_case_serials_key_without_service() -> None:
    """The exact keys tell the two apart, and each has its own values."""
    found = outcome_of("serials_key_without_service")
    assert only(found.reports) == {("A", 512.0), ("B", 500.0)}
    volts = {e.device.serial: [t.voltage_v for t in e.device.trackers] for e in found.reports}
    assert volts == {"A": [92.5], "B": [201.5, 188.0]}


def test_case_moved_to_another_gx() -> None:
    """Its old place is reported neither beside the new one nor after it."""
    found = outcome_of("moved_to_another_gx")
    assert {each.gx for each in found.between(0, 70)} == {"c0619ab0aaaa"}
    later = found.between(80.1, 300)
    assert {each.gx for each in later} == {"c0619ab0bbbb"}
    assert only(later) == {("HQMOVED", 500.0)}
    assert found.between(70.1, 80) == []


def test_case_two_trackers_one_unknown() -> None:
    """One of two is unknown: it is left out, and the other does not get the whole power."""
    found = outcome_of("two_trackers_one_unknown")
    assert found.reports
    for each in found.reports:
        assert each.device.trackers == (TrackerReport(0, "East", 210.5, 300.0),)


def test_case_back_with_old_numbers() -> None:
    """Within reach again, a number is known once it is said again: nothing of 900 W then."""
    found = outcome_of("back_with_old_numbers")
    assert {each.device.yield_power_w for each in found.between(0, 40)} <= set(hundreds())
    assert only(found.between(100, 200)) == {("RB-0002", 0.0)}
    assert {each.heard_s for each in found.between(100, 200)} == {40.0}
    assert found.between(200, 225) == []
    back = found.between(226, 300)
    assert {each.device.yield_power_w for each in back} <= {8.0, 9.0}
    assert {each.device.yield_total_kwh for each in back} == {88.9}


def hundreds() -> Iterator[float]:
    """The powers of that charger in the sun."""
    return (900.0 + number for number in range(5))


def test_case_blink_over_a_beat() -> None:
    """Gone for 5 s: no report of 0 W is stored for it."""
    found = outcome_of("blink_over_a_beat")
    assert found.between(0, 38.5)
    assert found.between(43.5, 130)
    assert found.between(38.5, 43.5) == []
    assert {each.device.reachable for each in found.reports} == {True}
    assert {each.device.yield_power_w for each in found.reports} <= {
        500.0 + number for number in range(5)
    }
