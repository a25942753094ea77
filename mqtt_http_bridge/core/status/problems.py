"""Says why a service is not well, and what a person should know besides."""

from collections.abc import Iterator, Sequence
from typing import Final

from mqtt_http_bridge.core.status.problem import Kind, Problem
from mqtt_http_bridge.core.status.reasons import fix_of, named, parked_words
from mqtt_http_bridge.core.status.well import (
    IS_IT_ON,
    Wellness,
    heard_before,
    is_heard,
    limit_s,
    was_heard,
)
from mqtt_http_bridge.core.views import ChargerView, OutboxView, StatusView
from mqtt_http_bridge.core.words import counted, timestamp_words

REMARK_FIX: Final = "look at the charger, its driver and device.serials: run check"


def notes(status: StatusView, found: Wellness) -> list[Problem]:
    """Lists what a person should know even if the service is well."""
    return [*_of_gx(status), *_of_parked(status, found), *_of_outbox(status.outbox)]


def problems(status: StatusView, found: Wellness) -> list[Problem]:
    """Lists everything that is wrong: first why it is not well, `found` at the same moment."""
    return [*found.problems, *notes(status, found)]


def heading(found: Sequence[Problem]) -> tuple[str, str]:
    """Says in front of notes how much is stored: it may be well now, and not all there."""
    kinds = {note.kind for note in found}
    if Kind.LOST in kinds:
        return (
            "Measurements were given up",
            "What is measured now is stored. What was given up is lost.",
        )
    if kinds & {Kind.DISK, Kind.PARKED, Kind.DAMAGED}:
        return "All is well, but look at this", "Every GX is heard and measured."
    return "All is stored, but look at this", "Every GX is heard, measured and stored."


def _of_gx(status: StatusView) -> Iterator[Problem]:
    relay, now_s = status.relay, status.now.monotonic_s
    if not relay.is_connected:
        return
    for site in relay.sites:
        if is_heard(site, now_s):
            yield from (t for c in site.chargers for t in _of_charger(c))
    before = heard_before(status)
    never = [site.name for site in relay.sites if not was_heard(site, before)]
    if never and len(never) < len(relay.sites):
        text = f"{named(never)}: never heard, and not counted until then"
        yield Problem(Kind.GX_NEVER_HEARD, text, IS_IT_ON)


def _of_charger(charger: ChargerView) -> Iterator[Problem]:
    omission = charger.omission
    is_fine = omission is None or omission.is_passing or omission.is_wanted
    if omission and not is_fine and not omission.may_be_night:
        text = f"charger {charger.key} is left out of measurements: {omission.text}"
        yield Problem(Kind.CHARGER_LEFT_OUT, text, omission.remedy, charger.name)
    for remark in charger.remarks:
        if remark.is_trouble:
            text = f"charger {charger.key} {remark.text}"
            yield Problem(Kind.CHARGER_IN_DOUBT, text, REMARK_FIX, charger.name)


def _of_parked(status: StatusView, found: Wellness) -> Iterator[Problem]:
    """Reports what is parked but is not a reason yet."""
    told = {r.serial for gx in found.gx for r in gx.reasons if r.kind is Kind.PARKED}
    for parked in status.outbox.parked:
        is_short = status.now.monotonic_s - parked.since_s <= limit_s(status.interval_s)
        if parked.serial not in told and is_short:
            text = f"{parked_words(parked.reports, parked.serial)}: {parked.reason}"
            subject = status.relay.name_of(parked.serial)
            yield Problem(Kind.PARKED, text, fix_of(parked.remedy), subject)


def _of_outbox(outbox: OutboxView) -> Iterator[Problem]:
    if outbox.fault:
        yield Problem(
            Kind.DISK,
            f"{_in_memory(outbox.in_memory)}: {outbox.fault}",
            "fix the disk of outbox.directory: full, read-only, broken or not ours; what only"
            " memory has is lost if the service ends before that",
        )
    given_up = [loss for loss in outbox.lost if not loss.is_wanted]
    if given_up:
        lost, last = sum(loss.count for loss in given_up), given_up[-1]
        yield Problem(
            Kind.LOST,
            f"{_given_up(lost)}, the last of {timestamp_words(last.until)}: {last.reason}",
            "give the outbox more room (outbox.max_bytes), or find out why the backend did not"
            " store them",
        )
    if outbox.damaged:
        yield Problem(
            Kind.DAMAGED,
            f"{_damaged(outbox.damaged)} found in the outbox",
            "look at them in the folder damaged of outbox.directory, then remove them",
        )


def _in_memory(count: int) -> str:
    return counted(count, "measurement is in memory only", "measurements are in memory only")


def _given_up(count: int) -> str:
    return counted(count, "measurement was given up", "measurements were given up")


def _damaged(count: int) -> str:
    return counted(count, "damaged place was", "damaged places were")
