"""Mutation testing: python -m tests.mutation [OPTION...] [MODULE...]; --help names the options.

Makes small faults in the modules that decide and in those that keep measurements, one at a time, in
a copy of the tree, and runs the tests that cover the module. A fault that no test notices is
printed: a survivor. Either a test is missing, or the fault changes nothing that matters:
`explained.txt` beside this file has those, with the reason. They are only counted, and not run:
each would take as long as all tests of the module.

    python -m tests.mutation core.delivery --sample 20        # 20 of each module, always the same
    python -m tests.mutation adapters/outbox/index            # all of one module
    python -m tests.mutation adapters/outbox/index --quick    # without the slow tests

One process, at the lowest priority. Returns 1 if there are survivors that nobody has explained.
"""

import argparse
import os
import random
import re
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Final

from tests.mutation.covering import SLOW, file_of, modules, other_tests, own_tests
from tests.mutation.mutants import Mutant, mutants
from tests.mutation.runs import NO_TESTS, PASSED, TOOK_TOO_LONG, Copy
from tests.support.places import CHECKOUT

EXPLAINED: Final = Path(__file__).parent / "explained.txt"
LONGEST_S: Final = 600.0
"""For what is not mutated: it has to pass."""
LEAST_S: Final = 20.0
FACTOR: Final = 4.0
"""A mutant may take so many times what the module itself takes, and LEAST_S more."""
MOST_KEEN: Final = 12
"""So many tests that have noticed a fault meet the next one before all others."""


def main() -> int:
    """Runs; prints a line for each module and each survivor."""
    options = _options()
    began_s, counts = time.monotonic(), Counter[str]()
    os.nice(19)
    with tempfile.TemporaryDirectory() as directory:
        copy = Copy(CHECKOUT, Path(directory))
        ends_s = began_s + 60.0 * options.minutes
        for module in modules(options.modules):
            if time.monotonic() > ends_s:
                counts["modules left out"] += 1
                continue
            _try_module(copy, module, options, counts, ends_s)
    told = ", ".join(f"{count} {what}" for what, count in counts.items())
    print(f"{told or 'nothing to do'}, in {(time.monotonic() - began_s) / 60:.0f} min", flush=True)
    return 1 if counts["survived"] else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.mutation", description="Mutation testing"
    )
    parser.add_argument("modules", nargs="*", metavar="MODULE", help="such as core.delivery")
    parser.add_argument("--sample", type=int, help="so many mutants of each module; all by default")
    parser.add_argument("--seed", type=int, default=2026, help="of what is sampled")
    parser.add_argument("--minutes", type=float, default=1e6, help="begin nothing after that")
    parser.add_argument("--quick", action="store_true", help="leave out the tests that take long")
    parser.add_argument("--list", action="store_true", help="print the mutants and run nothing")
    return parser.parse_args()


def _chosen(module: str, options: argparse.Namespace) -> list[Mutant]:
    found = mutants((CHECKOUT / file_of(module)).read_text(encoding="utf-8"))
    if options.sample is None or options.sample >= len(found):
        return found
    rng = random.Random(f"{options.seed} {module}")
    places = sorted(rng.sample(range(len(found)), options.sample))
    return [found[place] for place in places]


def _try_module(
    copy: Copy, module: str, options: argparse.Namespace, counts: Counter[str], ends_s: float
) -> None:
    chosen, path = _chosen(module, options), file_of(module)
    if options.list or not chosen:
        _print_list(module, chosen)
        return
    text = (CHECKOUT / path).read_text(encoding="utf-8")
    tests = _Tests(copy, module, is_quick=options.quick)
    before, reasons = Counter(counts), _Reasons(module, text)
    for mutant in chosen:
        if time.monotonic() > ends_s:
            counts["left out"] += 1
            continue
        how = "explained"
        if not reasons.has(mutant) or reasons.is_one_of_several(mutant):
            how = tests.fate(path, mutant.text, text)
        if how == "survived" and reasons.has(mutant):
            how = "explained"
        counts[how] += 1
        if how == "survived":
            print(f"{path}:{mutant.line}: {mutant.what}", flush=True)
    copy.put(path, text)
    new = counts - before
    print(f"   {module}: " + ", ".join(f"{n} {what}" for what, n in new.items()), flush=True)


