"""What is wrong with a running service, and how to mend it: for the page and the log."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from mqtt_http_bridge.core.chargers import Omission
from mqtt_http_bridge.core.delivery import remedy
from mqtt_http_bridge.core.site import SILENCE_S
from mqtt_http_bridge.core.views import ChargerView, OutboxView, SiteView, StatusView
from mqtt_http_bridge.core.words import span_words

START_S: Final = 30.0
"""What is unknown right after the start is no trouble yet."""

PASSING: Final = (Omission.SETTLING.value, Omission.UNCONFIRMED.value)
"""Reasons to leave a charger out that are over in seconds."""

FIXES: Final = {
    Omission.NUMBERS_UNKNOWN.value: "nothing if the sun is down: some chargers say null at night",
    Omission.SERIAL_UNKNOWN.value: "set its serial under device.serials",
    Omission.GONE_AND_UNKNOWN.value: "plug it in, or restart the service to forget it",
}


@dataclass(frozen=True, slots=True)
class Trouble:
    """One thing that is wrong, and what to do about it."""

    text: str
    fix: str


def is_heard(site: SiteView, now_s: float) -> bool:
    """Whether the GX has spoken lately enough to be measured."""
    return now_s - site.heard_s <= SILENCE_S


def troubles(status: StatusView) -> list[Trouble]:
    """Everything that is wrong, the nearest to the GX first."""
    return [*_of_gx(status), *_of_backend(status), *_of_outbox(status.outbox)]


def _of_gx(status: StatusView) -> Iterator[Trouble]:
    relay, now_s = status.relay, status.now.monotonic_s
    is_starting = now_s - status.started.monotonic_s < START_S
    if not relay.is_connected:
        if relay.trouble or not is_starting:
            yield Trouble(
                f"no connection to the GX's broker: {relay.trouble or 'no answer yet'}",
                "is the GX on, and Settings -> Integrations -> MQTT Access? Run: check",
            )
        return
    if not relay.sites and not is_starting:
        yield Trouble(
            "the broker has told no portal id",
            "wait if the GX is starting up; else set mqtt.host to a GX, or mqtt.portal_id",
        )
    for site in relay.sites:
        if is_heard(site, now_s):
            yield from (t for c in site.chargers for t in _of_charger(c))
        elif not is_starting:
            yield Trouble(
                f"{site.name}: the GX is not heard: not measuring",
                "is it on, and is mqtt.portal_id what Settings -> VRM -> VRM Portal ID shows?",
            )


def _of_charger(charger: ChargerView) -> Iterator[Trouble]:
    if charger.omission and charger.omission not in PASSING:
        text = f"charger {charger.key} is left out of measurements: {charger.omission}"
        yield Trouble(text, FIXES.get(charger.omission, "see the log"))


def _of_backend(status: StatusView) -> Iterator[Trouble]:
    backend = status.backend
    if backend.moment is None or backend.is_taking:
        return
    ago = span_words(status.now.monotonic_s - backend.moment.monotonic_s)
    yield Trouble(
        f"the backend takes nothing: {backend.reason} ({ago} ago)",
        "nothing is lost, it waits in the outbox. If it does not pass by itself, run: check",
    )


def _of_outbox(outbox: OutboxView) -> Iterator[Trouble]:
    for parked in outbox.parked:
        yield Trouble(
            f"{parked.count} reports of {parked.serial} are set aside: {parked.reason}",
            f"{remedy(parked.reason)}, then run: outbox retry",
        )
    if outbox.lost:
        lost, last = sum(loss.count for loss in outbox.lost), outbox.lost[-1]
        yield Trouble(
            f"{lost} measurements were given up, the last of {last.until}: {last.reason}",
            "give the outbox more room (outbox.max_bytes), or mend what keeps the backend away",
        )
    if outbox.damaged:
        yield Trouble(
            f"{outbox.damaged} files in the outbox were no measurements",
            "look at them in the folder damaged of outbox.directory, then remove them",
        )
