"""Tests the state file's document: what is in it, when it is written, how long it is believed."""

import json
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from types import MappingProxyType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mqtt_http_bridge.core.broker_failure import BrokerFailure, Cause
from mqtt_http_bridge.core.errors import MalformedState
from mqtt_http_bridge.core.events import Moment
from mqtt_http_bridge.core.settings import MqttSettings
from mqtt_http_bridge.core.shard import Shard
from mqtt_http_bridge.core.status.problem import Kind, Problem
from mqtt_http_bridge.core.status.state_file import (
    LEAST_SPACING_S,
    MOST_GX,
    DeviceState,
    GxState,
    Owed,
    Process,
    State,
    _bounded,
    heard_before,
    is_news,
    liveness,
    old_at_s,
    state_of,
)
from mqtt_http_bridge.core.status.state_json import from_json, to_json
from mqtt_http_bridge.core.views import (
    BackendView,
    DeviceResult,
    DeviceVerdict,
    GxDelivery,
    GxOwed,
    HeardBefore,
    OutboxView,
    ParkedView,
    RelayView,
    SiteView,
    StatusView,
    Unstored,
)

NOW = Moment(1000.0, datetime(2026, 6, 1, 12, 0, tzinfo=UTC))
NOW_UNIX_S = 1780315200.0
PROCESS = Process(
    version="1.2.3",
    pid=17,
    boot_id="this boot",
    start_ticks=4711,
    started=NOW_UNIX_S - 100.0,
    config="/data/config.yaml",
    interval_s=30.0,
)
STATE = State(
    process=PROCESS,
    written=NOW_UNIX_S,
    written_s=1000.0,
    gx=(GxState("c0619ab35133", "barn", NOW_UNIX_S - 3.0, NOW_UNIX_S - 12.0, 2),),
    problems=(Problem(Kind.PARKED, "3 reports of X", "register it"),),
    devices=(DeviceState("X", DeviceResult.REFUSED, "Device X not found", NOW_UNIX_S - 11.0),),
    owed=Owed(1, 3, "2026-06-01T11:59:48+00:00"),
    stored=NOW_UNIX_S - 11.0,
)


def gone(process: Process) -> bool:
    """Says that the process in the file is not there."""
    return False


PARKED = ParkedView("X", 3, "Device X not found", "register it", since_s=500.0)


def test_what_it_tells() -> None:
    """All of it is taken from what the page and the log are made from."""
    stored, refused = NOW.at(989.0), NOW.at(990.0)
    delivery = GxDelivery(
        newest=8,
        tried=refused,
        is_answered=True,
        unstored=MappingProxyType({"X": Unstored("Device X not found", "register it", True)}),
        stored=NOW.at(900.0),
        stored_timestamp="before",
        devices=MappingProxyType(
            {
                "Y": DeviceVerdict(DeviceResult.STORED, stored, stored=stored),
                "X": DeviceVerdict(DeviceResult.REFUSED, refused, "Device X not found"),
            }
        ),
    )
    owed = GxOwed(waiting=1, newest=8, since_s=990.0, parked=(PARKED,))
    status = StatusView(
        version="1.2.3",
        started=NOW.at(900.0),
        now=NOW,
        relay=RelayView(
            NOW,
            is_connected=True,
            sites=(
                SiteView("c0619ab35133", "barn", 997.0, (), 988.0),
                SiteView("c0619ab35134", "roof", -float("inf"), ()),
            ),
        ),
        backend=BackendView(
            moment=refused,
            is_taking=True,
            gx=MappingProxyType({"c0619ab35133": delivery}),
        ),
        outbox=OutboxView(
            waiting=1,
            oldest="then",
            parked=(PARKED,),
            in_memory=1,
            gx=MappingProxyType({"c0619ab35133": owed}),
        ),
        heard_before=(HeardBefore("c0619ab35135", "shed", NOW_UNIX_S - 500.0),),
    )
    state = state_of(status, PROCESS)
    assert (state.process, state.written, state.written_s) == (PROCESS, NOW_UNIX_S, 1000.0)
    assert state.gx == (
        GxState(
            "c0619ab35133",
            "barn",
            NOW_UNIX_S - 3.0,
            NOW_UNIX_S - 12.0,
            0,
            is_well=False,
            remark="no charger to report",
            stored=NOW_UNIX_S - 100.0,
            stored_timestamp="before",
            waiting=1,
            parked=3,
            owed_since=NOW_UNIX_S - 500.0,
        ),
        GxState("c0619ab35134", "roof", None, None, 0, remark=""),
        GxState("c0619ab35135", "shed", NOW_UNIX_S - 500.0, None, 0, is_well=False),
    )
    gx = "c0619ab35133"
    assert state.devices == (
        DeviceState("X", DeviceResult.REFUSED, "Device X not found", NOW_UNIX_S - 10.0, gx),
        DeviceState("Y", DeviceResult.STORED, "", NOW_UNIX_S - 11.0, gx, NOW_UNIX_S - 11.0),
    )
    assert state.owed == Owed(1, 3, "then", 1)
    assert state.stored == NOW_UNIX_S - 11.0
    assert [problem.kind for problem in state.problems] == [Kind.PARKED, Kind.GX_SILENT]
    assert [note.kind for note in state.notes] == [Kind.GX_NEVER_HEARD]
    assert heard_before([state], MqttSettings()) == (
        HeardBefore("c0619ab35133", "barn", NOW_UNIX_S - 3.0),
        HeardBefore("c0619ab35135", "shed", NOW_UNIX_S - 500.0),
    )
    assert [
        gx.name for gx in heard_before([state, STATE], MqttSettings(portal_ids=("c0619ab35135",)))
    ] == ["shed"]


