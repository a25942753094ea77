"""What may be typed: the verbs, their options and arguments, and what becomes of them."""

import argparse
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, TypeVar

from mqtt_http_bridge import __version__, cli_grammar_setup

T = TypeVar("T")


class Arguments(argparse.Namespace):
    """The parsed command line; each verb fills its own part."""

    # The defaults stand in the class, so they must never be altered in place. A dataclass would
    # take 0.7 ms of each start to write its methods.
    verb: str = ""
    """The verb in full, like "run" or "outbox drop"."""
    config: Path | None = None
    host: str | None = None
    port: int | None = None
    output: Path = Path()
    certificate: Path | None = None
    password_file: Path | None = None
    anonymize: bool = False
    duration: float | None = None
    recording: Path = Path()
    from_s: float = 0.0
    to_s: float = float("inf")
    speed: float | None = None
    post: bool = False
    json: bool = False
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


class _Parser(argparse.ArgumentParser):
    """Writes help for 80 columns, whatever the terminal has.

    To ask it loads `shutil` with all that compresses, even where no help is wanted.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options, formatter_class=_Formatter)


class _Formatter(argparse.HelpFormatter):
    def __init__(self, prog: str) -> None:
        super().__init__(prog, width=78)


def parser(verb: str | None = None) -> argparse.ArgumentParser:
    """The whole grammar, which fills in Arguments; or the part of one verb, if `verb` is one.

    A part takes a tenth of the time, which is a twentieth of a start.
    """
    whole = _Parser(
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
    verb = verbs.add_parser("run", help="relay, until SIGTERM or Ctrl+C")
    _add_config(verb)
    verb.add_argument(
        "--pause",
        dest="pause_s",
        type=_seconds,
        metavar="SECONDS",
        default=0.0,
        help="wait so long before ending on an error, for supervisors that restart at once",
    )
    verb.set_defaults(verb="run")


def _add_record(verbs: Any) -> None:
    verb = verbs.add_parser(
        "record",
        help="write what the GX says to a file",
        description="Writes what the GX says to a file, until Ctrl+C. Passwords are not in it.",
    )
    verb.add_argument(
        "-o",
        "--output",
        type=Path,
        required=True,
        metavar="FILE",
        help="the file to write, which must not exist; gzipped if it ends in .gz",
    )
    _add_config(verb, "the config with the broker to record from; default: a GX on this machine")
    verb.add_argument("--host", help="the broker, in place of mqtt.host")
    verb.add_argument("--port", type=_port, help="its port, in place of mqtt.port")
    verb.add_argument(
        "--anonymize",
        action="store_true",
        help="replace serials, names and portal ids, each by the same text throughout",
    )
    verb.add_argument(
        "--duration", type=_seconds, metavar="SECONDS", help="end by itself after so long"
    )
    verb.set_defaults(verb="record")


def _add_replay(verbs: Any) -> None:
    verb = verbs.add_parser(
        "replay",
        help="make measurements from a recording",
        description="Makes measurements from a recording as run would have, and prints them.",
    )
    verb.add_argument("recording", type=Path, metavar="FILE", help="a recording, gzipped or not")
    _add_config(verb, "the config to go by; default: the defaults, and config.yaml with --post")
    verb.add_argument(
        "--from", dest="from_s", type=_seconds, metavar="SECONDS", help="start there", default=0.0
    )
    verb.add_argument(
        "--to",
        dest="to_s",
        type=_seconds,
        metavar="SECONDS",
        help="end there",
        default=float("inf"),
    )
    verb.add_argument(
        "--speed",
        type=_speed,
        metavar="FACTOR",
        help="play against the clock, 1 for as it was; default: as fast as it can",
    )
    verb.add_argument(
        "--post", action="store_true", help="send through the outbox to the backend, do not print"
    )
    verb.set_defaults(verb="replay")


def _add_outbox(verbs: Any) -> None:
    outbox = verbs.add_parser("outbox", help="see and mend what waits to be sent")
    actions = outbox.add_subparsers(title="actions", metavar="ACTION", required=True)
    status = actions.add_parser("status", help="how much waits, since when, what was lost, and why")
    _add_json(status)
    status.set_defaults(verb="outbox status")
    listing = actions.add_parser("list", help="a line for each entry, oldest first")
    _add_json(listing)
    listing.set_defaults(verb="outbox list")
    show = actions.add_parser("show", help="what is stored of one entry, as it will be sent")
    show.add_argument("number", type=int, metavar="NUMBER", help="its number in the list")
    show.set_defaults(verb="outbox show")
    retry = actions.add_parser("retry", help="try what waits for a setting to be mended, now")
    retry.set_defaults(verb="outbox retry")
    drop = actions.add_parser("drop", help="remove entries for good: they are not sent")
    drop.add_argument("numbers", type=int, nargs="*", metavar="NUMBER", help="those to drop")
    drop.add_argument("--parked", action="store_true", help="everything that is parked")
    drop.add_argument("--all", action="store_true", help="everything")
    drop.set_defaults(verb="outbox drop")
    for action in (status, listing, show, retry, drop):
        _add_config(action)


def _add_config_verb(verbs: Any) -> None:
    config = verbs.add_parser("config", help="make or test a config file")
    actions = config.add_subparsers(title="actions", metavar="ACTION", required=True)
    make = actions.add_parser("make", help="write a config file that can be read by its owner only")
    make.add_argument(
        "-o", "--output", type=Path, required=True, metavar="FILE", help="which must not exist"
    )
    make.add_argument("--url", help="backend.url")
    make.add_argument("--api-key-file", type=Path, metavar="FILE", help="its first line is the key")
    make.add_argument("--gx", metavar="HOST", help="mqtt.host")
    make.add_argument("--outbox", type=Path, metavar="DIRECTORY", help="outbox.directory")
    make.add_argument(
        "--old-config", type=Path, metavar="FILE", help="the config.ini of the D-Bus bridge"
    )
    make.set_defaults(verb="config make")
    test = actions.add_parser("test", help="say what is wrong with a config file, if anything is")
    _add_config(test)
    test.set_defaults(verb="config test")


def _add_json(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("--json", action="store_true", help="as JSON")


def _add_demo(verbs: Any) -> None:
    verb = verbs.add_parser("demo", help="see it at work: needs no GX, no backend and no config")
    verb.set_defaults(verb="demo")


def _add_config(verb: argparse.ArgumentParser, text: str = "default: config.yaml") -> None:
    verb.add_argument("-c", "--config", type=Path, metavar="FILE", help=text)


_VERBS: Final[Mapping[str, Callable[[Any], None]]] = {
    "run": _add_run,
    "check": cli_grammar_setup.add_check,
    "discover": cli_grammar_setup.add_discover,
    "pin": cli_grammar_setup.add_pin,
    "pair": cli_grammar_setup.add_pair,
    "record": _add_record,
    "replay": _add_replay,
    "outbox": _add_outbox,
    "config": _add_config_verb,
    "demo": _add_demo,
}
"""What adds each verb, in the order in which help lists them."""


def _seconds(text: str) -> float:
    return _checked(text, float, lambda number: 0.0 <= number < float("inf"), "a number of seconds")


def _speed(text: str) -> float:
    return _checked(text, float, lambda number: 0.0 < number < float("inf"), "a number above 0")


def _port(text: str) -> int:
    return _checked(text, int, lambda number: 1 <= number <= 65535, "a number from 1 to 65535")


def _checked(text: str, read: Callable[[str], T], is_fit: Callable[[T], bool], expected: str) -> T:
    with suppress(ValueError):
        if is_fit(value := read(text)):
            return value
    raise argparse.ArgumentTypeError(f"expected {expected}, found {text!r}")
