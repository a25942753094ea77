"""The power of each charger in the last hours: means over equal spans, for small plots."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from mqtt_http_bridge.core.measurement import Measurement
from mqtt_http_bridge.core.views import Points


@dataclass(slots=True)
class _Span:
    """The sum of what was measured in one span that starts at `start_s`."""

    start_s: float
    sum_w: float = 0.0
    count: int = 0


class History:
    """The last `most` spans of `span_s` seconds, of each serial. Owned by one thread."""

    def __init__(self, span_s: float, most: int) -> None:
        self._span_s = span_s
        self._most = most
        self._spans: dict[str, list[_Span]] = {}

    def add(self, measurement: Measurement) -> None:
        """Takes in the power of each device."""
        unix_s = measurement.timestamp.timestamp()
        start_s = unix_s - unix_s % self._span_s
        for device in measurement.devices:
            spans = self._spans.setdefault(device.serial, [])
            if not spans or spans[-1].start_s != start_s:
                spans.append(_Span(start_s))
                del spans[: -self._most]
            spans[-1].sum_w += device.yield_power_w
            spans[-1].count += 1

    def keep(self, serials: Iterable[str]) -> None:
        """Forgets every device that is not in `serials`."""
        wanted = frozenset(serials)
        self._spans = {serial: s for serial, s in self._spans.items() if serial in wanted}

    def view(self) -> Mapping[str, Points]:
        """The points of each serial, oldest first."""
        return MappingProxyType(
            {
                serial: tuple((s.start_s, round(s.sum_w / s.count, 1)) for s in spans)
                for serial, spans in self._spans.items()
            }
        )