def test_what_another_shard_has_by_now_is_not_missed() -> None:
    """A shard that is added takes GX devices, which are no longer waited for here."""
    before = [HeardBefore(f"c0619ab{n:05x}", "roof", NOW_UNIX_S) for n in range(6)]
    status = StatusView(
        "1", NOW, NOW, RelayView(NOW), BackendView(), OutboxView(), heard_before=tuple(before)
    )
    state = state_of(status, PROCESS)
    parts = [heard_before([state], MqttSettings(shard=Shard(n, 2))) for n in range(2)]
    assert [len(part) for part in parts] == [2, 4]
    assert {each for part in parts for each in part} == set(before)


def test_a_gx_that_stays_silent_stays_known() -> None:
    """However often the service is started: the next one takes this one's word for it."""
    before = HeardBefore("c0619ab35134", "roof", NOW_UNIX_S - 500.0)
    silent = SiteView("c0619ab35134", "roof", -float("inf"), ())
    relay = RelayView(NOW, is_connected=True, sites=(silent,))
    status = StatusView("1", NOW, NOW, relay, BackendView(), OutboxView(), heard_before=(before,))
    state = state_of(status, PROCESS)
    assert heard_before([state], MqttSettings()) == (before,)


def test_a_connection_that_fails_is_a_problem_with_its_remedy() -> None:
    """The remedy is that of the cause, wherever it is told."""
    failure = BrokerFailure(Cause.UNAVAILABLE, "gx", 1883)
    status = StatusView("1", NOW, NOW, RelayView(NOW, failure=failure), BackendView(), OutboxView())
    (problem,) = state_of(status, PROCESS).problems
    assert problem == Problem(
        Kind.NO_CONNECTION, f"no connection to the GX's broker: {failure}", failure.remedy
    )


# --- the bytes -----------------------------------------------------------------------------------


def test_there_and_back() -> None:
    """Everything that was written is read again, also where next to nothing is known."""
    assert from_json(to_json(STATE)) == STATE
    more = STATE._replace(
        gx=(STATE.gx[0]._replace(is_well=True, stored=1.0, owed_since=2.0, remark="no charger"),),
        devices=(STATE.devices[0]._replace(portal_id="c0619ab35133", stored=3.0),),
        notes=(Problem(Kind.DISK, "2 in memory", "fix the disk"),),
        owed=Owed(1, 3, None, 2),
    )
    assert from_json(to_json(more)) == more
    empty = State(PROCESS._replace(boot_id="\ud800"), 0.0, 0.0)
    assert from_json(to_json(empty)) == empty


def test_members_of_a_later_version_are_overlooked() -> None:
    """It may add some, anywhere."""
    members = json.loads(to_json(STATE))
    for place in (members, members["process"], members["gx"][0], members["problems"][0]):
        place["later"] = {"x": 1}
    assert from_json(json.dumps(members).encode()) == STATE


