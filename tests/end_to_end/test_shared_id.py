"""Tests two programs with one client id: the log, `status` and `check` say so."""

from typing import Any

import pytest

from tests.adapters.test_shared_id import rival
from tests.support.patience import wait_until
from tests.support.running import World, call

pytestmark = pytest.mark.one_charger

NAMED = "another client with this client id keeps taking the connection over"
REMEDY = "set mqtt.client_id"
QUICK = "from mqtt_http_bridge.adapters.broker import shared_id as s; s.LEAST_TRIAL_S = 0.5"


@pytest.fixture
def backend_options() -> dict[str, Any]:
    """Accepts what two clients with one id send."""
    return {"strict": False}


def test_another_client_with_our_id_is_named_everywhere(world: World) -> None:
    """Also by `check`, which comes by an id of its own and is let in."""
    process = world.run({"mqtt.client_id": "ear"}, fault=QUICK)
    world.backend.wait_for(1, 60.0)
    with rival(world.broker):
        assert REMEDY in process.wait_for(NAMED)

        def is_told_by(*verb: str) -> bool:
            said = call(*verb, "-c", "config.yaml", directory=world.directory)
            return NAMED in said.stdout and REMEDY in said.stdout

        wait_until(lambda: is_told_by("status"))
        assert is_told_by("check")
    assert len(process.said(NAMED)) == 1
    assert process.stop() == 0
