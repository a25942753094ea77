"""The part of `check` that looks at the backend: by what the service has seen, or by a POST.

    what is asked for    a service runs                       none runs
    -------------------  -----------------------------------  --------------------------------------
    check                what its POSTs came to               one report with a serial made up
    check --post         its next POST is waited for          what was just heard is posted for real
    check --no-post      what its POSTs came to               nothing is posted

A HEAD without a key comes first, in the same way as any POST: through the same proxy, with the same
certificates. It tests the way to the backend, and its clock.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final
from urllib.parse import urlsplit

from mqtt_http_bridge.adapters import network
from mqtt_http_bridge.adapters.api_keys import ApiKeys
from mqtt_http_bridge.adapters.backend import Backend, check_authorities
from mqtt_http_bridge.adapters.clock import SystemClock
from mqtt_http_bridge.adapters.kernel_clock import is_synchronised
from mqtt_http_bridge.app.check_posts import (
    CHECK_SERIAL,
    NO_PORTAL,
    await_verdicts,
    made_up,
    measurements,
    parked_refusals,
    relayed,
)
from mqtt_http_bridge.app.dialect import DIALECT
from mqtt_http_bridge.app.listen import Heard
from mqtt_http_bridge.app.service_state import service_state
from mqtt_http_bridge.core.clock_trust import AGREES_S, Asked
from mqtt_http_bridge.core.delivery.answers import Answer, Reply
from mqtt_http_bridge.core.delivery.refusal import UNKNOWN, Refusal, Scope
from mqtt_http_bridge.core.delivery.verdict import BackendCondition, Outcome, Verdict
from mqtt_http_bridge.core.errors import ConfigError
from mqtt_http_bridge.core.measurement import Measurement
from mqtt_http_bridge.core.settings import BackendSettings, Settings
from mqtt_http_bridge.core.status import backend_findings, findings
from mqtt_http_bridge.core.status.backend_findings import Said
from mqtt_http_bridge.core.status.findings import Finding, ok, unknown, unproven, wrong
from mqtt_http_bridge.core.status.state_file import State
from mqtt_http_bridge.core.views import DeviceResult

LONGEST_ANSWER_S: Final = 30.0
"""The longest time to wait for an answer here, whatever `backend.timeout` says."""
CLOCK_FIX: Final = "set the clock of this machine: is NTP on?"


class Posting(Enum):
    """Says what `check` may post."""

    NONE = auto()
    MADE_UP = auto()
    """A report that no backend stores, if no service is running."""
    REAL = auto()
    """Measurements."""


@dataclass(frozen=True, slots=True)
class _Posted:
    """Holds the result of one POST."""

    answer: Answer
    verdict: Verdict


class BackendCheck:
    """Checks the backend of one config. For one thread, once."""

    def __init__(
        self, settings: Settings, backend: BackendSettings, heard: Heard, posting: Posting
    ) -> None:
        """Does not ask anybody yet. Raises ConfigError for a key file without a key."""
        self._settings = settings
        self._backend = backend
        self._heard = heard
        self._posting = posting
        self._keys = ApiKeys(backend)
        timeout_s = min(backend.timeout_s, LONGEST_ANSWER_S)
        self._poster = Backend(backend._replace(timeout_s=timeout_s), DIALECT)
        self._refusals = parked_refusals(settings.outbox)
        self._saids: dict[str, Said] = {}
        """By serial."""
        self._by_key: dict[str, _Posted] = {}
        """The verdict on a made-up report, by the name of the key."""
        self._chargers = list(relayed(heard, settings))
        self._is_by_service = False
        self._silent: set[str] = set()
        """The serials that the service should have posted but has not."""

    def findings(self) -> Iterator[Finding]:
        """Yields everything there is to find, in order."""
        proxy = self._poster.proxy
        yield from self._names(proxy)
        began = SystemClock().now()
        head = self._poster.ask_time()
        asked = Asked(
            began,
            SystemClock().now(),
            head.date if isinstance(head, Reply) else None,
            isinstance(head, Reply),
        )
        yield self._tls(head, proxy)
        yield from self._posts(head, asked)
        self._poster.close()
        yield self._clock(asked)
        yield from self._serials()
        yield from map(self._key, self._key_names())

    # --- the way -----------------------------------------------------------------------------

    @property
    def _address(self) -> tuple[str, int]:
        parts = urlsplit(self._backend.url)
        return parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)

    def _names(self, proxy: str | None) -> Iterator[Finding]:
        host, _ = self._address
        if proxy is None:
            fix = "set backend.url to the backend's address; does DNS work on this machine?"
            yield name("backend name", host, fix)
            return
        fix = "correct HTTP_PROXY and HTTPS_PROXY, or name the backend in NO_PROXY"
        found = name("proxy", urlsplit(proxy).hostname or "", fix)
        yield found._replace(text=f"the way is {proxy} of the environment: {found.text}")
        yield ok("backend name", f"{host} is looked up by the proxy")

    def _tls(self, head: Answer, proxy: str | None) -> Finding:
        host, port = self._address
        if not self._backend.url.startswith("https:"):
            is_odd = not isinstance(head, Reply) or head.status == 400
            if is_odd and proxy is None and network.speaks_tls(host, port):
                text = f"{host}:{port} speaks TLS, and backend.url is http"
                return wrong("backend TLS", text, "set backend.url to https://")
            return ok("backend TLS", "not used (backend.url is http)")
        shown = "" if proxy else network.shown_certificate(host, port)
        if isinstance(head, Reply):
            return ok("backend TLS", f"{shown}, trusted" if shown else "trusted, behind the proxy")
        if not head.is_of_tls:
            return unknown("backend TLS", "the way to the backend comes first")
        if not shown and proxy is None and network.speaks_http(host, port):
            text = f"no TLS at {host}:{port}: it speaks HTTP without, and backend.url is https"
            return wrong("backend TLS", text, "set backend.url to http://, or correct its port")
        return wrong(
            "backend TLS", f"{shown}: {head.reason}" if shown else head.reason, head.remedy
        )

    def _clock(self, asked: Asked) -> Finding:
        if asked.date is None and asked.is_answered:
            return ok("backend clock", "the backend tells no time")
        ahead_s = None if asked.ahead_s is None else -asked.ahead_s
        return findings.clock("backend clock", "the backend's", ahead_s, CLOCK_FIX)

    # --- POSTs -------------------------------------------------------------------------------

    def _posts(self, head: Answer, asked: Asked) -> Iterator[Finding]:
        found = service_state(self._settings.outbox)
        if found.is_running and found.state is not None:
            yield from self._by_service(found.state, head)
        elif self._posting is Posting.REAL:
            yield self._post_measurements(asked)
        elif self._posting is Posting.MADE_UP:
            yield self._post_made_up()
        elif isinstance(head, Reply):
            yield unproven("backend POST", "not posted: --no-post", backend_findings.POST_IT)
        else:
            yield wrong("backend POST", head.reason, head.remedy)

    def _by_service(self, state: State, head: Answer) -> Iterator[Finding]:
        self._is_by_service = True
        since = _now()
        awaited = self._awaited() if self._posting is Posting.REAL else set()
        if awaited:
            state = await_verdicts(self._settings, awaited, since) or state
            self._refusals = parked_refusals(self._settings.outbox)
        now = _now()
        saids = self._said_by(state, now)
        self._silent = {
            s for s in awaited if s not in saids or not _is_newer(saids[s], now - since)
        }
        self._saids = {serial: said for serial, said in saids.items() if serial not in self._silent}
        remedy = "" if isinstance(head, Reply) else head.remedy
        yield backend_findings.stored_by_service(state, now, remedy)

    def _awaited(self) -> set[str]:
        """Returns the serials expected in the service's next measurement."""
        found = {c.serial for _, c in self._chargers if c.report is not None and c.serial}
        left_out = (s for s, refusal in self._refusals.items() if refusal.scope is Scope.POISON)
        return found - set(left_out)

    def _said_by(self, state: State, now: float) -> dict[str, Said]:
        return {
            device.serial: Said(
                device.result,
                device.reason,
                self._refusals.get(device.serial, Refusal(UNKNOWN, device.reason))
                if device.result is DeviceResult.REFUSED
                else None,
                max(0.0, now - device.at),
            )
            for device in state.devices
        }

    def _post_made_up(self) -> Finding:
        """Posts with each key, until one gets no answer."""
        now = SystemClock().now().utc
        portal_id = next(iter(self._heard.gxs), NO_PORTAL)
        body = DIALECT.body(Measurement(now, portal_id, (made_up(int(now.timestamp())),)))
        for key_name in self._key_names():
            answer = self._poster.post(body, self._keys.of_name(key_name))
            self._by_key[key_name] = _Posted(answer, DIALECT.judge(answer, [CHECK_SERIAL]))
            if not isinstance(answer, Reply):
                break
        # One key that is accepted shows more than another that is not.
        told = [p for p in self._by_key.values() if p.verdict.outcome is not Outcome.KEY_REFUSED]
        first = next(iter([*told, *self._by_key.values()]))
        return backend_findings.probe(first.answer, first.verdict, CHECK_SERIAL)

    def _post_measurements(self, asked: Asked) -> Finding:
        """Posts what was just heard, each GX with its key, if the clock is right."""
        made = list(measurements(self._heard, self._settings))
        if not made:
            return unknown("backend POST", "there is nothing to post: no charger can be measured")
        is_right = asked.ahead_s is not None and abs(asked.ahead_s) <= AGREES_S
        if not is_right and not is_synchronised():
            text = "nothing was posted: nothing tells that the clock of this machine is right"
            return wrong("backend POST", text, CLOCK_FIX)
        for portal_id, measurement in made:
            serials = [device.serial for device in measurement.devices]
            answer = self._poster.post(DIALECT.body(measurement), self._keys.key(portal_id))
            verdict = DIALECT.judge(answer, serials)
            self._saids |= backend_findings.said_of(verdict)
            if verdict.outcome is Outcome.KEY_REFUSED:
                self._by_key[self._keys.name_of(portal_id)] = _Posted(answer, verdict)
            if verdict.condition is not BackendCondition.ANSWERING:
                return backend_findings.trouble(answer, verdict)
        return backend_findings.posted(self._saids)

    # --- chargers and keys -------------------------------------------------------------------

    def _serials(self) -> Iterator[Finding]:
        for portal_id, charger in self._chargers:
            serial = charger.serial
            if serial is None:
                continue
            said = self._saids.get(serial)
            refusal = self._refusals.get(serial)
            if said is None and refusal is not None:
                said = Said(DeviceResult.REFUSED, refusal.said, refusal)
            if said is None and serial in self._silent:
                yield backend_findings.not_posted(serial)
                continue
            if said is None and charger.report is None:
                continue
            if said is None and self._is_by_service:
                yield backend_findings.not_judged(serial)
                continue
            yield backend_findings.serial(
                serial,
                said,
                key=self._label(self._keys.name_of(portal_id)),
                interval_s=self._settings.device.update_interval_s,
                is_parked=refusal is not None,
            )

    def _key_names(self) -> list[str]:
        """Returns the names of the keys that are used, that of the config first."""
        portal_ids = self._settings.mqtt.portal_ids
        own = self._backend.api_key_files
        names = list(dict.fromkeys(own.values()))
        if portal_ids and all(portal_id in own for portal_id in portal_ids):
            return names
        return [self._keys.default, *(name for name in names if name != self._keys.default)]

    def _key(self, key_name: str) -> Finding:
        label = self._label(key_name)
        posted = self._by_key.get(key_name)
        if posted is not None and posted.verdict.outcome is Outcome.KEY_REFUSED:
            return backend_findings.key_refused(label, posted.verdict)
        of_key = {
            charger.serial: self._saids[charger.serial]
            for portal_id, charger in self._chargers
            if charger.serial in self._saids and self._keys.name_of(portal_id) == key_name
        }
        return backend_findings.key_by_chargers(label, of_key)

    def _label(self, key_name: str) -> str:
        """Names a key as the config does."""
        if key_name == self._keys.default:
            return f"backend.api_key_file ({key_name})" if key_name else "backend.api_key"
        return f"backend.api_keys ({key_name})"


def look_at_backend(settings: Settings, heard: Heard, posting: Posting) -> Iterator[Finding]:
    """Looks at the backend of a config, if it has one."""
    backend = settings.backend
    if backend is None:
        yield unknown("backend", "the config comes first")
        return
    try:
        check_authorities(backend)
        found = BackendCheck(settings, backend, heard, posting)
    except ConfigError as error:
        yield wrong("backend", str(error), "correct this key, or the file")
        return
    yield from found.findings()


def name(step: str, host: str, fix: str) -> Finding:
    """Says what a name stands for."""
    try:
        return findings.name(step, host, network.addresses(host))
    except (OSError, UnicodeError) as error:
        return wrong(step, f"{host}: {network.words(error)}", fix)


def _now() -> float:
    return SystemClock().now().utc.timestamp()


def _is_newer(said: Said, span_s: float) -> bool:
    """Tells whether it was said within the last `span_s`."""
    return said.ago_s is None or said.ago_s <= span_s
