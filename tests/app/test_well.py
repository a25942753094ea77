"""Tests that the log, the page, the metrics, /readyz and the state file agree on what is well.

The chain is the real one, in virtual time: relay, outbox, delivery, observers; the backend answers
as the scene has it.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import pytest
from prometheus_client.parser import text_string_to_metric_families

from mqtt_http_bridge.app.backend_observer import BackendObserver
from mqtt_http_bridge.app.outbox_observer import OutboxObserver
from mqtt_http_bridge.app.show_status import lines, texts
from mqtt_http_bridge.app.status_sources import StatusSources
from mqtt_http_bridge.core.commands import Store
from mqtt_http_bridge.core.delivery.answers import Answer, NoReply, NotSent, Reply
from mqtt_http_bridge.core.events import Moment
from mqtt_http_bridge.core.log import Log
from mqtt_http_bridge.core.solar_backend.remedies import NOT_REGISTERED
from mqtt_http_bridge.core.status import findings
from mqtt_http_bridge.core.status.document import document
from mqtt_http_bridge.core.status.findings import Mark
from mqtt_http_bridge.core.status.history import History
from mqtt_http_bridge.core.status.metrics import PREFIX, render
from mqtt_http_bridge.core.status.periodic_log import PeriodicLog
from mqtt_http_bridge.core.status.state_file import Liveness, Process, State, state_of
from mqtt_http_bridge.core.status.state_json import from_json, to_json
from mqtt_http_bridge.core.views import GxOwed, HeardBefore, RelayView, StatusView
from tests.support.measuring import CANNOT_STORE, NOT_FOUND, UNAUTHORIZED, summary
from tests.support.sending import Scripted, Sending, serials_in, taken
from tests.support.virtual import CHARGER, OTHER_PORTAL, PORTAL, START, Virtual, moment, settings

GOOD, BAD = str(CHARGER["Serial"]), f"HQ-{PORTAL}-282"
DARK: Mapping[str, object] = {**CHARGER, "Pv/V": None, "Yield/Power": None}
PROCESS = Process("1", 17, "boot", 4711, START.timestamp(), "config.yaml", 30.0)
Give = Callable[[bytes], Answer]


class Chain:
    """A relay and a delivery on one clock. Use it as a context."""

    def __init__(self, directory: Path, answer: Give, *portal_ids: str) -> None:
        self.settings = settings(*portal_ids or (PORTAL,))
        self.virtual = Virtual(self.settings)
        self.observer = BackendObserver(self.now)
        self.sending = Sending(
            directory,
            Scripted(answer),
            on_verdict=self.observer.note,
            on_entry=self.observer.note_entry,
        )
        self.outbox = OutboxObserver(self.sending.outbox, 30.0, self.now)
        self.heard_before: tuple[HeardBefore, ...] = ()
        self.change: Callable[[StatusView], StatusView] = lambda status: status
        self._carried_out = 0

    def __enter__(self) -> Self:
        self.sending.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self.sending.__exit__()

    def now(self) -> Moment:
        """The one clock."""
        return moment(self.virtual.now_s)

    def go_on(self, seconds: int, *heard: str) -> None:
        """Lets the time pass, with heartbeats of these GX devices."""
        for _ in range(seconds):
            self.virtual.let(1.0)
            for portal_id in heard if self.virtual.now_s % 3 == 0 else ():
                self.virtual.heartbeat(portal_id)
            new = self.virtual.done[self._carried_out :]
            self._carried_out = len(self.virtual.done)
            for command in (done.command for done in new):
                if isinstance(command, Store):
                    self.sending.store(command.measurement, portal_id=command.portal_id)
            self.sending.run_for(self.virtual.now_s - self.sending.now_s)

    def begin(self, *instances: int, values: Mapping[str, object] = CHARGER) -> None:
        """The first GX is asked, and says all of its chargers."""
        self.virtual.connect()
        self.go_on(1)
        for instance in instances:
            said = values if instance == 281 else {**values, "Serial": f"HQ-{PORTAL}-{instance}"}
            self.virtual.charger(said, instance=instance)
        self.virtual.complete(self.virtual.last_echo())

    def status(self) -> StatusView:
        """Returns what is known now."""
        return self.change(
            StatusView(
                version="1",
                started=moment(0.0),
                now=self.now(),
                relay=self.virtual.relay.view(self.now()),
                backend=self.observer.latest,
                outbox=self.outbox.view(),
                heard_before=self.heard_before,
            )
        )


# --- the scenes ----------------------------------------------------------------------------------


def all_goes_well(chain: Chain) -> None:
    chain.begin(281)
    chain.go_on(200, PORTAL)


def two_chargers(chain: Chain) -> None:
    chain.begin(281, 282)
    chain.go_on(200, PORTAL)


def the_start(chain: Chain) -> None:
    chain.virtual.connect()
    chain.go_on(5)


def never_heard_at_all(chain: Chain) -> None:
    chain.virtual.connect()
    chain.go_on(40)


def no_broker(chain: Chain) -> None:
    all_goes_well(chain)
    chain.virtual.disconnect()


def no_sun(chain: Chain) -> None:
    chain.begin(281, values=DARK)
    chain.go_on(200, PORTAL)


def no_charger(chain: Chain) -> None:
    chain.begin()
    chain.go_on(200, PORTAL)


def one_went_silent(chain: Chain) -> None:
    chain.begin(281)
    chain.go_on(60, PORTAL, OTHER_PORTAL)
    chain.go_on(200, PORTAL)


def one_was_silent_at_the_start(chain: Chain) -> None:
    chain.heard_before = (HeardBefore(OTHER_PORTAL, "barn", START.timestamp() - 3600.0),)
    all_goes_well(chain)


def one_was_heard_days_ago(chain: Chain) -> None:
    chain.heard_before = (HeardBefore(OTHER_PORTAL, "barn", START.timestamp() - 90_000.0),)
    all_goes_well(chain)


def much_waits(chain: Chain) -> None:
    all_goes_well(chain)

    def wait(status: StatusView) -> StatusView:
        gx = {PORTAL: GxOwed(864_000, 1, since_s=-3600.0)}
        return status._replace(outbox=status.outbox._replace(waiting=864_000, gx=gx))

    chain.change = wait


def another_left_its_measurements(chain: Chain) -> None:
    all_goes_well(chain)

    def wait(status: StatusView) -> StatusView:
        gx = {"c0619ab0dead": GxOwed(5, 1, since_s=-3600.0)}
        return status._replace(outbox=status.outbox._replace(waiting=5, gx=gx))

    chain.change = wait


def the_disk_refuses(chain: Chain) -> None:
    all_goes_well(chain)

    def refuse(status: StatusView) -> StatusView:
        return status._replace(outbox=status.outbox._replace(in_memory=7, fault="No space left"))

    chain.change = refuse


def nothing_is_measured(chain: Chain) -> None:
    all_goes_well(chain)

    def stand_still(status: StatusView) -> StatusView:
        (site,) = status.relay.sites
        site = site._replace(measured_s=status.now.monotonic_s - 61.0)
        return status._replace(relay=status.relay._replace(sites=(site,)))

    chain.change = stand_still


def each(**said: str) -> Give:
    """A backend that stores all but what is named here."""

    def answer(body: bytes) -> Answer:
        results = {serial: said.get(serial.replace("-", "_"), "ok") for serial in serials_in(body)}
        stored = [serial for serial, result in results.items() if result == "ok"]
        status = 404 if not stored else 201 if len(stored) == len(results) else 207
        return summary(status, **results)

    return answer


def fails_on_bad(body: bytes) -> Answer:
    """A backend that fails on whatever names one charger."""
    return Reply(500) if BAD in serials_in(body) else taken(body)


@dataclass(frozen=True)
class Scene:
    """A thing that happens, and what all have to say of it."""

    name: str
    happen: Callable[[Chain], None]
    answer: Give = taken
    portal_ids: tuple[str, ...] = (PORTAL,)
    why: str = ""
    """The reason why it is not well; empty: it is."""
    fix: str = ""
    note: str = ""
    remark: str = ""


BOTH = (PORTAL, OTHER_PORTAL)
NOT_STORED = f"{PORTAL}: the newest measurement is not stored: "
SCENES = [
    Scene("all goes well", all_goes_well),
    Scene(
        "the start",
        the_start,
        why="no GX is heard yet: the service has just started",
        fix="wait a minute",
    ),
    Scene(
        "no GX is ever heard",
        never_heard_at_all,
        why=f"{PORTAL}: the GX is not heard: not measuring",
        fix="is it on, and is mqtt.portal_id",
    ),
    Scene(
        "no broker", no_broker, why="no connection to the GX's broker: ", fix="check the network"
    ),
    Scene("no sun", no_sun, remark="no charger to report"),
    Scene("no charger", no_charger, remark="no charger to report"),
    Scene(
        "one was never heard",
        all_goes_well,
        portal_ids=BOTH,
        note=f"{OTHER_PORTAL}: never heard, and not counted until then",
    ),
    Scene(
        "one went silent",
        one_went_silent,
        portal_ids=BOTH,
        why=f"{OTHER_PORTAL}: the GX is not heard: not measuring",
        fix="is it on, and is mqtt.portal_id",
    ),
    Scene(
        "one was silent at the start",
        one_was_silent_at_the_start,
        why="barn: the GX is not heard: not measuring",
        fix="is it on, and is mqtt.portal_id",
    ),
    Scene("one is forgotten", one_was_heard_days_ago),
    Scene(
        "nothing is measured",
        nothing_is_measured,
        why=f"{PORTAL}: no measurement was made for 61 s",
        fix="wait a minute; if it goes on, run: check",
    ),
    Scene(
        "a wrong key, 401",
        all_goes_well,
        answer=lambda body: Reply(401),
        why=f"{NOT_STORED}the backend answered 401",
        fix="correct backend.api_key or its file",
    ),
    Scene(
        "a wrong key, as the API tells it",
        all_goes_well,
        answer=each(**{GOOD.replace("-", "_"): UNAUTHORIZED}),
        why=f"reports of {GOOD} are parked: Unauthorized",
        fix="it belongs to another account: correct backend.api_key or its file,"
        " then run: outbox retry",
    ),
    Scene(
        "one charger is not registered",
        two_chargers,
        answer=each(**{BAD.replace("-", "_"): NOT_FOUND.format(BAD)}),
        why=f"reports of {BAD} are parked: Device {BAD} not found",
        fix=f"{NOT_REGISTERED.remedy}, then run: outbox retry",
    ),
    Scene(
        "a database that takes nothing of one charger",
        two_chargers,
        answer=each(**{BAD.replace("-", "_"): CANNOT_STORE}),
        why=f"{NOT_STORED}{BAD}: {CANNOT_STORE}",
        fix="it may pass by itself; if not, look at the backend and its database",
    ),
    Scene(
        "a backend that fails on one charger",
        two_chargers,
        answer=fails_on_bad,
        why=f"reports of {BAD} are parked: the backend answered 500",
        fix="ask whoever runs the backend, then run: outbox retry",
    ),
    Scene(
        "no answer",
        all_goes_well,
        answer=lambda body: NoReply("Connection refused", "is the backend up?"),
        why=f"{NOT_STORED}Connection refused",
        fix="is the backend up?",
    ),
    Scene(
        "a certificate that is not trusted",
        all_goes_well,
        answer=lambda body: NotSent("TLS: not trusted", "set backend.ca_file", is_of_tls=True),
        why=f"{NOT_STORED}TLS: not trusted",
        fix="set backend.ca_file",
    ),
    Scene(
        "a backend without its database",
        all_goes_well,
        answer=lambda body: Reply(503),
        why=f"{NOT_STORED}the backend answered 503",
        fix="it may pass by itself; if not, look at the backend and its database",
    ),
    Scene(
        "not the API",
        all_goes_well,
        answer=lambda body: Reply(200, b"{}"),
        why=f"{NOT_STORED}the backend answered 200, but not as the Solar Backend API does",
        fix="correct backend.url",
    ),
    Scene(
        "864,000 wait",
        much_waits,
        why=f"{PORTAL}: 864000 measurements wait, the oldest for 63 min",
        fix="no harm while the number falls",
    ),
    Scene(
        "one that has left, and left something behind",
        another_left_its_measurements,
        why="c0619ab0dead: the newest measurement is not stored: it has not been sent yet:"
        " 5 measurements wait, the oldest for 63 min",
        fix="nothing is lost, it waits in the outbox",
    ),
    Scene(
        "the disk refuses",
        the_disk_refuses,
        note="7 measurements are in memory only: No space left",
    ),
]


# --- what each says ------------------------------------------------------------------------------


@pytest.fixture(params=SCENES, ids=lambda scene: scene.name)
def scene(request: pytest.FixtureRequest) -> Scene:
    """Each of them."""
    found: Scene = request.param
    return found


def last_log_line(status: StatusView) -> Log:
    """Returns what the log says of this at the end of a day."""

    def same(now: Moment, relay: RelayView) -> StatusView:
        return status

    log = PeriodicLog(status.now.at(status.now.monotonic_s - 90_000.0), same)
    hours = (status.now.at(status.now.monotonic_s + 3600.0 * hour) for hour in range(24))
    return [line for hour in hours for line in log.tell(hour, status.relay)][-1]


def samples(text: str) -> dict[str, dict[str, float]]:
    """Returns what /metrics tells, by name and by GX."""
    found: dict[str, dict[str, float]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            name = sample.name.removeprefix(PREFIX)
            found.setdefault(name, {})[sample.labels.get("portal_id", "")] = sample.value
    return found


def test_all_who_speak_agree(scene: Scene, tmp_path: Path) -> None:
    """Well or not, for the same reason, with the same remedy, whoever is asked."""
    with Chain(tmp_path, scene.answer, *scene.portal_ids) as chain:
        scene.happen(chain)
        status = chain.status()
    is_well = not scene.why
    page = document(status)
    assert (page["well"], page["problems"] == []) == (is_well, is_well)
    sources = StatusSources(lambda: status, lambda *, is_recent: History(60).view(), tuple)
    code, text = sources.resources()["/readyz"].answer()
    assert (code == 200) is is_well
    found = samples(render(status))
    assert found["ready"][""] == float(is_well)
    if scene.name not in ("the start", "no GX is ever heard"):
        assert min(found["gx_well"].values()) == float(is_well)
    state = from_json(to_json(state_of(status, PROCESS)))
    assert state.is_well is is_well
    running = Liveness(is_running=True, is_locked=True, state=state)
    for_scripts, for_people = lines(running), "\n".join(texts(running, 0.0))
    assert for_scripts["well"] == ("yes" if is_well else "no")
    log = last_log_line(status)
    assert log.text.startswith("not well: ") is not is_well
    assert log.text.startswith("all is well: ") is (is_well and not scene.note)
    marks = {finding.mark for finding in findings.well(state) if finding.step == "well"}
    assert marks == ({Mark.OK} if is_well else {Mark.WRONG})
    if not is_well:
        (told, *_) = (p for p in page["problems"] if scene.why in p["text"])
        assert scene.fix in told["fix"]
        for said in (text.decode(), log.text, for_people, str(findings.well(state))):
            assert scene.why in said
            assert scene.fix in said
        assert scene.why in for_scripts["why"]
        assert scene.fix in for_scripts["fix"]
    if scene.note:
        assert scene.note in page["notes"][0]["text"]
        for said in (log.text, for_people, str(findings.well(state))):
            assert scene.note in said
    if scene.remark:
        assert page["gx"][0]["remark"] == scene.remark
        for said in (log.text, for_people, str(findings.well(state))):
            assert scene.remark in said


# --- the figures ---------------------------------------------------------------------------------


def test_the_figures_of_each_gx(tmp_path: Path) -> None:
    """Tells what reports came to, and the ages of the newest stored and the oldest owed."""
    said = {BAD.replace("-", "_"): CANNOT_STORE}
    with Chain(tmp_path, each(**said)) as chain:
        two_chargers(chain)
        status = chain.status()
        state: State = state_of(status, PROCESS)
    found = samples(render(status))
    assert found["gx_owed"][PORTAL] == status.outbox.waiting > 0
    assert 190.0 < found["gx_owed_age_seconds"][PORTAL] <= 201.0
    assert "gx_stored_age_seconds" not in found
    results: dict[str, float] = {}
    for family in text_string_to_metric_families(render(status)):
        if family.name == f"{PREFIX}gx_reports":
            results = {s.labels["result"]: s.value for s in family.samples}
    assert results.keys() >= {"stored", "owed"}
    assert results["stored"] >= 7
    (gx,) = state.gx
    assert (gx.waiting, gx.stored, gx.is_well) == (status.outbox.waiting, None, False)
    devices: dict[str, Any] = {device.serial: device for device in state.devices}
    assert (devices[GOOD].result, devices[GOOD].reason) == ("stored", "")
    assert CANNOT_STORE in devices[BAD].reason
    assert devices[GOOD].stored is not None
    assert devices[BAD].stored is None


def test_when_the_newest_was_stored(tmp_path: Path) -> None:
    """By the moment at which the answer came, and by the time it was measured."""
    with Chain(tmp_path, taken) as chain:
        all_goes_well(chain)
        status = chain.status()
    assert samples(render(status))["gx_stored_age_seconds"][PORTAL] <= 30.0
    (gx,) = document(status)["gx"]
    measured = chain.virtual.measurements()[-1].timestamp
    assert gx["stored_timestamp"] == measured.isoformat(timespec="microseconds")
    assert gx["chargers"][0]["stored"] is not None
