"""The command line: turns arguments into calls, and errors into messages and an exit status.

Results go to stdout and messages to stderr, except the log of `run`, which goes to stdout, where
supervisors pick it up. Exit status: 0 done, 1 failed, 2 the command or the config is wrong.
"""

import errno
import logging
import os
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from mqtt_http_bridge.adapters import config_place, standard_streams
from mqtt_http_bridge.app.log import log_to
from mqtt_http_bridge.cli_grammar import Arguments, parser
from mqtt_http_bridge.core.errors import BridgeError, ConfigError
from mqtt_http_bridge.core.log_line import clean_line
from mqtt_http_bridge.core.redaction import of_settings
from mqtt_http_bridge.core.settings import BackendSettings, OutboxSettings, Settings
from mqtt_http_bridge.pause import pause

log = logging.getLogger(__name__)

DONE: Final = 0
FAILED: Final = 1
WRONG_USAGE: Final = 2

SYSTEM_LOG: Final = "/dev/log"
NO_OUTPUT: Final = (errno.ENOSPC, errno.EIO, errno.EBADF, errno.EDQUOT, errno.EFBIG)
"""Errors that mean that stdout accepts nothing, besides a reader that has gone."""
_ROOM: Final = "room for one more open file"
_RIGHT: Final = "to be allowed to use it", "run this as a user who is"
REFUSALS: Final = {
    errno.EMFILE: (_ROOM, "raise the limit: ulimit -n, or LimitNOFILE= in the unit of systemd"),
    errno.ENFILE: (_ROOM, "see what uses up the open files of this machine"),
    errno.EACCES: _RIGHT,
    errno.EPERM: _RIGHT,
}
"""By the error of a machine that refuses: the thing expected of it, and the remedy."""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command and returns its exit status; argparse exits with 2 on its own."""
    standard_streams.make_usable()
    try:
        return _main(sys.argv[1:] if argv is None else argv)
    finally:
        standard_streams.give_up_output()


def _main(words: Sequence[str]) -> int:
    arguments = Arguments()
    try:
        status = _status_of(words, arguments)
    except KeyboardInterrupt:
        standard_streams.say("interrupted")
        return FAILED
    except SystemExit:
        pause(arguments.pause_s)
        raise
    except Exception:
        if not arguments.pause_s:
            raise
        traceback.print_exc()
        status = FAILED
    if status != DONE:
        pause(arguments.pause_s)
    return status


def _status_of(words: Sequence[str], arguments: Arguments) -> int:
    """Carries out a command, fills in its arguments, and returns its exit status."""
    try:
        parser(*words[:1]).parse_args(words, namespace=arguments)
        status = VERBS[arguments.verb](arguments)
        sys.stdout.flush()
    except BrokenPipeError:
        return FAILED  # The reader of our output has had enough.
    except BridgeError as error:
        standard_streams.say(f"mqtt-http-bridge: {clean_line(str(error), arguments.redaction)}")
        return WRONG_USAGE if isinstance(error, ConfigError) else FAILED
    except OSError as error:
        if not (refusal := _refusal(error)):
            raise
        standard_streams.say(f"mqtt-http-bridge: {refusal}")
        return FAILED
    return status


def _refusal(error: OSError) -> str:
    """Says what this machine refuses, and what to do about it; empty for an unforeseen error."""
    if error.filename is None and error.errno in NO_OUTPUT:
        return f"cannot write its output: {error.strerror}"
    if error.errno not in REFUSALS:
        return ""
    expected, remedy = REFUSALS[error.errno]
    where = "" if error.filename is None else f"{error.filename}: "
    return f"{where}expected {expected}, found: {error.strerror}: {remedy}"


# --- verbs -----------------------------------------------------------------------------------
# Import what a verb needs only when it runs: `replay` does not need MQTT, nor `--help` anything.


def _run(arguments: Arguments) -> int:
    from mqtt_http_bridge.adapters import heap
    from mqtt_http_bridge.app.run import run

    heap.share_one()
    settings = _settings(arguments, needs_backend=True)
    syslog = SYSTEM_LOG if settings.logs_to_syslog else None
    with log_to(sys.stdout, settings.logging_level, arguments.redaction, syslog=syslog), _told():
        _tell_who_can_read(settings)
        _tell_shared_outbox(settings)
        run(settings, _backend(settings))
    return DONE


def _tell_who_can_read(settings: Settings) -> None:
    from mqtt_http_bridge.adapters.config import readable_by_others

    for name in readable_by_others(settings):
        log.warning(
            "%s: holds a secret, and every user of this machine can read it: run: chmod o-r %s",
            name,
            name,
        )


def _tell_shared_outbox(settings: Settings) -> None:
    from mqtt_http_bridge.app.own_outbox import SHARED_FIX, shared_outbox

    if shared := shared_outbox(settings):
        log.warning("%s: %s", shared, SHARED_FIX)


@contextmanager
def _told() -> Iterator[None]:
    """Logs an unforeseen error, with secrets removed."""
    try:
        yield
    except Exception as error:
        if isinstance(error, BridgeError) or (isinstance(error, OSError) and _refusal(error)):
            raise
        log.critical("ended by a bug in this program, please report it", exc_info=True)
        raise SystemExit(FAILED) from None


def _check(arguments: Arguments) -> int:
    from mqtt_http_bridge.app.check import check
    from mqtt_http_bridge.app.check_backend import Posting
    from mqtt_http_bridge.core.status.findings import Mark, all_hold

    posting = Posting.NONE if arguments.no_post else Posting.MADE_UP
    if arguments.post:
        posting = Posting.REAL
    config = _config(arguments)
    with log_to(sys.stderr, "ERROR", arguments.redaction):
        found = check(config, os.environ, as_json=arguments.json, posting=posting)
    if found[0].mark is Mark.WRONG:
        return WRONG_USAGE
    return DONE if all_hold(found) else FAILED


def _status(arguments: Arguments) -> int:
    from mqtt_http_bridge.app.show_status import show_status

    outbox = _outbox_settings(arguments).outbox
    is_running = show_status(outbox, as_json=arguments.json, as_lines=arguments.lines)
    return DONE if is_running else FAILED


def _health(arguments: Arguments) -> int:
    from mqtt_http_bridge.app.health import is_alive, is_well

    outbox = _outbox_settings(arguments).outbox
    is_good = is_alive(outbox) if arguments.alive else is_well(outbox)
    return DONE if is_good else FAILED


def _setup(arguments: Arguments) -> int:
    from mqtt_http_bridge import cli_gx

    holds, starts = cli_gx.setup(arguments)
    if starts:
        return _run(arguments)
    return DONE if holds else FAILED


def _discover(arguments: Arguments) -> int:
    from mqtt_http_bridge import cli_gx

    cli_gx.discover(arguments)
    return DONE


def _pin(arguments: Arguments) -> int:
    from mqtt_http_bridge import cli_gx

    cli_gx.pin(arguments)
    return DONE


def _pair(arguments: Arguments) -> int:
    from mqtt_http_bridge import cli_gx

    cli_gx.pair(arguments)
    return DONE


def _config_make(arguments: Arguments) -> int:
    from mqtt_http_bridge.app.make_config import check_options, make_config, old_values
    from mqtt_http_bridge.app.own_outbox import own_outbox, taken_words

    values, left = old_values(arguments.old_config) if arguments.old_config else ({}, [])
    values |= check_options({"backend.url": arguments.url, "mqtt.host": arguments.gx})
    wished = str(arguments.outbox) if arguments.outbox else None
    outbox = own_outbox(arguments.output, wished)
    if outbox != wished:
        taken = taken_words(arguments.output)
        standard_streams.say(f"{arguments.output}: outbox.directory is {outbox}, as {taken}")
    if not make_config(arguments.output, values, arguments.api_key_file, outbox):
        standard_streams.say(f"{arguments.output}: now set backend.url and backend.api_key in it")
    for name in left:
        standard_streams.say(f"{arguments.old_config}: {name} is not taken over")
    return DONE


def _config_test(arguments: Arguments) -> int:
    from mqtt_http_bridge.app.config_test import check_config

    for warning in check_config(_settings(arguments, needs_backend=True)):
        standard_streams.say(warning)
    return DONE


def _record(arguments: Arguments) -> int:
    from mqtt_http_bridge.app.record import record

    settings = _settings(arguments, needs_backend=False)
    with log_to(sys.stderr, settings.logging_level, arguments.redaction):
        record(
            _at_host(settings, arguments),
            arguments.output,
            is_anonymous=arguments.anonymize,
            duration_s=arguments.duration,
        )
    return DONE


def _replay(arguments: Arguments) -> int:
    from mqtt_http_bridge.app.replay import Part, post_replay, print_replay

    is_quiet = arguments.config is None
    settings = _settings(arguments, needs_backend=arguments.post)
    if arguments.from_s >= arguments.to_s:
        found = f"{arguments.from_s:g} and {arguments.to_s:g}"
        raise ConfigError(f"replay: expected --from to be before --to, found {found}")
    part = Part(arguments.from_s, arguments.to_s, arguments.speed)
    level = "ERROR" if is_quiet else settings.logging_level
    with log_to(sys.stderr, level, arguments.redaction):
        if not arguments.post:
            print_replay(settings, arguments.recording, part)
            return DONE
        is_sent = post_replay(settings, _backend(settings), arguments.recording, part)
        return DONE if is_sent else FAILED


def _outbox_status(arguments: Arguments) -> int:
    from mqtt_http_bridge.app.outbox_verbs import print_status

    settings = _outbox_settings(arguments)
    print_status(settings, as_json=arguments.json, as_lines=arguments.lines)
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
    is_both = arguments.all and arguments.parked
    if is_both or is_everything == bool(arguments.numbers):
        found = "several of them" if is_everything else "not one of them"
        raise ConfigError(f"outbox drop: expected numbers, or --parked, or --all, found {found}")
    numbers = None if is_everything else list(arguments.numbers)
    drop(_outbox_settings(arguments), numbers, parked_only=arguments.parked)
    return DONE


def _outbox_drain(arguments: Arguments) -> int:
    from mqtt_http_bridge.app.drain import drain

    settings = _settings(arguments, needs_backend=True)
    with log_to(sys.stderr, settings.logging_level, arguments.redaction):
        return DONE if drain(settings, _backend(settings)) else FAILED


def _outbox_settings(arguments: Arguments) -> Settings:
    """Reads the config, which says where the outbox is."""
    arguments.config = _config(arguments)
    return _settings(arguments, needs_backend=False)


def _demo(arguments: Arguments) -> int:
    from mqtt_http_bridge.demo.run import run_demo

    with log_to(sys.stderr, "ERROR", arguments.redaction):
        try:
            return DONE if run_demo(holds=arguments.hold) else FAILED
        except KeyboardInterrupt:
            return DONE


VERBS: Final[Mapping[str, Callable[[Arguments], int]]] = {
    "run": _run,
    "status": _status,
    "health": _health,
    "check": _check,
    "setup": _setup,
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
    "outbox drain": _outbox_drain,
    "config make": _config_make,
    "config test": _config_test,
    "demo": _demo,
}
"""The functions that carry out each verb of the grammar and return the exit status."""


# --- what verbs have in common -----------------------------------------------------------------


def _settings(arguments: Arguments, *, needs_backend: bool) -> Settings:
    """Reads the config file; verbs that do not need one use defaults if there is none."""
    path = _config_if_any(arguments)
    if path is None and not needs_backend:
        return Settings(backend=None, outbox=OutboxSettings(directory="outbox"))
    from mqtt_http_bridge.adapters.config import load

    arguments.config = path = path or config_place.HERE
    settings = load(path, os.environ, needs_backend=needs_backend)
    arguments.redaction = of_settings(settings)
    return settings


def _config(arguments: Arguments) -> Path:
    return _config_if_any(arguments) or config_place.HERE


def _config_if_any(arguments: Arguments) -> Path | None:
    """Returns the config to use; if it was found and not named, prints that, to avoid surprises."""
    if arguments.config is not None:
        return arguments.config
    found = config_place.find_config()
    if found is not None:
        standard_streams.say(f"config: {found}")
    return found


def _at_host(settings: Settings, arguments: Arguments) -> Settings:
    """Returns the settings with the broker that the command line names, if it names one."""
    mqtt = settings.mqtt
    if arguments.host is not None:
        mqtt = mqtt._replace(hosts=(arguments.host,))
    if arguments.port is not None:
        mqtt = mqtt._replace(port=arguments.port)
    return settings._replace(mqtt=mqtt)


def _backend(settings: Settings) -> BackendSettings:
    if settings.backend is None:
        raise AssertionError("the config was read with needs_backend")
    return settings.backend
