"""Tests the number of series in `/metrics`, which for a fleet grows only with the GX devices."""

from mqtt_http_bridge.core.status import metrics
from mqtt_http_bridge.core.venus.readings import ChargerKey
from tests.monitoring.views import SERIAL, day, site, with_everything
from tests.support.virtual import moment

STARTED, NOW = moment(0.0), moment(10_000.0)
MOST_PER_GX = 10


def series(text: str) -> list[str]:
    """The samples, without the lines that explain them."""
    return [line for line in text.splitlines() if not line.startswith("#")]


def fleet(gxs: int, chargers: int) -> str:
    """Returns the page for so many GX devices with so many chargers each, without the chargers."""
    one = site(NOW)
    every = tuple(
        one.chargers[0]._replace(key=ChargerKey("solarcharger", number))
        for number in range(chargers)
    )
    sites = [one._replace(portal_id=f"gx{number}", chargers=every) for number in range(gxs)]
    return metrics.render(day(STARTED, NOW, *sites), per_charger=False)


def test_without_chargers_only_each_gx_counts() -> None:
    """Twenty chargers make no more series than one, and a GX some ten."""
    assert len(series(fleet(5, 1))) == len(series(fleet(5, 20)))
    more = len(series(fleet(1000, 2))) - len(series(fleet(1, 2)))
    assert more <= MOST_PER_GX * 999
    assert SERIAL not in fleet(5, 2)
    assert "charger_" not in fleet(5, 2).replace("per_charger_", "")


def test_what_is_set_aside_is_told_of_all_together() -> None:
    """By serial it would grow with the chargers."""
    found = series(metrics.render(with_everything(STARTED, NOW), per_charger=False))
    (line,) = [line for line in found if "outbox_parked" in line]
    assert line == 'mqtt_http_bridge_outbox_parked{serial=""} 1.0'


def test_with_chargers_each_has_its_own() -> None:
    """As long as nobody asks for less."""
    found = series(metrics.render(with_everything(STARTED, NOW)))
    assert any("charger_power_watts" in line and SERIAL in line for line in found)
    assert any("outbox_parked" in line and SERIAL in line for line in found)
