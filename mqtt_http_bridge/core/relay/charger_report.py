"""Reports a charger at a moment, as far as that can be done truthfully, or says why not.

docs/gx.md has the same as a table.
"""

from math import floor
from typing import Final

from mqtt_http_bridge.core.events import NEVER, Moment
from mqtt_http_bridge.core.measurement import DeviceReport
from mqtt_http_bridge.core.omission import Cause, Omission
from mqtt_http_bridge.core.relay import device_report as reports
from mqtt_http_bridge.core.relay.charger import SETTLING_S, Charger
from mqtt_http_bridge.core.relay.presence import Presence
from mqtt_http_bridge.core.venus.paths import SERIAL, YIELD_POWER, YIELD_TOTAL, Row
from mqtt_http_bridge.core.venus.payloads import Sayings
from mqtt_http_bridge.core.words import time_words

LEFT_OUT_S: Final = 60.0
"""Seconds during which a lost charger is left out, not reported as off: it may soon be back."""


def report(
    charger: Charger,
    now: Moment,
    *,
    drop_frozen_after_s: float | None = None,
    seen_s: float = NEVER,
) -> DeviceReport | Omission:
    """Returns the report of `charger` at `now`, or why there is none.

    `seen_s`, if it is earlier: the last time that its GX was heard.
    """
    if charger.units.rivals:
        serials = " and ".join(sorted(charger.units.rivals))
        return Omission(Cause.TWO_UNITS, found=serials, subject=serials)
    match charger.presence:
        case Presence.UNCONFIRMED:
            return Omission(Cause.UNCONFIRMED)
        case Presence.LOST:
            return _of_loss(charger, now)
        case Presence.ON_BUS:
            frozen = _frozen(charger, now, drop_frozen_after_s, seen_s)
            return frozen or _of_presence(charger, now)


def _of_presence(charger: Charger, now: Moment) -> DeviceReport | Omission:
    told, serial = charger.sayings, charger.serial
    numbers, product_name = reports.numbers(told), reports.product_name(told)
    is_nameless = serial is None or product_name is None
    is_unknown = is_nameless or isinstance(numbers, Omission)
    if is_unknown and now.monotonic_s < charger.appeared_s + SETTLING_S:
        return Omission(Cause.SETTLING)
    if charger.units.is_swap_unsettled:
        # Values that came before its serial may have been taken for those of the other unit.
        return Omission(Cause.SERIAL_CHANGED)
    if not charger.is_established and _is_to_tell_more(told, serial):
        return Omission(Cause.SETTLING)
    if isinstance(numbers, Omission):
        return numbers
    if serial is None:
        return Omission(Cause.SERIAL_UNKNOWN)
    return DeviceReport(
        device_instance=charger.key.instance,
        serial=serial,
        name=reports.display_name(told, charger.key.instance),
        product_name=product_name or "Unknown",
        reachable=True,
        producing=reports.is_producing(told, numbers.yield_power_w),
        last_update_s=_unix_s(now, charger.heard_s),
        yield_power_w=numbers.yield_power_w,
        yield_total_kwh=numbers.yield_total_kwh,
        trackers=reports.trackers(
            told, numbers.yield_power_w, are_several=charger.has_several_trackers
        ),
    )


def _is_to_tell_more(told: Sayings, serial: str | None) -> bool:
    """Tells whether there is something that it has not said yet and may still say."""
    needed: tuple[Row, ...] = (YIELD_POWER, YIELD_TOTAL, *(() if serial else (SERIAL,)))
    return not all(path.name in told for path in needed)


def _of_loss(charger: Charger, now: Moment) -> DeviceReport | Omission:
    if now.monotonic_s < charger.lost_s + LEFT_OUT_S:
        return Omission(Cause.JUST_LOST)
    words = charger.last_words
    if words is None:
        return Omission(Cause.LOST_AND_UNKNOWN)
    return DeviceReport(
        device_instance=charger.key.instance,
        serial=words.serial,
        name=words.name,
        product_name=words.product_name,
        reachable=False,
        producing=False,
        last_update_s=_unix_s(now, words.heard_s),
        yield_power_w=0.0,
        yield_total_kwh=words.yield_total_kwh,
        trackers=(),
    )


def _frozen(charger: Charger, now: Moment, after_s: float | None, seen_s: float) -> Omission | None:
    """Returns the reason to leave it out for standing still; None if there is none."""
    seen_s = min(now.monotonic_s, seen_s)
    since_s = charger.still_since_s(seen_s)
    if since_s is None or after_s is None or seen_s < since_s + after_s:
        return None
    return Omission(Cause.STANDS_STILL, found=standstill_words(now, since_s))


def standstill_words(now: Moment, since_s: float) -> str:
    """Says in words since when a charger's values have not changed."""
    return f"has been stuck since {time_words(now.at(since_s).utc)}: no value changes"


def _unix_s(now: Moment, monotonic_s: float) -> int:
    return floor(now.at(monotonic_s).utc.timestamp())
