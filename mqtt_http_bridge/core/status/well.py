"""Decides whether all is well, and if not, why: the single answer that everything else uses.

A GX is well if

- it is heard now: there is a connection, and it has spoken in the last minute;
- a measurement was made within two intervals; having no charger to report is mentioned, but fine;
- the newest measurement is stored at the backend, all of it. One that was just made is on its way,
  for two intervals at most; once the backend has answered, the answer counts;
- nothing of it has been unsettled for longer than the larger of three intervals and two minutes:
  neither what waits nor what is parked for a person to fix.

A GX that was never heard does not count. One that was heard counts until it leaves the config or is
forgotten, also after a restart; so does what the outbox holds of one that is gone. The service is
well if all that count are well, and at least one of them is heard.
"""

from collections.abc import Collection, Iterator, Sequence
from typing import Final, NamedTuple

from mqtt_http_bridge.core.broker_failure import REFUSAL_REMEDY, refusal_text
from mqtt_http_bridge.core.events import NEVER
from mqtt_http_bridge.core.relay.portals import DAY_S
from mqtt_http_bridge.core.relay.site import SILENCE_S
from mqtt_http_bridge.core.status.problem import Kind, Problem
from mqtt_http_bridge.core.status.reasons import Reason, fix_of, named, problem_of, together
from mqtt_http_bridge.core.views import GxDelivery, GxOwed, SiteView, StatusView
from mqtt_http_bridge.core.words import span_words

SITES_A_SECOND: Final = 50
"""The most GX devices to look at per second: with many of them, it looks less often."""
LOOK_EVERY_S: Final = 1.0
START_S: Final = 30.0
"""Seconds after the start in which missing information counts as unknown, not as a fault."""
LEAST_PATIENCE_S: Final = 10.0
"""The least seconds before a measurement or an answer counts as missing, however short the
interval."""
UNSETTLED_S: Final = 120.0
NO_CHARGER: Final = "no charger to report"
JUST_STARTED: Final = "the service has just started"
SILENT: Final = "the GX is not heard: not measuring"
WAIT_A_MINUTE: Final = "wait a minute"
WAIT: Final = "nothing is lost, it waits in the outbox. If it does not pass by itself, run: check"
DRAINS: Final = (
    "no harm while the number falls: they are sent at outbox.max_rate, after what is new."
    " If it grows, run: check"
)
IS_IT_ON: Final = "is it on, and is mqtt.portal_id what Settings -> VRM -> VRM Portal ID shows?"
SET_PORTAL: Final = "wait if the GX is starting up; else set mqtt.host to a GX, or mqtt.portal_id"


class GxWell(NamedTuple):
    """Describes one GX that counts."""

    portal_id: str
    name: str
    problems: tuple[Problem, ...]
    """The reasons why it is not well; empty if it is."""
    remark: str
    """A note on it, even though it is well."""
    stored_age_s: float | None
    """The seconds since its newest measurement was stored; None: none was since the start."""
    owed_age_s: float
    """The age of the oldest that is owed or parked; 0: nothing is."""
    reasons: tuple[Reason, ...]

    @property
    def is_well(self) -> bool:
        """Tells whether there is no reason against it."""
        return not self.problems


class Wellness(NamedTuple):
    """Describes the service."""

    gx: tuple[GxWell, ...]
    problems: tuple[Problem, ...]
    """The reasons why it is not well, the same of several GX devices as one; empty if it is."""

    @property
    def is_well(self) -> bool:
        """Tells whether there is no reason against it."""
        return not self.problems


def limit_s(interval_s: float) -> float:
    """Returns how long something may stay unsettled."""
    return max(3 * interval_s, UNSETTLED_S)


def is_heard(site: SiteView, now_s: float) -> bool:
    """Tells whether the GX has spoken recently enough not to be reported as silent."""
    return now_s - site.heard_s <= SILENCE_S


def spacing_s(sites: int) -> float:
    """Returns the seconds between two looks at a relay with so many GX devices."""
    return max(LOOK_EVERY_S, sites / SITES_A_SECOND)


def seen_s(status: StatusView) -> float:
    """Returns the time up to which the relay's state is known; a recent enough look will do."""
    relay = status.relay
    patience = 2 * spacing_s(len(relay.sites))
    return max(relay.moment.monotonic_s, status.now.monotonic_s - patience)


def is_starting(status: StatusView) -> bool:
    """Tells whether the service is too young for anything to be missed."""
    return status.now.monotonic_s - status.started.monotonic_s < START_S


def heard_before(status: StatusView) -> set[str]:
    """Lists the GX devices that are known to have been heard before the start."""
    # What the outbox holds was measured of a GX that was heard.
    return {known.portal_id for known in status.heard_before} | status.outbox.gx.keys()


