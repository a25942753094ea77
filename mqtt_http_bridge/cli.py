"""The command line: words into calls, errors into words and an exit status.

Results go to stdout and talk to stderr, but for the log of `run`, which goes to stdout, where
supervisors pick it up. Exit status: 0 done, 1 failed, 2 the command or the config is wrong.
"""

import logging
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final, TextIO

from mqtt_http_bridge.app.loading import loading
from mqtt_http_bridge.cli_grammar import Arguments, parser
from mqtt_http_bridge.cli_grammar_setup import DEFAULT_CERTIFICATE
from mqtt_http_bridge.core.errors import BridgeError, ConfigError
from mqtt_http_bridge.core.settings import BackendSettings, OutboxSettings, Settings

DONE: Final = 0
FAILED: Final = 1
WRONG_USAGE: Final = 2

DEFAULT_CONFIG: Final = Path("config.yaml")
LOCALHOST: Final = "127.0.0.1"


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command and returns its exit status; argparse exits with 2 on its own."""
    words = sys.argv[1:] if argv is None else argv
    arguments = parser(*words[:1]).parse_args(words, namespace=Arguments())
    try:
        return VERBS[arguments.verb](arguments)
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
    with loading():
        from mqtt_http_bridge.app.service import run

        settings = _settings(arguments, needs_backend=True)
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
        arguments.certificate or DEFAULT_CERTIFICATE,
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
    numbers = None if is_everything else list(arguments.numbers)
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


VERBS: Final[Mapping[str, Callable[[Arguments], int]]] = {
    "run": _run,
    "check": _check,
    "discover": _discover,
    "pin": _pin,
    "pair": _pair,
    "record": _record,
    "replay": _replay,
    "outbox status": _outbox_status,
    "outbox list": _outbox_list,
    "outbox show": _outbox_show,
    "outbox retry": _outbox_retry,
    "outbox drop": _outbox_drop,
    "config make": _config_make,
    "config test": _config_test,
    "demo": _demo,
}
"""What carries out each verb of the grammar and returns the exit status."""


# --- what verbs have in common -----------------------------------------------------------------


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
