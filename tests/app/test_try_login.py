"""Tests how long a login may take, whatever the broker does meanwhile."""

from contextlib import nullcontext
from types import SimpleNamespace

import pytest

from mqtt_http_bridge.app import try_login
from mqtt_http_bridge.app.inbox import Inbox
from mqtt_http_bridge.app.try_login import LOGIN_S, login_failure
from mqtt_http_bridge.core.broker_failure import Cause
from mqtt_http_bridge.core.events import Dropped, Event
from mqtt_http_bridge.core.settings import MqttSettings
from tests.support.virtual import moment


class Flood(Inbox):
    """Always has one more event that is no answer to the login."""

    now_s = 0.0

    def get(self, timeout_s: float | None = None) -> Event | None:
        Flood.now_s += 0.5
        assert Flood.now_s < 2 * LOGIN_S, "it goes on for ever"
        return Dropped(moment(Flood.now_s), packets=1)


def test_a_flood_ends_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """A broker that sends and sends, and lets nobody in, has as long as a silent one."""
    monkeypatch.setattr(try_login, "Inbox", Flood)
    monkeypatch.setattr(try_login, "visiting", lambda *_: nullcontext())
    monkeypatch.setattr(try_login, "time", SimpleNamespace(monotonic=lambda: Flood.now_s))
    failure = login_failure(MqttSettings())
    assert failure is not None
    assert failure.cause is Cause.TIMED_OUT
    assert Flood.now_s == LOGIN_S