def was_heard(site: SiteView, before: Collection[str]) -> bool:
    """Tells whether a GX counts: it was heard, by this process or `before` it."""
    return site.heard_s > -NEVER or site.portal_id in before


def well(status: StatusView) -> Wellness:
    """Judges the service at `status.now`. It takes time for each GX: not for every event."""
    gx = tuple(_all_gx(status))
    problems = (
        *_of_service(status),
        *together((each.name, reason) for each in gx for reason in each.reasons),
    )
    return Wellness(gx, problems)


# --- the service ----------------------------------------------------------------------------------


def _of_service(status: StatusView) -> Iterator[Problem]:
    """Says what is wrong with the connection to all GX devices."""
    relay, before = status.relay, heard_before(status)
    if not relay.is_connected or relay.failure is not None:
        yield _no_connection(status)
    if not relay.is_connected:
        return
    if relay.refused_topics:
        text = refusal_text(relay.refused_topics)
        yield Problem(Kind.SUBSCRIPTION_REFUSED, text, REFUSAL_REMEDY)
    if not any(was_heard(site, before) for site in relay.sites):
        yield _nobody_heard(status)


def _no_connection(status: StatusView) -> Problem:
    failure, head = status.relay.failure, "no connection to the GX's broker"
    if failure is not None:
        head = head.replace("no", "no lasting", 1) if failure.is_repeated else head
        return Problem(Kind.NO_CONNECTION, f"{head}: {failure}", failure.remedy)
    if is_starting(status):
        return Problem(Kind.NO_CONNECTION, f"{head} yet: {JUST_STARTED}", WAIT_A_MINUTE)
    return Problem(
        Kind.NO_CONNECTION, f"{head}: no answer yet", "make sure that the GX is on, and run: check"
    )


def _nobody_heard(status: StatusView) -> Problem:
    relay = status.relay
    if is_starting(status):
        return Problem(Kind.NO_PORTAL_ID, f"no GX is heard yet: {JUST_STARTED}", WAIT_A_MINUTE)
    if relay.sites:
        names = named([site.name for site in relay.sites])
        return Problem(Kind.GX_SILENT, f"{names}: {SILENT}", IS_IT_ON)
    told = named(relay.unheard)
    text = f"the GX that the broker announces is not heard: {told}"
    return Problem(
        Kind.NO_PORTAL_ID, text if told else "the broker has not announced a portal id", SET_PORTAL
    )


# --- each GX --------------------------------------------------------------------------------------


def _all_gx(status: StatusView) -> Iterator[GxWell]:
    """Judges each GX that counts."""
    relay, before = status.relay, heard_before(status)
    told = {site.portal_id for site in relay.sites}
    for site in relay.sites:
        if was_heard(site, before):
            reasons = [*_of_site(site, status), *_of_delivery(site.portal_id, status)]
            yield _judged(site.portal_id, site.name, reasons, status, remark=_remark(site))
    for known in status.heard_before:
        if known.portal_id not in told and _is_remembered(known.heard, status):
            told.add(known.portal_id)
            reasons = [*_silent(status), *_of_delivery(known.portal_id, status)]
            yield _judged(known.portal_id, known.name, reasons, status)
    for portal_id in sorted(status.outbox.gx.keys() - told):
        # It is no longer relayed, or not heard yet, but what it has left is still owed.
        yield _judged(portal_id, portal_id, [*_of_delivery(portal_id, status)], status)


def _is_remembered(heard: float, status: StatusView) -> bool:
    """Tells whether a GX that was heard before the start counts as missing.

    It follows the relay, which forgets a GX after a day of silence once another one is heard.
    """
    now = status.now
    is_another_heard = any(is_heard(site, seen_s(status)) for site in status.relay.sites)
    return now.utc.timestamp() - heard <= DAY_S or not is_another_heard


def _judged(
    portal_id: str, name: str, reasons: Sequence[Reason], status: StatusView, *, remark: str = ""
) -> GxWell:
    now_s, delivery = status.now.monotonic_s, status.backend.gx.get(portal_id, GxDelivery())
    problems = [problem_of(name, reason) for reason in reasons]
    if not status.relay.is_connected:
        problems.insert(0, _no_connection(status))
    stored = delivery.stored
    return GxWell(
        portal_id=portal_id,
        name=name,
        problems=tuple(problems),
        remark=remark,
        stored_age_s=max(0.0, now_s - stored.monotonic_s) if stored is not None else None,
        owed_age_s=_owed_age_s(status.outbox.gx.get(portal_id, GxOwed()), now_s),
        reasons=tuple(reasons),
    )


def _remark(site: SiteView) -> str:
    is_reported = any(charger.report is not None for charger in site.chargers)
    return "" if is_reported else NO_CHARGER


def _owed_age_s(owed: GxOwed, now_s: float) -> float:
    since_s = min([owed.since_s, *(parked.since_s for parked in owed.parked)])
    return max(0.0, now_s - since_s)


