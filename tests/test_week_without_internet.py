"""A week without internet on virtual time: nothing lost, nothing changed, the present first."""

import os
from itertools import pairwise
from pathlib import Path

import pytest

from mqtt_http_bridge.core.delivery import Answer, NoReply, Reply
from mqtt_http_bridge.core.measurement import Measurement, to_json
from tests.measuring import measurement
from tests.sending import Scripted, Sending

INTERVAL_S = 30.0
WEEK = 7 * 24 * 120
POST_S = 0.05
"""How long a POST takes."""


class Internet(Scripted):
    """Away for a week, then back; a POST takes its time."""

    def __init__(self) -> None:
        super().__init__(self._answer)
        self.is_up = False
        self.sending: Sending | None = None

    def _answer(self, body: bytes) -> Answer:
        assert self.sending is not None
        self.sending.outbox.now_s += POST_S
        return Reply(201) if self.is_up else NoReply("no connection", is_sent=False)

    @property
    def stored(self) -> list[tuple[float, bytes]]:
        """When what was sent since the internet is back."""
        return [(at_s, body) for at_s, body in self.posts if at_s >= self.back_s]

    back_s = float("inf")


@pytest.fixture
def _quick_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """20,160 times flushing is the disk's time, not ours; power cuts are tested elsewhere."""
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


@pytest.mark.usefixtures("_quick_disk")
def test_a_week_without_internet(tmp_path: Path) -> None:
    """20,160 measurements wait, and drain at the pace while live ones never wait for long."""
    internet = Internet()
    with Sending(tmp_path, internet) as sending:
        internet.sending, internet.now_s = sending, lambda: sending.now_s
        made = [_tick(sending, n) for n in range(WEEK)]
        tries = len(internet.posts)
        assert len(sending.outbox) == WEEK

        internet.is_up, internet.back_s = True, sending.now_s
        first_live = len(made)
        while len(sending.outbox) > 1:
            made.append(_tick(sending, len(made)))
        sending.run_for(INTERVAL_S)

        assert sending.is_all_done
        _check_drained(internet, made, first_live)
    # One try every five minutes at least, and none between them.
    assert 7 * 24 * 12 <= tries <= 7 * 24 * 12 + 30


def _tick(sending: Sending, number: int) -> Measurement:
    """One interval: a measurement is made, and the rest of the 30 s goes by."""
    made = measurement("A", "B", at_s=number * INTERVAL_S)
    left_s = (number + 1) * INTERVAL_S - sending.now_s
    sending.send(made, for_s=max(0.0, left_s))
    return made


def _check_drained(internet: Internet, made: list[Measurement], first_live: int) -> None:
    bodies = [body for _, body in internet.stored]
    assert sorted(bodies) == [to_json(one) for one in made]

    live = set(map(to_json, made[first_live:]))
    backlog = [(at_s, body) for at_s, body in internet.stored if body not in live]
    order = [body for _, body in backlog]
    # The one that was fresh when the internet came back goes first, then the oldest first.
    assert order == sorted(order) or order[1:] == sorted(order[1:])
    gaps = [later - earlier for (earlier, _), (later, _) in pairwise(backlog)]
    assert min(gaps[1:]) >= 0.1 - 1e-6
    assert sum(gaps) / len(gaps) < 0.12

    sent_s = {body: at_s for at_s, body in internet.stored}
    for number in range(first_live + 20, len(made)):  # Past the last wait of the outage.
        waited_s = sent_s[to_json(made[number])] - number * INTERVAL_S
        assert waited_s <= POST_S + 1e-6
