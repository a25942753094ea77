"""Generates any possible measurement, for hypothesis."""

from datetime import UTC

from hypothesis import strategies as st

from mqtt_http_bridge.core.measurement import DeviceReport, Measurement, TrackerReport

numbers = st.floats(allow_nan=False, allow_infinity=False)
trackers = st.builds(TrackerReport, st.integers(0, 15), st.text(), numbers, numbers)
devices = st.builds(
    DeviceReport,
    device_instance=st.integers(min_value=0),
    serial=st.text(),
    name=st.text(),
    product_name=st.text(),
    reachable=st.booleans(),
    producing=st.booleans(),
    last_update_s=st.integers(-(10**12), 10**12),
    yield_power_w=numbers,
    yield_total_kwh=numbers,
    trackers=st.lists(trackers, max_size=4).map(tuple),
)
measurements = st.builds(
    Measurement,
    timestamp=st.datetimes(timezones=st.just(UTC)),
    cerbo_serial=st.text(),
    devices=st.lists(devices, max_size=3).map(tuple),
)