def test_what_an_earlier_version_left_out() -> None:
    """It knew less of a GX and of a device, and nothing of notes."""
    members = json.loads(to_json(STATE))
    del members["notes"], members["owed"]["in_memory"]
    for name in set(members["gx"][0]) - {"portal_id", "name", "heard", "measured", "chargers"}:
        del members["gx"][0][name]
    del members["devices"][0]["portal_id"], members["devices"][0]["stored"]
    assert from_json(json.dumps(members).encode()) == STATE


def test_a_kind_of_a_later_version_is_another_one() -> None:
    """Its texts are for people, and they can read them."""
    text = to_json(STATE).replace(b'"kind": "parked"', b'"kind": "of_later"')
    assert from_json(text).problems[0].kind is Kind.OTHER


def test_another_format_is_told() -> None:
    """A reader that would misread it says what to look at."""
    members = json.loads(to_json(STATE)) | {"format": 2}
    with pytest.raises(MalformedState, match="format 1, found 2: is this the version"):
        from_json(json.dumps(members).encode())


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"null",
        b"[]",
        b"{}",
        b"\xff",
        b"[" * 100_000,
        to_json(STATE)[:-1],
        to_json(STATE).replace(b'"pid": 17', b'"pid": true'),
        to_json(STATE).replace(b'"pid": 17', b'"pid": "17"'),
        to_json(STATE).replace(b'"refused"', b'"lost"'),
        to_json(STATE).replace(b'"written_s": 1000.0', b'"written_s": NaN'),
        to_json(STATE).replace(b'"written_s": 1000.0', b'"written_s": 1e999'),
        to_json(STATE).replace(b'"written_s": 1000.0', b'"written_s": 1' + b"0" * 400),
        to_json(STATE).replace(b'"written_s": 1000.0', b'"written_s": 1' + b"0" * 5000),
    ],
)
def test_what_is_no_state_file(text: bytes) -> None:
    """Whatever it is, the reader gets one error, and a short one."""
    with pytest.raises(MalformedState) as raised:
        from_json(text)
    assert len(str(raised.value)) < 200


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(st.data())
def test_any_member_may_be_anything(data: st.DataObject) -> None:
    """It is read, or it is malformed: never another error."""
    members = json.loads(to_json(STATE))
    place = data.draw(st.sampled_from([members, members["process"], members["owed"]]))
    place[data.draw(st.sampled_from(sorted(place)))] = data.draw(JSON)
    with suppress(MalformedState):
        from_json(json.dumps(members).encode())


# --- when it is written --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "change",
    [
        {"gx": ()},
        {"gx": (STATE.gx[0]._replace(measured=None),)},
        {"gx": (STATE.gx[0]._replace(chargers=1),)},
        {"problems": ()},
        {"devices": ()},
        {"devices": (STATE.devices[0]._replace(result=DeviceResult.STORED),)},
        {"devices": (STATE.devices[0]._replace(reason="Unauthorized"),)},
        {"stored": None},
        {"notes": (Problem(Kind.LOST, "1 was lost", "make room"),)},
        {"gx": (STATE.gx[0]._replace(is_well=True),)},
    ],
)
def test_a_change_is_news(change: dict[str, object]) -> None:
    """Everything that a person would act on is told at once."""
    assert is_news(STATE._replace(**change), STATE)  # type: ignore[arg-type]


def test_what_always_moves_is_no_change() -> None:
    """Times and counts go on as they do: for them an interval is soon enough."""
    later = STATE._replace(
        written=STATE.written + 29.9,
        written_s=STATE.written_s + 29.9,
        gx=(
            STATE.gx[0]._replace(
                heard=NOW_UNIX_S + 29.0,
                measured=NOW_UNIX_S + 29.0,
                stored_timestamp="then",
                waiting=2,
                parked=9,
                owed_since=NOW_UNIX_S,
            ),
        ),
        problems=(STATE.problems[0]._replace(text="4 reports of X"),),
        devices=(STATE.devices[0]._replace(at=NOW_UNIX_S + 29.0),),
        owed=Owed(2, 4, None),
        stored=NOW_UNIX_S + 29.0,
    )
    assert not is_news(later, STATE)
    assert old_at_s(STATE) == STATE.written_s + 30.0


def test_short_intervals_do_not_write_more_often() -> None:
    """Measured every second, it is written every ten."""
    quick = STATE._replace(process=PROCESS._replace(interval_s=1.0))
    assert old_at_s(quick) == quick.written_s + LEAST_SPACING_S


