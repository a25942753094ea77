"""The command line: words into calls, errors into words and an exit status.

Results go to stdout and talk to stderr, but for the log of `run`, which goes to stdout, where
supervisors pick it up. Exit status: 0 done, 1 failed, 2 the command or the config is wrong.
"""

import argparse
import gc
import logging
import os
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, TextIO, TypeVar

from mqtt_http_bridge import __version__, cli_setup
from mqtt_http_bridge.core.errors import BridgeError, ConfigError
from mqtt_http_bridge.core.settings import BackendSettings, OutboxSettings, Settings

DONE: Final = 0
FAILED: Final = 1
WRONG_USAGE: Final = 2

DEFAULT_CONFIG: Final = Path("config.yaml")
LOCALHOST: Final = "127.0.0.1"

T = TypeVar("T")


@dataclass(slots=True)
class Arguments(argparse.Namespace):
    """The parsed command line; each verb fills its own part."""

    verb: Callable[["Arguments"], int] = lambda arguments: WRONG_USAGE
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
    numbers: list[int] = field(default_factory=list)
    parked: bool = False
    all: bool = False
    pause_s: float = 0.0
    url: str | None = None
    api_key_file: Path | None = None
    gx: str | None = None
    outbox: Path | None = None
    old_config: Path | None = None


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command and returns its exit status; argparse exits with 2 on its own."""
    arguments = _parser().parse_args(argv, namespace=Arguments())
    try:
        return arguments.verb(arguments)
    except BrokenPipeError:
        # Whoever read our output has had enough; keep the interpreter from flushing into nothing.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except KeyboardInterrupt:
        print("ended by Ctrl+C", file=sys.stderr)
        return FAILED
    except BridgeError as error:
        print(f"mqtt-http-bridge: {error}", file=sys.stderr, flush=True)
        _pause(arguments.pause_s)
        return WRONG_USAGE if isinstance(error, ConfigError) else FAILED


def _pause(pause_s: float) -> None:
    """Puts off the end after an error, so that a supervisor that restarts at once does not spin."""
    if pause_s:
        print(f"trying again in {pause_s:.0f} s", file=sys.stderr, flush=True)
        time.sleep(pause_s)


# --- verbs -----------------------------------------------------------------------------------
# What a verb needs is imported when it is asked for: `replay` has no use for MQTT, nor `--help`
# for anything.


def _run(arguments: Arguments) -> int:
    # What is imported stays: looking for garbage in it would take a tenth of the start.
    gc.disable()
    from mqtt_http_bridge.app.service import run

    settings = _settings(arguments, needs_backend=True)
    gc.enable()
    _start_log(sys.stdout, settings.logging_level)
    if settings.logs_to_syslog:
        from mqtt_http_bridge.adapters.syslog import add_system_log

        add_system_log(logging.getLogger("mqtt_http_bridge"))
    run(settings, _backend(settings))
    return DONE


def _check(arguments: Arguments) -> int:
    from mqtt_http_bridge.app.check import check
    from mqtt_http_bridge.core.findings import Mark, all_hold

    _start_log(sys.stderr, "ERROR")
    found = check(arguments.config or DEFAULT_CONFIG, os.environ, as_json=arguments.json)
    if found[0].mark is Mark.WRONG:
        return WRONG_USAGE
    return DONE if all_hold(found) else FAILED


def _discover(arguments: Arguments) -> int:
    from mqtt_http_bridge.app.setup import discover, password_from

    _start_log(sys.stderr, "ERROR")
    password = password_from(arguments.password_file, os.environ)
    host = arguments.host or LOCALHOST
    discover(host, arguments.port, arguments.certificate, password)
    return DONE


def _pin(arguments: Arguments) -> int:
    from mqtt_http_bridge.app.setup import pin

    pin(arguments.host or LOCALHOST, arguments.port or 8883, arguments.output)
    return DONE


def _pair(arguments: Arguments) -> int:
    from mqtt_http_bridge.app.setup import pair, password_from

    pair(
        arguments.host or LOCALHOST,
        arguments.port or 443,
        arguments.certificate or cli_setup.DEFAULT_CERTIFICATE,
        arguments.output,
        password_from(arguments.password_file, os.environ),
    )
    return DONE


def _config_make(arguments: Arguments) -> int:
    from mqtt_http_bridge.app.make_config import make_config, old_values

    values, left = old_values(arguments.old_config) if arguments.old_config else ({}, [])
    given = {
        "backend.url": arguments.url,
        "mqtt.host": arguments.gx,
        "outbox.directory": arguments.outbox and str(arguments.outbox),
    }
    values |= {name: value for name, value in given.items() if value is not None}
    make_config(arguments.output, values, arguments.api_key_file)
    for name in left:
        print(f"{arguments.old_config}: {name} is not taken over", file=sys.stderr)
    return DONE


def _config_test(arguments: Arguments) -> int:
    _settings(arguments, needs_backend=True)
    return DONE


def _record(arguments: Arguments) -> int:
    from mqtt_http_bridge.app.record import record

    settings = _settings(arguments, needs_backend=False)
    _start_log(sys.stderr, settings.logging_level)
    record(
        _at_host(settings, arguments),
        arguments.output,
        is_anonymous=arguments.anonymize,
        duration_s=arguments.duration,
    )
    return DONE


def _replay(arguments: Arguments) -> int:
    from mqtt_http_bridge.app.replay import Part, post_replay, print_replay

    settings = _settings(arguments, needs_backend=arguments.post)
    _start_log(sys.stderr, settings.logging_level if arguments.config else "ERROR")
    if arguments.from_s >= arguments.to_s:
        found = f"{arguments.from_s:g} and {arguments.to_s:g}"
        raise ConfigError(f"replay: expected --from to be before --to, found {found}")
    part = Part(arguments.from_s, arguments.to_s, arguments.speed)
    if not arguments.post:
        print_replay(settings, arguments.recording, part)
        return DONE
    from mqtt_http_bridge.adapters.backend import Backend

    backend = Backend(_backend(settings))
    return DONE if post_replay(settings, backend, arguments.recording, part) else FAILED


def _outbox_status(arguments: Arguments) -> int:
    from mqtt_http_bridge.app.outbox_verbs import print_status

    print_status(_outbox_settings(arguments), as_json=arguments.json)
    return DONE


def _outbox_list(arguments: Arguments) -> int:
    from mqtt_http_bridge.app.outbox_verbs import print_list

    print_list(_outbox_settings(arguments), as_json=arguments.json)
    return DONE


def _outbox_show(arguments: Arguments) -> int:
    from mqtt_http_bridge.app.outbox_verbs import print_entry

    print_entry(_outbox_settings(arguments), arguments.number)
    return DONE


def _outbox_retry(arguments: Arguments) -> int:
    from mqtt_http_bridge.app.outbox_verbs import retry

    retry(_outbox_settings(arguments))
    return DONE


def _outbox_drop(arguments: Arguments) -> int:
    from mqtt_http_bridge.app.outbox_verbs import drop

    is_everything = arguments.all or arguments.parked
    if is_everything == bool(arguments.numbers):
        raise ConfigError(
            "outbox drop: expected numbers, or --parked, or --all, found not one of them"
        )
    numbers = None if is_everything else arguments.numbers
    drop(_outbox_settings(arguments), numbers, parked_only=arguments.parked)
    return DONE


def _outbox_settings(arguments: Arguments) -> Settings:
    """The settings of the config: without one nobody knows where the outbox is."""
    arguments.config = arguments.config or DEFAULT_CONFIG
    return _settings(arguments, needs_backend=False)


def _demo(_arguments: Arguments) -> int:
    from mqtt_http_bridge.app.demo import run_demo

    _start_log(sys.stderr, "ERROR")
    try:
        return DONE if run_demo() else FAILED
    except KeyboardInterrupt:
        return DONE


def _settings(arguments: Arguments, *, needs_backend: bool) -> Settings:
    """The settings of the config file, or the defaults for a verb that can do without one."""
    if arguments.config is None and not needs_backend:
        return Settings(backend=None, outbox=OutboxSettings(directory="outbox"))
    from mqtt_http_bridge.adapters.config import load

    path = arguments.config or DEFAULT_CONFIG
    return load(path, os.environ, needs_backend=needs_backend)


def _at_host(settings: Settings, arguments: Arguments) -> Settings:
    """The settings with the broker that the command line names, if it names one."""
    mqtt = settings.mqtt
    if arguments.host is not None:
        mqtt = replace(mqtt, host=arguments.host)
    if arguments.port is not None:
        mqtt = replace(mqtt, port=arguments.port)
    return replace(settings, mqtt=mqtt)


def _backend(settings: Settings) -> BackendSettings:
    if settings.backend is None:
        raise AssertionError("the config was read with needs_backend")
    return settings.backend


def _start_log(stream: TextIO, level: str) -> None:
    """Writes our log to `stream`, with the time where a person looks on: supervisors add theirs."""
    time = "%(asctime)s " if stream.isatty() else ""
    logging.basicConfig(
        stream=stream,
        level=logging.WARNING,
        format=f"{time}%(levelname)s %(message)s",
        datefmt="%H:%M:%S",
    )
    logging.getLogger("mqtt_http_bridge").setLevel(level)


# --- grammar ---------------------------------------------------------------------------------


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="mqtt-http-bridge",
        description="Relays the solar chargers of Victron GX devices to an HTTP backend.",
        epilog="Start with: mqtt-http-bridge demo",
    )
    parser.add_argument("--version", action="version", version=f"mqtt-http-bridge {__version__}")
    verbs = parser.add_subparsers(title="verbs", metavar="VERB", required=True)
    _add_run(verbs)
    cli_setup.add_check(verbs, _check)
    cli_setup.add_discover(verbs, _discover)
    cli_setup.add_pin(verbs, _pin)
    cli_setup.add_pair(verbs, _pair)
    _add_record(verbs)
    _add_replay(verbs)
    _add_outbox(verbs)
    _add_config_verb(verbs)
    _add_demo(verbs)
    return parser


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
    verb.set_defaults(verb=_run)


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
    verb.set_defaults(verb=_record)


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
    verb.set_defaults(verb=_replay)


def _add_outbox(verbs: Any) -> None:
    outbox = verbs.add_parser("outbox", help="see and mend what waits to be sent")
    actions = outbox.add_subparsers(title="actions", metavar="ACTION", required=True)
    status = actions.add_parser("status", help="how much waits, since when, what was lost, and why")
    _add_json(status)
    status.set_defaults(verb=_outbox_status)
    listing = actions.add_parser("list", help="a line for each entry, oldest first")
    _add_json(listing)
    listing.set_defaults(verb=_outbox_list)
    show = actions.add_parser("show", help="what is stored of one entry, as it will be sent")
    show.add_argument("number", type=int, metavar="NUMBER", help="its number in the list")
    show.set_defaults(verb=_outbox_show)
    retry = actions.add_parser("retry", help="try what waits for a setting to be mended, now")
    retry.set_defaults(verb=_outbox_retry)
    drop = actions.add_parser("drop", help="remove entries for good: they are not sent")
    drop.add_argument("numbers", type=int, nargs="*", metavar="NUMBER", help="those to drop")
    drop.add_argument("--parked", action="store_true", help="everything that is parked")
    drop.add_argument("--all", action="store_true", help="everything")
    drop.set_defaults(verb=_outbox_drop)
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
    make.set_defaults(verb=_config_make)
    test = actions.add_parser("test", help="say what is wrong with a config file, if anything is")
    _add_config(test)
    test.set_defaults(verb=_config_test)


def _add_json(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("--json", action="store_true", help="as JSON")


def _add_demo(verbs: Any) -> None:
    verb = verbs.add_parser("demo", help="see it at work: needs no GX, no backend and no config")
    verb.set_defaults(verb=_demo)


def _add_config(verb: argparse.ArgumentParser, text: str = "default: config.yaml") -> None:
    verb.add_argument("-c", "--config", type=Path, metavar="FILE", help=text)


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
