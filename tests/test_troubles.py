"""What counts as trouble, by the values it is told from."""

import pytest

from mqtt_http_bridge.core.site import SILENCE_S
from mqtt_http_bridge.core.troubles import is_heard
from mqtt_http_bridge.core.views import SiteView


@pytest.mark.parametrize(
    ("silent_s", "expected"),
    [(0.0, True), (SILENCE_S, True), (SILENCE_S + 0.1, False), (float("inf"), False)],
    ids=["just now", "a minute ago", "longer ago", "never"],
)
def test_a_gx_is_heard_as_long_as_it_is_measured(silent_s: float, expected: bool) -> None:
    """The page and the measurements agree on when a GX has fallen silent."""
    site = SiteView("c0619ab35133", "barn", heard_s=1000.0 - silent_s, chargers=())
    assert is_heard(site, 1000.0) is expected
