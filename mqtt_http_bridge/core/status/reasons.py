"""Puts into words why a GX is not well, and merges the same reason for several into one problem."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final, NamedTuple

from mqtt_http_bridge.core.status.problem import Kind, Problem
from mqtt_http_bridge.core.words import counted, span_words

MOST_NAMED: Final = 3


class Reason(NamedTuple):
    """Says why one GX is not well, in parts, so that several can be combined into one line."""

    kind: Kind
    what: str
    """It follows the name of the GX."""
    fix: str
    serial: str = ""
    """The device it is about."""
    owed: int = 0
    """The number of those that wait or are parked."""
    age_s: float = 0.0
    """The age of the oldest of them."""
    subject: str = ""
    """The name of the device."""


def fix_of(remedy: str) -> str:
    """Says what to do about what is parked."""
    return f"{remedy}, then run: outbox retry"


def together(found: Iterable[tuple[str, Reason]]) -> Iterator[Problem]:
    """Merges the same reason for several GX devices into one problem, with only a few of a kind."""
    alike: dict[tuple[Kind, str, str], list[tuple[str, Reason]]] = {}
    for name, reason in found:
        what = "" if reason.kind is Kind.GX_NOT_MEASURED else reason.what
        alike.setdefault((reason.kind, reason.serial, what), []).append((name, reason))
    of_kind: dict[Kind, int] = {}
    for (kind, _, _), those in alike.items():
        of_kind[kind] = of_kind.get(kind, 0) + 1
        if of_kind[kind] <= MOST_ALIKE:
            yield problem_of(named([name for name, _ in those]), _sum([each for _, each in those]))
    for kind, count in of_kind.items():
        if count > MOST_ALIKE:
            yield Problem(kind, f"and {count - MOST_ALIKE} more of this kind", "run: outbox status")


MOST_ALIKE: Final = 10
"""The most problems of one kind that are listed separately."""


def named(names: Sequence[str]) -> str:
    """Names a few, and counts the others."""
    if len(names) <= MOST_NAMED:
        return ", ".join(names)
    return f"{', '.join(names[:MOST_NAMED])} and {len(names) - MOST_NAMED} more"


def _sum(reasons: Sequence[Reason]) -> Reason:
    if len(reasons) == 1:
        return reasons[0]
    first = reasons[0]
    count = sum(reason.owed for reason in reasons)
    age_s = max(reason.age_s for reason in reasons)
    return Reason(first.kind, first.what, first.fix, first.serial, count, age_s, first.subject)


def problem_of(who: str, reason: Reason) -> Problem:
    """Makes the problem of a GX, or of several, that has this reason."""
    text = f"{who}: {_TEXTS.get(reason.kind, _plain)(reason)}"
    return Problem(reason.kind, text, reason.fix, reason.subject)


def _plain(reason: Reason) -> str:
    return reason.what


def _parked(reason: Reason) -> str:
    if not reason.owed:
        return f"readings of {reason.serial} are not stored: {reason.what}"
    return f"{parked_words(reason.owed, reason.serial)}: {reason.what}"


def parked_words(count: int, serial: str) -> str:
    """Says how much is parked."""
    return counted(count, f"report of {serial} is parked", f"reports of {serial} are parked")


def _newest(reason: Reason) -> str:
    text = f"the newest measurement is not stored: {reason.what}"
    return f"{text}: {_waiting(reason)}" if reason.owed > 1 else text


def _waiting(reason: Reason) -> str:
    span = span_words(reason.age_s)
    several = f"measurements wait, the oldest for {span}"
    return counted(reason.owed, f"measurement has waited for {span}", several)


_TEXTS: Final[dict[Kind, Callable[[Reason], str]]] = {
    Kind.PARKED: _parked,
    Kind.BACKEND_TAKES_NOTHING: _newest,
    Kind.NOT_STORED: _newest,
    Kind.OWED_FOR_LONG: _waiting,
}