# --- how long it is believed ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("interval_s", "age_s", "is_running"),
    [
        (5.0, 0.0, True),
        (5.0, 60.0, True),
        (5.0, 60.1, False),
        (30.0, 60.0, True),
        (300.0, 600.0, True),
        (300.0, 600.1, False),
        (30.0, -0.1, False),
    ],
)
def test_how_old_it_may_be(interval_s: float, age_s: float, is_running: bool) -> None:
    """The larger of two intervals and a minute; nothing is written in the future."""
    state = STATE._replace(process=PROCESS._replace(interval_s=interval_s))
    now = NOW.at(state.written_s + age_s)
    found = liveness([state], now=now, boot_id="this boot", is_locked=True, is_there=gone)
    assert (found.is_running, found.state) == (is_running, state)


def test_only_while_the_outbox_is_locked() -> None:
    """A process that has just ended left a fresh file behind."""
    found = liveness([STATE], now=NOW, boot_id="this boot", is_locked=False, is_there=gone)
    assert (found.is_running, found.is_locked) == (False, False)
    assert found.state is STATE


def test_without_the_lock_the_process_itself_counts() -> None:
    """A disk that refuses from the start has no file to lock; the service is there all the same."""
    asked: list[Process] = []

    def is_there(process: Process) -> bool:
        asked.append(process)
        return True

    found = liveness([STATE], now=NOW, boot_id="this boot", is_locked=False, is_there=is_there)
    assert (found.is_running, found.is_locked, found.state) == (True, False, STATE)
    assert asked == [PROCESS]
    later = NOW.at(STATE.written_s + 100.0)
    found = liveness([STATE], now=later, boot_id="this boot", is_locked=False, is_there=is_there)
    assert (found.is_running, asked) == (False, [PROCESS])


def test_only_within_this_boot() -> None:
    """The monotonic clock starts anew with the machine, so ages across it mean nothing."""
    found = liveness([STATE], now=NOW, boot_id="another", is_locked=True, is_there=gone)
    assert not found.is_running
    assert found.state is STATE


@pytest.mark.parametrize(("theirs", "ours"), [("", "this boot"), ("this boot", ""), ("", "")])
@pytest.mark.parametrize("step_s", [0.0, 30.0, -1.0, 61.0])
def test_where_nothing_tells_the_boot(theirs: str, ours: str, step_s: float) -> None:
    """A unit of systemd may hide it; then the file is believed while both clocks agree on it."""
    state = STATE._replace(process=PROCESS._replace(boot_id=theirs))
    now = NOW._replace(utc=NOW.utc + timedelta(seconds=step_s))
    found = liveness([state], now=now, boot_id=ours, is_locked=True, is_there=gone)
    assert found.is_running is (0.0 <= step_s <= 60.0)


def test_a_fresh_one_counts_before_a_newer_one() -> None:
    """A service that once ran as another user left a file in another place."""
    older = STATE._replace(written=STATE.written - 10.0, written_s=990.0)
    of_before = STATE._replace(
        process=PROCESS._replace(boot_id="x"), written=NOW_UNIX_S + 50.0, written_s=5000.0
    )
    for states in ([older, STATE, of_before], [of_before, STATE, older]):
        found = liveness(states, now=NOW, boot_id="this boot", is_locked=True, is_there=gone)
        assert (found.is_running, found.state) == (True, STATE)
    later = NOW.at(STATE.written_s + 100.0)
    found = liveness(
        [STATE, of_before, older], now=later, boot_id="this boot", is_locked=True, is_there=gone
    )
    assert (found.is_running, found.state) == (False, of_before)


def test_nothing_is_there() -> None:
    """Nothing is known if nothing was ever written."""
    found = liveness([], now=NOW, boot_id="this boot", is_locked=True, is_there=gone)
    assert (found.is_running, found.is_locked, found.state) == (False, True, None)


def test_of_too_many_gx_devices_those_that_are_not_well_are_told_of() -> None:
    """A file of all of them would be larger than a reader takes."""
    many = [GxState(f"gx{n}", "", None, None, 0, is_well=n != 7000) for n in range(MOST_GX + 3000)]
    found = _bounded(many)
    assert (len(found), found[0].portal_id) == (MOST_GX, "gx7000")
    assert _bounded(many[:MOST_GX]) == tuple(many[:MOST_GX])
