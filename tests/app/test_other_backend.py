"""Tests that another backend is one module, and the outbox, the sender and HTTP stay the same."""

import logging
from pathlib import Path

import pytest

from mqtt_http_bridge.adapters.backend import Backend
from mqtt_http_bridge.adapters.outbox import Boot, inspection
from mqtt_http_bridge.core.delivery.dialect import Dialect
from mqtt_http_bridge.core.settings import BackendSettings, Secret
from tests.support.measuring import measurement
from tests.support.other_backend import OtherBackend, OtherServer
from tests.support.outboxes import GX
from tests.support.sending import BOOT, OneKey, Sending

OTHER: Dialect = OtherBackend()
TOKEN = Secret("the token")


pytestmark = pytest.mark.usefixtures("quick_disk")


def test_another_backend_is_one_module(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """It is sent what it wants, where and how it wants it; its verdicts are carried out."""
    caplog.set_level(logging.INFO, "mqtt_http_bridge.app.log")
    with OtherServer() as server:
        backend = Backend(BackendSettings(server.url, TOKEN), OTHER)
        with Sending(tmp_path, backend, dialect=OTHER, keys=OneKey(TOKEN)) as sending:
            sending.send(measurement("A", "B"))
            ((path, headers, body),) = server.requests
            assert path == "/ingest;v=7"
            assert (headers["Authorization"], headers["Content-Type"]) == (
                "Token the token",
                "text/csv",
            )
            assert "X-API-Key" not in headers
            assert body == b"1795424400000;c0619ab2f7e1|A;64.5|B;64.5"
            # The one that it refuses is parked, with its remedy, and arrives once it is fixed.
            assert (sending.waiting, sending.parked) == (0, ["B"])
            assert "not in the contract: have it added to the contract" in caplog.text
            (portal,) = inspection.status(tmp_path, None, OTHER).portals
            (parked,) = portal.parked
            assert parked.reason == "no contract: not in the contract"
            server.contract.add("B")
            sending.run_for(3600.0)
            assert server.requests[-1][2] == b"1795424400000;c0619ab2f7e1|B;64.5"
            assert sending.is_all_done


def test_an_outage_of_another_backend_keeps_everything(tmp_path: Path) -> None:
    """The same bytes arrive later, from the disk, once the clock has been put right."""
    with OtherServer() as server:
        url = server.url
    backend = Backend(BackendSettings(url, TOKEN), OTHER)
    with Sending(tmp_path, backend, dialect=OTHER) as sending:
        body = OTHER.body(measurement("A"))
        sending.outbox.store(body, portal_id=GX, is_clock_trusted=False)
        sending.outbox.note_clock_step(3.5)
        sending.outbox.flush(5.0)
        assert sending.waiting == 1
    with OtherServer() as server:
        backend = Backend(BackendSettings(server.url, TOKEN), OTHER)
        with Sending(tmp_path, backend, dialect=OTHER, boot=Boot(BOOT.boot_id, 3.5)) as sending:
            sending.run_for(1.0)
            assert sending.is_all_done
        assert [body for _, _, body in server.requests] == [b"1795424403500;c0619ab2f7e1|A;64.5"]
