"""Defines the command line: the verbs, their options and arguments, and where each is stored."""

import argparse
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from mqtt_http_bridge import __version__
from mqtt_http_bridge.cli_gx_grammar import (
    DEFAULT_WEB_CERTIFICATE,
    add_discover,
    add_pair,
    add_pin,
    add_setup,
)
from mqtt_http_bridge.cli_values import host, port, seconds, speed
from mqtt_http_bridge.core.redaction import Redaction

CONFIG_HELP: Final = "default: config.yaml here, or else the config of the installed service"


class Arguments(argparse.Namespace):
    """The parsed command line; each verb fills its own part."""

    # The defaults belong to the class, so never change them in place. A dataclass would add 0.7 ms
    # to every start to generate its methods.
    verb: str = ""
    """The verb in full, like "run" or "outbox drop"."""
    config: Path | None = None
    host: str | None = None
    port: int | None = None
    output: Path = Path()
    certificate: Path | None = None
    web_certificate: Path = DEFAULT_WEB_CERTIFICATE
    web_port: int | None = None
    web_output: Path = DEFAULT_WEB_CERTIFICATE
    mqtt_port: int | None = None
    fingerprint: str | None = None
    web_fingerprint: str | None = None
    password_file: Path | None = None
    anonymize: bool = False
    duration: float | None = None
    recording: Path = Path()
    from_s: float = 0.0
    to_s: float = float("inf")
    speed: float | None = None
    post: bool = False
    no_post: bool = False
    json: bool = False
    alive: bool = False
    lines: bool = False
    number: int = 0
    numbers: Sequence[int] = ()
    parked: bool = False
    all: bool = False
    pause_s: float = 0.0
    url: str | None = None
    api_key_file: Path | None = None
    gx: str | None = None
    outbox: Path | None = None
    old_config: Path | None = None
    starts: bool | None = None
    hold: bool = False
    redaction: Redaction = Redaction()
    """Removes the secrets of the config from texts, once the config has been read."""


def parser(verb: str | None = None) -> argparse.ArgumentParser:
    """Returns the whole grammar, which fills in Arguments, or only the part for `verb`.

    Building one part takes a tenth of the time, which saves about a twentieth of a start.
    """
    whole = argparse.ArgumentParser(
        prog="mqtt-http-bridge",
        description="Relays the solar chargers of Victron GX devices to an HTTP backend.",
        epilog="Start with: mqtt-http-bridge demo",
    )
    whole.add_argument("--version", action="version", version=f"mqtt-http-bridge {__version__}")
    verbs = whole.add_subparsers(title="verbs", metavar="VERB", required=True)
    part = _VERBS.get(verb or "")
    for add in [part] if part else _VERBS.values():
        add(verbs)
    return whole


def _add_run(verbs: Any) -> None:
    verb = verbs.add_parser("run", help="relay until SIGTERM or Ctrl+C")
    _add_config(verb)
    verb.add_argument(
        "--pause",
        dest="pause_s",
        type=seconds,
        metavar="SECONDS",
        default=0.0,
        help="wait this long before exiting on an error, for supervisors that restart at once",
    )
    verb.set_defaults(verb="run")


def _add_record(verbs: Any) -> None:
    verb = verbs.add_parser(
        "record",
        help="record what the GX sends to a file",
        description="Records what the GX sends to a file, until Ctrl+C, without passwords.",
    )
    verb.add_argument(
        "-o",
        "--output",
        type=Path,
        required=True,
        metavar="FILE",
        help="the file to write, which must not exist yet; gzipped if it ends in .gz",
    )
    _add_config(
        verb, f"the config that names the broker; {CONFIG_HELP}, or else a GX on this machine"
    )
    verb.add_argument("--host", type=host, help="the broker, instead of mqtt.host")
    verb.add_argument("--port", type=port, help="its port, instead of mqtt.port")
    verb.add_argument(
        "--anonymize",
        action="store_true",
        help="replace serials, names and portal ids, each with the same text throughout",
    )
    verb.add_argument("--duration", type=seconds, metavar="SECONDS", help="stop after this time")
    verb.set_defaults(verb="record")


def _add_replay(verbs: Any) -> None:
    verb = verbs.add_parser(
        "replay",
        help="make measurements from a recording",
        description="Makes measurements from a recording, as run would have, and prints them.",
    )
    verb.add_argument("recording", type=Path, metavar="FILE", help="a recording, gzipped or not")
    _add_config(verb, f"the config to use; {CONFIG_HELP}, or else the defaults")
    verb.add_argument(
        "--from", dest="from_s", type=seconds, metavar="SECONDS", help="start here", default=0.0
    )
    verb.add_argument(
        "--to",
        dest="to_s",
        type=seconds,
        metavar="SECONDS",
        help="end here",
        default=float("inf"),
    )
    verb.add_argument(
        "--speed",
        type=speed,
        metavar="FACTOR",
        help="play at this multiple of real time, 1 being real time; default: as fast as possible",
    )
    verb.add_argument(
        "--post",
        action="store_true",
        help="send to the backend through the outbox instead of printing",
    )
    verb.set_defaults(verb="replay")


