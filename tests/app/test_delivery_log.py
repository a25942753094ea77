"""Tests what is logged of delivery, where it takes no outbox and no backend."""

import logging

import pytest

from mqtt_http_bridge.app import delivery_log
from mqtt_http_bridge.app.delivery_log import DeliveryLog
from mqtt_http_bridge.core.delivery.refusal import Refusal
from mqtt_http_bridge.core.solar_backend.remedies import NOT_REGISTERED


def test_ever_new_serials_take_up_no_memory(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The latest are remembered, and logged once; those before them would be logged again."""
    caplog.set_level(logging.INFO, logger="mqtt_http_bridge.app.log")
    monkeypatch.setattr(delivery_log, "MOST_REFUSED", 3)
    log = DeliveryLog()
    for serial in ("A", "B", "C", "D", "D", "B", "A"):
        log.note_refused("gx", {serial: Refusal(NOT_REGISTERED, "not found")})
    told = [record.getMessage().split(": ")[1] for record in caplog.records]
    assert told == [f"readings of {serial}" for serial in "ABCDA"]
    log.note_freed("gx", "ABCD")
    assert [record.getMessage()[:37] for record in caplog.records[5:]] == [
        f"the backend stores readings of {serial} agai" for serial in "ACD"
    ]