def _of_site(site: SiteView, status: StatusView) -> Iterator[Reason]:
    """Says what is wrong with hearing and measuring a GX."""
    now_s, measured_s = seen_s(status), site.measured_s
    if not is_heard(site, now_s):
        yield from _silent(status, is_heard_before=site.heard_s > -NEVER)
    elif status.relay.is_connected and measured_s == -NEVER:
        yield Reason(Kind.GX_NOT_MEASURED, "no measurement was made yet", WAIT_A_MINUTE)
    elif status.relay.is_connected and now_s - measured_s > patience_s(status):
        what = f"no measurement was made for {span_words(now_s - measured_s)}"
        yield Reason(Kind.GX_NOT_MEASURED, what, f"{WAIT_A_MINUTE}; if it goes on, run: check")


def patience_s(status: StatusView) -> float:
    """Returns how long to wait for a measurement, or for the answer to one."""
    return max(2 * status.interval_s, LEAST_PATIENCE_S)


def _silent(status: StatusView, *, is_heard_before: bool = False) -> Iterator[Reason]:
    """Says that a GX is not heard, unless the connection is the reason."""
    if status.relay.is_connected:
        if is_starting(status) and not is_heard_before:
            what = f"the GX is not heard yet: {JUST_STARTED}"
            yield Reason(Kind.GX_SILENT, what, WAIT_A_MINUTE)
        else:
            yield Reason(Kind.GX_SILENT, SILENT, IS_IT_ON)


def _of_delivery(portal_id: str, status: StatusView) -> Iterator[Reason]:
    """Says what is wrong with storing its measurements."""
    delivery = status.backend.gx.get(portal_id, GxDelivery())
    owed = status.outbox.gx.get(portal_id, GxOwed())
    age_s = max(0.0, status.now.monotonic_s - owed.since_s) if owed.waiting else 0.0
    told = _not_stored(delivery, owed, status, age_s)
    if told is not None:
        yield told
    elif age_s > limit_s(status.interval_s):
        yield Reason(Kind.OWED_FOR_LONG, "", DRAINS, owed=owed.waiting, age_s=age_s)
    yield from _of_devices(delivery, owed, status)


def _of_devices(delivery: GxDelivery, owed: GxOwed, status: StatusView) -> Iterator[Reason]:
    """Names the devices that nothing is stored of until somebody fixes a setting."""
    now_s, limit = status.now.monotonic_s, limit_s(status.interval_s)
    parked = {each.serial: each for each in owed.parked}
    refused = {s: why for s, why in delivery.unstored.items() if why.is_refused}
    for serial, why in refused.items():
        if serial not in parked and not _is_given_up(delivery, owed, status):
            subject = status.relay.name_of(serial)
            yield Reason(Kind.PARKED, why.reason, fix_of(why.remedy), serial, subject=subject)
    for each in owed.parked:
        age_s = max(0.0, now_s - each.since_s)
        if age_s > limit or each.serial in refused:
            fix, subject = fix_of(each.remedy), status.relay.name_of(each.serial)
            yield Reason(Kind.PARKED, each.reason, fix, each.serial, each.reports, age_s, subject)


def _not_stored(
    delivery: GxDelivery, owed: GxOwed, status: StatusView, age_s: float
) -> Reason | None:
    """Says why the newest is not stored, if it is not; refusals are named by device."""
    waiting = [why for why in delivery.unstored.values() if not why.is_refused]
    if waiting and not _is_given_up(delivery, owed, status):
        kind = Kind.NOT_STORED if delivery.is_answered else Kind.BACKEND_TAKES_NOTHING
        why = waiting[0]
        return Reason(kind, why.reason, why.remedy or WAIT, owed=owed.waiting, age_s=age_s)
    stored_s = delivery.stored.monotonic_s if delivery.stored is not None else -NEVER
    on_its_way_s = status.now.monotonic_s - max(stored_s, owed.since_s)
    if owed.newest > delivery.newest and on_its_way_s > patience_s(status):
        backend = status.backend
        is_told = backend.moment is not None and not backend.is_taking and backend.reason
        kind = Kind.BACKEND_TAKES_NOTHING if is_told else Kind.NOT_STORED
        what = backend.reason if is_told else "it has not been sent yet"
        fix = backend.remedy if is_told else ""
        return Reason(kind, what, fix or WAIT, owed=owed.waiting, age_s=age_s)
    return None


def _is_given_up(delivery: GxDelivery, owed: GxOwed, status: StatusView) -> bool:
    """Tells whether nothing is left of the newest: a person dropped it, or there was no room."""
    is_later = delivery.tried is not None and status.outbox.looked_s > delivery.tried.monotonic_s
    return is_later and not (owed.waiting or owed.parked)