def _add_outbox(verbs: Any) -> None:
    outbox = verbs.add_parser("outbox", help="see what is waiting to be sent, retry it, or drop it")
    actions = outbox.add_subparsers(title="actions", metavar="ACTION", required=True)
    status = actions.add_parser(
        "status", help="how much is waiting, since when, and what was lost and why"
    )
    _add_forms(status)
    status.set_defaults(verb="outbox status")
    listing = actions.add_parser("list", help="one line for each entry, oldest first")
    _add_json(listing)
    listing.set_defaults(verb="outbox list")
    show = actions.add_parser("show", help="one stored entry, as it will be sent")
    show.add_argument("number", type=int, metavar="NUMBER", help="its number in the list")
    show.set_defaults(verb="outbox show")
    retry = actions.add_parser("retry", help="retry now what is waiting for a setting to be fixed")
    retry.set_defaults(verb="outbox retry")
    drop = actions.add_parser("drop", help="delete entries without sending them")
    drop.add_argument("numbers", type=int, nargs="*", metavar="NUMBER", help="the entries to drop")
    drop.add_argument("--parked", action="store_true", help="everything that is parked")
    drop.add_argument("--all", action="store_true", help="everything")
    drop.set_defaults(verb="outbox drop")
    drain = actions.add_parser(
        "drain",
        help="send what is waiting, then exit",
        description="Sends what is waiting, then exits; nothing is measured. The service must not"
        " be running. Exit status 0 only if nothing is left.",
    )
    drain.set_defaults(verb="outbox drain")
    for action in (status, listing, show, retry, drop, drain):
        _add_config(action)


def _add_config_verb(verbs: Any) -> None:
    config = verbs.add_parser("config", help="make or test a config file")
    actions = config.add_subparsers(title="actions", metavar="ACTION", required=True)
    make = actions.add_parser("make", help="write a config file that only its owner can read")
    make.add_argument(
        "-o", "--output", type=Path, required=True, metavar="FILE", help="must not exist yet"
    )
    make.add_argument("--url", help="backend.url")
    make.add_argument(
        "--api-key-file", type=Path, metavar="FILE", help="a file whose first line is the key"
    )
    make.add_argument("--gx", metavar="HOST", help="mqtt.host")
    make.add_argument("--outbox", type=Path, metavar="DIRECTORY", help="outbox.directory")
    make.add_argument(
        "--old-config", type=Path, metavar="FILE", help="the config.ini of the D-Bus bridge"
    )
    make.set_defaults(verb="config make")
    test = actions.add_parser("test", help="say what, if anything, is wrong with a config file")
    _add_config(test)
    test.set_defaults(verb="config test")


def _add_json(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("--json", action="store_true", help="as JSON")


def _add_forms(verb: argparse.ArgumentParser) -> None:
    form = verb.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="as JSON")
    form.add_argument("--lines", action="store_true", help="as name=value lines, for scripts")


def _add_demo(verbs: Any) -> None:
    verb = verbs.add_parser("demo", help="see it at work, without a GX, a backend or a config")
    verb.add_argument("--hold", action="store_true", help="keep the status page up until Ctrl+C")
    verb.set_defaults(verb="demo")


def _add_config(verb: argparse.ArgumentParser, text: str = CONFIG_HELP) -> None:
    verb.add_argument("-c", "--config", type=Path, metavar="FILE", help=text)


def _add_status(verbs: Any) -> None:
    """Adds the grammar of `status`."""
    verb = verbs.add_parser(
        "status",
        help="how the service is doing",
        description="Shows how the service is doing, from the state it has saved: which process is"
        " running, since when, what is stored, what is still to be sent, what is wrong. Contacts"
        " nothing. Exit status 0 only while the service is running.",
    )
    _add_forms(verb)
    _add_config(verb)
    verb.set_defaults(verb="status")


def _add_health(verbs: Any) -> None:
    """Adds the grammar of `health`."""
    verb = verbs.add_parser(
        "health",
        help="whether all is well, as an exit status",
        description="Exit status 0 if all is well, else 1 with the reasons: for readiness checks,"
        " alerts and people. With --alive it is 0 if the threads of the service make progress,"
        " whatever the backend does: for whatever restarts the service.",
    )
    verb.add_argument("--alive", action="store_true", help="check only that it is making progress")
    _add_config(verb)
    verb.set_defaults(verb="health")


def _add_check(verbs: Any) -> None:
    """Adds the grammar of `check`."""
    verb = verbs.add_parser(
        "check",
        help="say what is wrong and how to fix it",
        description="Looks at everything from the config to the backend. After a fault it goes on"
        " with what does not depend on it, and marks the rest with ?. Changes nothing, and stores"
        " nothing except with --post. If no service is running to be asked, it posts one report"
        " with a made-up serial, which no backend stores. Exit status 0 only if nothing is wrong.",
    )
    posting = verb.add_mutually_exclusive_group()
    posting.add_argument(
        "--post",
        action="store_true",
        help="measure once, post it, and show what the backend answered for each charger; if the"
        " service is running, wait for its next measurement instead",
    )
    posting.add_argument("--no-post", action="store_true", help="post nothing, for scripts")
    verb.add_argument("--json", action="store_true", help="as JSON")
    verb.add_argument("-c", "--config", type=Path, metavar="FILE", help=CONFIG_HELP)
    verb.set_defaults(verb="check")


_VERBS: Final[Mapping[str, Callable[[Any], None]]] = {
    "run": _add_run,
    "status": _add_status,
    "health": _add_health,
    "check": _add_check,
    "setup": add_setup,
    "discover": add_discover,
    "pin": add_pin,
    "pair": add_pair,
    "record": _add_record,
    "replay": _add_replay,
    "outbox": _add_outbox,
    "config": _add_config_verb,
    "demo": _add_demo,
}
"""The functions that add each verb, in the order shown by --help."""
