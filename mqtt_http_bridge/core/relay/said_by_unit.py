"""Keeps what one unit has said since it appeared, by path, and what that implies."""

from collections.abc import Mapping
from typing import Final

from mqtt_http_bridge.core.relay import device_report as reports
from mqtt_http_bridge.core.venus.paths import (
    CONNECTED,
    NR_OF_TRACKERS,
    SERIAL,
    TRACKER_POWER,
    Row,
)
from mqtt_http_bridge.core.venus.payloads import Said, Sayings, Value, known

_TRACKER_POWERS: Final = frozenset(path.name for path in TRACKER_POWER)
_ABOUT_TRACKERS: Final = _TRACKER_POWERS | {NR_OF_TRACKERS.name}


class SaidByUnit:
    """Holds what one unit said, with no gap in which another unit may have spoken."""

    def __init__(
        self,
        paths: Mapping[str, Row],
        retained: Mapping[str, Said],
        identity: Mapping[str, Said] | None = None,
    ) -> None:
        """Begins with nothing said but `identity`. `retained` is what the broker keeps."""
        self.is_within_reach = False
        """True once it has said that it is."""
        self.has_several_trackers = False
        """True once its trackers have reported separately: from then on they always do."""
        self._paths = paths
        self._retained = retained
        self.said: dict[str, Said] = dict(identity or {})
        """The last thing it said on each path."""
        self._remembered = {p: said for p, said in self.said.items() if paths[p].is_lasting}
        self._powers_known: set[str] = set()
        self.count_trackers(NR_OF_TRACKERS.name)

    def take_in(self, path: str, said: Said) -> bool:
        """Applies `said` on `path`; tells whether that is a change."""
        before = self.said.get(path)
        if path == SERIAL.name and before is not None and reports.serial({path: said}) is None:
            return False  # A null does not take anything back: it is still the same unit.
        self.said[path] = said
        if path in _ABOUT_TRACKERS:
            self.count_trackers(path)
        if isinstance(said, Value):
            if self._paths[path].is_lasting:
                self._remembered[path] = said
            if path == CONNECTED.name:
                self.is_within_reach = True
        return said != before

    def count_trackers(self, path: str) -> None:
        """Notes what `path` shows about its trackers."""
        if path in self._powers_known:
            return
        if path in _TRACKER_POWERS and known(self._paths[path], self.said) is not None:
            self._powers_known.add(path)
        if reports.has_several_trackers(self.sayings, len(self._powers_known)):
            self.has_several_trackers = True

    @property
    def sayings(self) -> Sayings:
        """Returns the last thing it said on each path, or else what the broker retains."""
        return {**self._retained, **self.said} if self._retained else self.said

    @property
    def remembered(self) -> Sayings:
        """Returns the last known values that are kept after it has gone."""
        return {**self._retained, **self._remembered}

    @property
    def identity(self) -> dict[str, Said]:
        """Returns the values that it has reported about its identity."""
        return {path: said for path, said in self.said.items() if self._paths[path].is_identity}