def _print_list(module: str, chosen: list[Mutant]) -> None:
    print(f"   {module}: {len(chosen)}")
    for mutant in chosen:
        print(f"{file_of(module)}:{mutant.line}: {mutant.what}")


def failed_in(log: str) -> list[str]:
    """Gives the tests that failed by what pytest has printed, without their parameters."""
    return re.findall(r"^(?:FAILED|ERROR) (\S+?::[^\s\[]+)", log, re.MULTILINE)


class _Reasons:
    """The faults of a module that are explained."""

    def __init__(self, module: str, text: str) -> None:
        lines = EXPLAINED.read_text(encoding="utf-8").splitlines()
        self._named = set(lines)
        self._module = module
        self._looks = Counter(mutant.what for mutant in mutants(text))

    def has(self, mutant: Mutant) -> bool:
        """Tells whether there is a reason for a fault that looks like this one."""
        return f"{self._module}: {mutant.what}" in self._named

    def is_one_of_several(self, mutant: Mutant) -> bool:
        """Tells whether others look the same: the reason may be that of another."""
        return self._looks[mutant.what] > 1


class _Tests:
    """The tests that cover a module: the quick ones first, and how long they may take."""

    def __init__(self, copy: Copy, module: str, *, is_quick: bool) -> None:
        own, others, slow = own_tests(module), other_tests(module), " or ".join(SLOW)
        self._copy = copy
        self._runs = [[*files, "-k", f"not ({slow})"] for files in (own, others) if files]
        if not is_quick:
            self._runs.append([*own, *others, "-k", slow])
        self._limits_s: dict[int, float | None] = {}
        self._keen: list[str] = []
        """Those that have noticed something, the latest first: most mutants meet no others."""

    def fate(self, path: Path, mutant: str, sound: str) -> str:
        """Tells what the tests make of a mutant of the module at `path`."""
        if self._keen:
            self._copy.put(path, mutant)
            shortest_s = min(filter(None, self._limits_s.values()))
            status = self._copy.run(self._keen, shortest_s)
            # They may take longer than the run with that limit: if so, it has to tell.
            if status != TOOK_TOO_LONG and (how := self._told(status)):
                return how
        for place, arguments in enumerate(self._runs):
            if place not in self._limits_s:
                self._copy.put(path, sound)
                self._limits_s[place] = self._limit_s(arguments)
            limit_s = self._limits_s[place]
            if limit_s is None:
                continue
            self._copy.put(path, mutant)
            if how := self._told(self._copy.run(arguments, limit_s)):
                return how
        return "survived"

    def _told(self, status: int) -> str:
        """Tells what a run says about a mutant; empty if it says nothing."""
        if status == PASSED:
            return ""
        if status == TOOK_TOO_LONG:
            return "timed out"
        found = failed_in(self._copy.log.read_text(encoding="utf-8", errors="replace"))
        keen = [test for test in found if not test.endswith(SLOW)]
        self._keen = list(dict.fromkeys([*keen, *self._keen]))[:MOST_KEEN]
        return "noticed"

    def _limit_s(self, arguments: list[str]) -> float | None:
        """Tells how long a run may take; None if there are no such tests."""
        began_s = time.monotonic()
        status = self._copy.run(arguments, LONGEST_S)
        if status not in (PASSED, NO_TESTS):
            found = self._copy.log.read_text(encoding="utf-8")[-3000:]
            sys.exit(f"expected the tests to pass as they are, found:\n{found}")
        took_s = time.monotonic() - began_s
        return LEAST_S + FACTOR * took_s if status == PASSED else None


if __name__ == "__main__":
    sys.exit(main())
