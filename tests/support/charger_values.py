"""Holds values by path for chargers: use them with `add` of the stand-in GX."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class TrackerValues:
    """The values of one tracker of a multi-tracker charger."""

    name: str | None
    voltage_v: float
    power_w: float
    enabled: bool = True


# Those of the recorded MPPT RS: no name on the third, nothing connected to the fourth.
FOUR_TRACKERS = (
    TrackerValues(name="Barn east", voltage_v=310.32, power_w=1458.0),
    TrackerValues(name="Barn west", voltage_v=290.88, power_w=1271.0),
    TrackerValues(name="", voltage_v=303.88, power_w=659.0),
    TrackerValues(name=None, voltage_v=0.71, power_w=0.0, enabled=False),
)


def single_tracker(
    *,
    serial: str | None = "HQ2211AAAA1",
    product_name: str | None = "BlueSolar Charger MPPT 150/45 rev3",
    custom_name: str | None = "South roof",
    state: int | None = 252,
    voltage_v: float | None = 62.47999954223633,
    power_w: float | None = 64.52999877929688,
    total_kwh: float | None = 20.760000228881836,
    old_firmware: bool = False,
) -> dict[str, object]:
    """The values of a charger with one tracker, on VE.Direct.

    None is published as null. Old firmware knows neither `NrOfTrackers` nor `CustomName`.
    """
    values = _charger(
        serial=serial,
        product_name=product_name,
        state=state,
        power_w=power_w,
        total_kwh=total_kwh,
        battery_voltage_v=52.41999816894531,
    )
    values |= {"Mgmt/Connection": "VE.Direct", "ProductId": 41074, "Pv/V": voltage_v}
    if not old_firmware:
        values |= {"CustomName": custom_name, "NrOfTrackers": 1}
    return values


def multi_tracker(
    trackers: Sequence[TrackerValues] = FOUR_TRACKERS,
    *,
    serial: str | None = "1234567 HQ2233RS45X",
    product_name: str | None = "SmartSolar MPPT RS 450/200",
    custom_name: str | None = "MPPT RS barn",
    state: int | None = 3,
    total_kwh: float | None = 18250.48046875,
) -> dict[str, object]:
    """The values of a charger with several trackers, on VE.Can: there is no `Pv/V`.

    None is published as null. The charger's power is the sum of its trackers'.
    """
    values = _charger(
        serial=serial,
        product_name=product_name,
        state=state,
        power_w=sum(tracker.power_w for tracker in trackers),
        total_kwh=total_kwh,
        battery_voltage_v=53.11,
    )
    values |= {"Mgmt/Connection": "VE.Can", "ProductId": 41233}
    values |= {"CustomName": custom_name, "NrOfTrackers": len(trackers)}
    for number, tracker in enumerate(trackers):
        values |= _tracker(number, tracker)
    return values


def _charger(
    *,
    serial: str | None,
    product_name: str | None,
    state: int | None,
    power_w: float | None,
    total_kwh: float | None,
    battery_voltage_v: float,
) -> dict[str, object]:
    """Returns what every charger says, some of it of no interest to anybody here."""
    return {
        "Connected": 1,
        "Dc/0/Current": 1.2000000476837158,
        "Dc/0/Voltage": battery_voltage_v,
        "DeviceOffReason": 0,
        "ErrorCode": 0,
        "FirmwareVersion": 356,
        "HardwareVersion": None,
        "History/Daily/0/Consumption": None,
        "History/Daily/0/MaxPower": 251.0,
        "History/Daily/0/Yield": 0.3400000035762787,
        "History/Overall/DaysAvailable": 31,
        "BrokerConnection/NetworkMode": 13,
        "Mode": 1,
        "MppOperationMode": 2,
        "ProductName": product_name,
        "Serial": serial,
        "State": state,
        "Yield/Power": power_w,
        "Yield/System": total_kwh,
        "Yield/User": total_kwh,
    }


def _tracker(number: int, tracker: TrackerValues) -> dict[str, object]:
    return {
        f"Pv/{number}/Enabled": int(tracker.enabled),
        f"Pv/{number}/MppOperationMode": 2 if tracker.enabled else 0,
        f"Pv/{number}/Name": tracker.name,
        f"Pv/{number}/P": tracker.power_w,
        f"Pv/{number}/V": tracker.voltage_v,
        f"History/Daily/0/Pv/{number}/MaxPower": tracker.power_w,
    }
