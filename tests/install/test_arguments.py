"""Tests the arguments of ./install.sh: each combination is carried out, or refused (status 2)."""

import shlex
import subprocess
from itertools import combinations
from pathlib import Path

import pytest

from tests.support.installing import install
from tests.support.look_alike import LookAlike
from tests.support.places import ROOT

pytestmark = pytest.mark.once

FIRST_CONFIG = {"--url", "--api-key-file", "--config"}
TRUST = {"--fingerprint", "--web-fingerprint", "--password-file"}
OLD_BRIDGE = {"--take-over", "--keep-old"}
TAKEN: dict[tuple[str, str], set[str]] = {
    ("", "gx"): FIRST_CONFIG | OLD_BRIDGE | {"--wait"},
    ("", "host"): FIRST_CONFIG | TRUST | {"--gx", "--instance", "--wait"},
    ("--uninstall", "gx"): {"--purge", "--yes", "--restore-old"},
    ("--uninstall", "host"): {"--purge", "--yes", "--instance"},
    ("--usb", "none"): FIRST_CONFIG | OLD_BRIDGE,
    ("--bundle", "none"): set(),
    ("--local", "none"): set(),
    ("--demo", "none"): {"--hold"},
    ("--from-usb", "gx"): set(),
}
"""For each thing to do, and each kind of machine, the options that it obeys."""
MEANINGLESS = {
    frozenset(("--config", other)) for other in ("--url", "--api-key-file", "--gx", *TRUST)
} | {frozenset(OLD_BRIDGE)}
VALUES = {
    "--url": "https://a.example", "--api-key-file": "/dev/stdin", "--config": "/dev/stdin",
    "--fingerprint": "AB", "--web-fingerprint": "CD", "--password-file": "/dev/stdin",
    "--gx": "10.0.0.1", "--instance": "barn", "--wait": "1",
    **dict.fromkeys(("--purge", "--yes", "--hold", "--restore-old", *OLD_BRIDGE), ""),
}  # fmt: skip
ALONE = {"--restore-old"}
"""An option that is a thing to do if there is no other: on a GX, and with no other option."""


def is_done(action: str, machine: str, options: frozenset[str]) -> bool:
    if not action and options & ALONE:
        return machine == "gx" and options == ALONE
    return options <= TAKEN[action, machine] and not any(pair <= options for pair in MEANINGLESS)


def answers(cases: list[tuple[list[str], str]]) -> list[str]:
    """For each command line and machine, what its check says: `done`, or the words of a refusal."""
    script = [
        "set -eu; usage() { :; }; is_file() { :; }",
        f". {ROOT}/service/arguments.sh",
        "is_file() { :; }",
    ]
    for words, machine in cases:
        script.append(
            f"( read_arguments {shlex.join(words)} && check_arguments {machine} && echo done 0 )"
            ' || echo "status $?"'
        )
    said = subprocess.run(
        ["sh"],
        input="\n".join(script),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        check=True,
        text=True,
    )
    return said.stdout.splitlines()


def test_every_combination_is_done_or_refused() -> None:
    """Of no, one and two options, for each thing to do on each kind of machine."""
    sets = [frozenset(found) for size in (0, 1, 2) for found in combinations(sorted(VALUES), size)]
    cases = [(action, machine, options) for action, machine in TAKEN for options in sets]
    lines = [
        (
            [*filter(None, [action]), *(w for o in sorted(options) for w in (o, VALUES[o]) if w)],
            machine,
        )
        for action, machine, options in cases
    ]
    for case, found in zip(cases, answers(lines), strict=True):
        assert found == ("done 0" if is_done(*case) else "status 2"), case


@pytest.mark.parametrize(
    "words",
    [
        "--usb --bundle",
        "--uninstall --demo",
        "--url",
        "--url https://a --url https://b",
        "--wait soon",
        "--wait ''",
        "--frob",
        "-x",
        "''",
        "gx",
        "root@",
        "@gx",
        "root@-oProxyCommand=x",
        "root@a root@b",
        "root@a@b",
        "'root@gx; reboot'",
        "--usb root@gx",
        "--demo root@gx",
        "--instance config",
        "--instance outbox",
        "--instance -x",
        "--instance a/b",
        "--instance ..",
        "--instance a.b",
        f"--instance {'a' * 33}",
    ],
)
def test_what_makes_no_sense_is_refused(words: str) -> None:
    """On every kind of machine."""
    cases = [(shlex.split(words), machine) for machine in ("gx", "host")]
    assert answers(cases) == ["status 2", "status 2"]


@pytest.mark.parametrize("name", ["barn", "roof-2", "A_1", "a" * 32])
def test_names_of_instances(name: str) -> None:
    """Letters, digits, - and _."""
    assert answers([(["--instance", name], "host")]) == ["done 0"]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("--purge", "--purge: expected --uninstall as well, found none"),
        ("--gx 10.0.0.1", "--gx: not an option for installing on a GX"),
        ("--uninstall --instance barn", "--instance: not an option for --uninstall on a GX"),
        ("--uninstall --wait 5", "--wait: not an option for --uninstall on a GX"),
        ("--api-key-file /nowhere", "--api-key-file: expected a readable file, found none"),
    ],
)
def test_a_refusal_touches_nothing(
    gx: LookAlike, unpacked: Path, words: str, expected: str
) -> None:
    """It names the option, before anything is looked at."""
    subprocess.run(["cp", "-a", unpacked, gx / "srv/archive"], check=True)
    before = gx.tree("proc")
    said = gx.run(f"/srv/archive/install.sh {words}")
    assert said.returncode == 2
    assert expected in said.stdout
    assert gx.tree("proc") == before


def test_purge_alone_does_not_install_over_ssh(checkout: Path) -> None:
    """It once did; nothing is even reached for."""
    said = install(checkout, "--purge", "root@gx", SSH="false")
    assert (said.returncode, said.stdout) == (
        2,
        "install.sh: --purge: expected --uninstall as well, found none\n",
    )
