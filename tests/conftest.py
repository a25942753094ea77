"""What holds for all tests: the same examples every time, and no proxy between us and loopback."""

import logging
import os
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

pytest_plugins = ["tests.installing"]

settings.register_profile(
    "steady", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("searching", deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "steady"))


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Takes away the variables that would change what the relay does."""
    for name in list(os.environ):
        if name.lower().endswith("_proxy") or name.startswith("MQTT_HTTP_BRIDGE_"):
            monkeypatch.delenv(name)


@pytest.fixture(autouse=True)
def _no_level_of_before() -> Iterator[None]:
    """Takes back the level that a verb sets on the log of the package."""
    yield
    logging.getLogger("mqtt_http_bridge").setLevel(logging.NOTSET)
