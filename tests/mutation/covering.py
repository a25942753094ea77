"""Says which tests should notice a fault in which module."""

from pathlib import Path
from typing import Final

from tests.support.places import CHECKOUT

PACKAGE: Final = "mqtt_http_bridge"
AREAS: Final = (
    *("core", "adapters/outbox", "adapters/clock", "adapters/thread_start"),
    *("app/asker", "app/dispatcher", "app/listen", "app/record"),
)
"""The code that mutants are made of, packages and modules: what decides, and what keeps and hands
out measurements; what tells the time and starts threads; what people are shown and send in."""

_DELIVERY: Final = (
    "core/test_suspects.py core/test_exchange.py core/test_holds.py core/test_plan.py"
    " app/test_delivery.py app/test_senders.py app/test_every_answer.py"
)
_RELAY: Final = (
    "core/test_relay.py core/test_site.py core/test_freshness.py core/test_charger.py"
    " core/test_device_report.py core/test_connection.py core/test_keepalives.py"
    " core/test_portals.py core/test_deadlines.py core/test_lost_chargers.py core/test_serials.py"
    " core/test_site_chargers.py core/test_standstill.py core/test_units.py"
    " core/test_charger_log.py core/test_recordings_golden.py core/test_cases.py"
)
_OUTBOX: Final = (
    "adapters/outbox/test_index.py adapters/outbox/test_records.py adapters/outbox/test_room.py"
    " adapters/outbox/test_outbox.py adapters/outbox/test_sending.py adapters/outbox/test_clock.py"
    " adapters/outbox/test_made_up_lines.py adapters/outbox/test_unreadable_segments.py"
    " adapters/outbox/test_disk_that_refuses.py adapters/outbox/test_disk_waits.py"
    " adapters/outbox/test_bounds.py adapters/outbox/test_reading.py"
    " adapters/outbox/test_segments.py adapters/outbox/test_cleaning.py"
    " adapters/outbox/test_damage.py adapters/outbox/test_inspection.py"
    " adapters/outbox/test_disk_faults.py adapters/outbox/test_faults.py"
    " adapters/outbox/test_power.py adapters/outbox/test_kill.py"
    " adapters/outbox/test_power_cut.py"
)
_READING: Final = (
    "adapters/outbox/test_unreadable_segments.py adapters/outbox/test_made_up_lines.py"
    " adapters/outbox/test_inspection.py adapters/outbox/test_damage.py"
    " adapters/outbox/test_clock.py adapters/outbox/test_disk_faults.py"
)
_SEGMENTS: Final = (
    "adapters/outbox/test_unreadable_segments.py adapters/outbox/test_bounds.py"
    " adapters/outbox/test_disk_that_refuses.py adapters/outbox/test_disk_faults.py"
    " adapters/outbox/test_sending.py adapters/outbox/test_outbox.py"
    " adapters/outbox/test_damage.py adapters/outbox/test_power.py"
)
_CLEANING: Final = (
    "adapters/outbox/test_bounds.py adapters/outbox/test_unreadable_segments.py"
    " adapters/outbox/test_disk_that_refuses.py adapters/outbox/test_sending.py"
    " adapters/outbox/test_clock.py adapters/outbox/test_outbox.py adapters/outbox/test_power.py"
)
_BACKEND: Final = (
    "core/test_verdict.py core/test_stored_text.py core/test_body.py app/test_every_answer.py"
)
_VENUS: Final = (
    "core/test_topics.py core/test_payloads.py core/test_paths.py core/test_readings.py"
    " core/test_superseded.py core/test_keepalive.py"
)
_STATUS: Final = (
    "core/test_problems.py core/test_state_file.py core/test_periodic_log.py app/test_check.py"
    " app/test_show_status.py end_to_end/test_status_page.py"
)
_TESTS: Final = {
    "core/delivery": _DELIVERY,
    "core/relay": _RELAY,
    "core/solar_backend": _BACKEND,
    "core/venus": f"{_VENUS} {_RELAY}",
    "core/status": _STATUS,
    "adapters/outbox": _OUTBOX,
    "adapters/outbox/reading": _READING,
    "adapters/outbox/segments": _SEGMENTS,
    "adapters/outbox/cleaning": _CLEANING,
    "adapters/clock": "adapters/test_clock.py",
    "adapters/thread_start": "app/test_short_of_memory.py",
    "app/asker": "app/test_relay_observer.py",
    "app/dispatcher": "app/test_senders.py app/test_every_answer.py app/test_delivery.py",
    "app/listen": "app/test_discover.py app/test_check.py app/test_check_bridges.py",
    "app/record": "app/test_record.py end_to_end/test_verbs.py",
    "core": f"{_RELAY} {_DELIVERY} {_STATUS}",
}
"""By the longest beginning of the module's path; the tests that notice most come first."""
SLOW: Final = (
    "test_killed_at_random",
    "test_with_any_limit_it_runs_or_says_why_not",
    "test_a_flip_of_every_byte",
    "test_a_cut_at_every_byte",
    "test_one_refused_device_of_sixty_gx_devices_for_a_week",
    "test_power_loss_between_any_two_calls",
    "test_requests_are_seen_within_five_seconds",
    "test_a_drain_without_new_entries_is_flushed",
    "test_the_only_gx_is_never_forgotten",
    "test_a_broker_that_flaps_for_a_month_is_told_of_a_few_times_a_day",
    "test_10_000_measurements_are_exactly_one_interval_apart",
    "test_each_call_of_a_life_fails",
)
"""Tests that only those mutants meet that got past all others."""


def modules(names: list[str]) -> list[str]:
    """Gives the modules below these names, as paths in the package; all if there are no names."""
    package = CHECKOUT / PACKAGE
    found = sorted(
        path.relative_to(package).with_suffix("").as_posix()
        for area in AREAS
        for path in [*package.glob(f"{area}.py"), *(package / area).rglob("*.py")]
    )
    wanted = [_path(name) for name in names] or [""]
    chosen = [m for m in found if any(m == w or m.startswith(w and f"{w}/") for w in wanted)]
    if not chosen:
        raise SystemExit(f"expected modules below {' and '.join(AREAS)}, found {' '.join(names)}")
    return chosen


def _path(name: str) -> str:
    path = name.removesuffix(".py").replace(".", "/").strip("/")
    return path.removeprefix(f"{PACKAGE}/")


def file_of(module: str) -> Path:
    """Gives the path of a module below the root of the repository."""
    return Path(PACKAGE) / f"{module}.py"


def own_tests(module: str) -> list[str]:
    """Gives the test files that bear the name of a module: they notice most."""
    parts = module.split("/")
    found = sorted((CHECKOUT / "tests" / parts[0]).rglob(f"test_{parts[-1]}.py"))
    return [path.relative_to(CHECKOUT).as_posix() for path in found]


def other_tests(module: str) -> list[str]:
    """Gives the other test files that cover a module."""
    parts = module.split("/")
    prefixes = ("/".join(parts[:end]) for end in range(len(parts), 0, -1))
    files = next(_TESTS[prefix].split() for prefix in prefixes if prefix in _TESTS)
    own = own_tests(module)
    return [name for name in dict.fromkeys(f"tests/{name}" for name in files) if name not in own]
