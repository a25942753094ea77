"""Decides which lines are logged: what flaps for days must not push out everything else.

The GX keeps 100 kB of log for a service; a loose plug could fill that in an afternoon. So lines are
counted by kind, not by text, as texts contain times, counts and quotations:

    a line                                          is logged
    ----------------------------------------------  ------------------------------------------------
    the first of its kind that day                  always
    another one                                     if there were less than three of its kind that
                                                    day, and less than ten such lines of all kinds
    that something is well again                    if the log knows of the trouble, and only then
    of a trouble that was left out                  once the trouble has lasted for an hour

A line about one of many GX devices, chargers or other devices belongs to a crowd: after
MOST_OF_A_CROWD lines of a crowd in a day, no more are logged one by one. A minute later, and then
every hour, one line says how many others there are. So when a fleet of a thousand loses its broker,
it does not flood the log with a thousand lines.

A day begins with the first line after the previous day. Lines that were left out are counted, and
the count is logged with the next line of that kind, or at the end of the day. So a day in which
everything flaps has fewer than thirty lines, and the last line about anything is true.
"""

from typing import Final, Literal, NamedTuple

from mqtt_http_bridge.core.events import NEVER
from mqtt_http_bridge.core.log import Log
from mqtt_http_bridge.core.words import counted

DAY_S: Final = 86_400.0
TIMES: Final = 3
MOST_REPEATS: Final = 10
LASTING_S: Final = 3600.0
MOST_OF_A_CROWD: Final = 20
"""More GX devices or chargers than anybody would read the names of."""
CROWD_GATHERS_S: Final = 60.0
CROWD_SPACING_S: Final = 3600.0
MOST_COUNTED: Final = 100_000
MOST_KNOWN: Final = 1000
"""A fleet has a few hundred kinds, but names, and with them kinds, may keep changing for ever."""


class _Kind:
    """The lines of one kind of this day."""

    def __init__(self) -> None:
        self.told = 0
        self.left_out = 0


class _Trouble(NamedTuple):
    """The lines logged so far about one trouble."""

    line: Log
    since_s: float
    is_told: bool


class _Crowd:
    """Lines that are each about one of many alike."""

    def __init__(self) -> None:
        self.told = 0
        self.level: Literal["INFO", "WARNING", "ERROR"] = "INFO"
        self.named: set[str] = set()
        """Those that had a line of their own, until there is a count: they do not count as others.
        """
        self.others: set[str] = set()
        """Those that had no line since the last count."""
        self.due_s = NEVER
        self.counted_s = -NEVER

    def add(self, line: Log, now_s: float) -> None:
        """Counts a line that is not logged."""
        if _subject(line) in self.named:
            return
        if not self.others:
            self.due_s = max(now_s + CROWD_GATHERS_S, self.counted_s + CROWD_SPACING_S)
        if len(self.others) < MOST_COUNTED:
            self.others.add(_subject(line))
        self.level = line.level

    def count(self, crowd: str, now_s: float) -> Log:
        """Says how many there were since the last time."""
        text = f"{len(self.others)} more: {crowd}"
        self.others.clear()
        self.named.clear()
        self.due_s, self.counted_s = NEVER, now_s
        return Log(self.level, text)


def _subject(line: Log) -> str:
    return line.about or line.text


class LogLimit:
    """Keeps what was logged since the day began. One caller at a time."""

    def __init__(self) -> None:
        self._day_ends_s = -NEVER
        self._repeats = 0
        self._kinds: dict[str, _Kind] = {}
        self._troubles: dict[str, _Trouble] = {}
        """By what they are about."""
        self._crowds: dict[str, _Crowd] = {}

    def pass_on(self, line: Log, now_s: float) -> list[Log]:
        """Returns the lines to log: whatever has become due, and then the line, or nothing."""
        due = self.due(now_s)
        crowd = self._crowds.setdefault(line.crowd, _Crowd()) if line.crowd else None
        if crowd is not None and crowd.told >= MOST_OF_A_CROWD:
            crowd.add(line, now_s)
            if line.is_end:
                self._troubles.pop(line.about, None)
            return due
        is_end = line.is_end and line.about in self._troubles
        told = self._end(line) if is_end else self._begin(line, now_s)
        if crowd is not None and told:
            crowd.told += 1
            crowd.named.add(_subject(line))
        return [*due, *told]

    def due(self, now_s: float) -> list[Log]:
        """Returns the lines to log even though nothing has happened."""
        lines = self._end_day(now_s)
        for about, trouble in self._troubles.items():
            if not trouble.is_told and now_s >= trouble.since_s + LASTING_S:
                self._troubles[about] = trouble._replace(is_told=True)
                kind = self._kind(trouble.line)
                kind.left_out = max(0, kind.left_out - 1)
                lines.append(_told(trouble.line, kind))
        lines += [
            crowd.count(name, now_s) for name, crowd in self._crowds.items() if now_s >= crowd.due_s
        ]
        return lines

    def _end_day(self, now_s: float) -> list[Log]:
        if now_s < self._day_ends_s:
            return []
        left_out = {name: kind.left_out for name, kind in self._kinds.items() if kind.left_out}
        self._day_ends_s = now_s + DAY_S
        self._repeats = 0
        self._kinds.clear()
        counts = [c.count(name, now_s) for name, c in self._crowds.items() if c.others]
        self._crowds.clear()
        if not left_out:
            return counts
        count, most = sum(left_out.values()), max(left_out, key=lambda name: left_out[name])
        lines = counted(count, "line was", "lines were")
        text = f"{lines} left out of the log in a day, {left_out[most]} like: {most}"
        return [*counts, Log("INFO", text)]

    def _begin(self, line: Log, now_s: float) -> list[Log]:
        kind = self._kind(line)
        is_told = kind.told == 0 or (kind.told < TIMES and self._repeats < MOST_REPEATS)
        if line.about and not line.is_end:
            self._note(line, now_s, is_told=is_told)
        return self._pass(line, kind, is_told=is_told)

    def _pass(self, line: Log, kind: _Kind, *, is_told: bool) -> list[Log]:
        if not is_told:
            kind.left_out += 1
            return []
        self._repeats += kind.told > 0
        kind.told += 1
        return [_told(line, kind)]

    def _note(self, line: Log, now_s: float, *, is_told: bool) -> None:
        known = self._troubles.get(line.about)
        if known is None:
            if len(self._troubles) >= MOST_KNOWN:
                del self._troubles[next(iter(self._troubles))]
            self._troubles[line.about] = _Trouble(line, now_s, is_told)
        elif is_told or not known.is_told:
            self._troubles[line.about] = known._replace(line=line, is_told=is_told)

    def _end(self, line: Log) -> list[Log]:
        trouble = self._troubles.pop(line.about)
        return self._pass(line, self._kind(line), is_told=trouble.is_told)

    def _kind(self, line: Log) -> _Kind:
        name = line.kind or line.text
        if name not in self._kinds and len(self._kinds) >= MOST_KNOWN:
            del self._kinds[next(iter(self._kinds))]
        return self._kinds.setdefault(name, _Kind())


def _told(line: Log, kind: _Kind) -> Log:
    """Adds how many of its kind were left out before."""
    more, kind.left_out = kind.left_out, 0
    if not more:
        return line
    lines = counted(more, "line like this one was", "lines like this one were")
    return line._replace(text=f"{line.text} ({lines} left out before)")
