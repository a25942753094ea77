"""Tests the command line: from arguments to the output and the exit status."""

import argparse
import errno
import json
import logging
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from mqtt_http_bridge import __version__, cli, cli_grammar
from mqtt_http_bridge.app import run as run_module
from mqtt_http_bridge.cli import DONE, FAILED, WRONG_USAGE, main
from mqtt_http_bridge.demo.backend import StandInBackend
from tests.support.patience import PATIENCE_S
from tests.support.places import RECORDINGS

TWO = str(RECORDINGS / "two.jsonl.gz")
NO_CONFIG = (
    "{}: expected a config file, found none to read (No such file or directory):"
    " run mqtt-http-bridge setup to write one, or name another with --config"
)
NO_CERTIFICATE = (
    "broken.jsonl: expected the certificate of the GX's broker in PEM, found none: name the file"
    " that it is in, or run: mqtt-http-bridge pin 127.0.0.1"
)
NO_TEXT = (
    "expected the name of a file, found none to read as text at missing (No such file or directory)"
)
VERBS = ("run", "record", "replay", "demo")


@pytest.fixture(autouse=True)
def _own_directory_and_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Each test works in an empty directory, and leaves the level of the log as it was."""
    monkeypatch.chdir(tmp_path)
    log = logging.getLogger("mqtt_http_bridge")
    before = log.level
    yield
    log.setLevel(before)


def refused(capsys: pytest.CaptureFixture[str], *argv: str) -> str:
    """The last line on stderr of a command line that argparse must refuse."""
    with pytest.raises(SystemExit) as caught:
        main(argv)
    assert caught.value.code == WRONG_USAGE
    captured = capsys.readouterr()
    assert captured.out == ""
    return captured.err.splitlines()[-1]


# --- words -----------------------------------------------------------------------------------


def test_version_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    """--version prints the name and the version, on stdout."""
    with pytest.raises(SystemExit) as caught:
        main(["--version"])
    assert caught.value.code == DONE
    assert capsys.readouterr().out == f"mqtt-http-bridge {__version__}\n"


def test_the_part_of_a_verb_is_as_the_whole(capsys: pytest.CaptureFixture[str]) -> None:
    """Nobody misses what is left out of the grammar to be quicker."""
    for verb in cli_grammar._VERBS:
        told = []
        for grammar in (cli_grammar.parser(), cli_grammar.parser(verb)):
            with pytest.raises(SystemExit):
                grammar.parse_args([verb, "--help"])
            told.append(capsys.readouterr().out)
        assert told[0] == told[1]
        assert f"mqtt-http-bridge {verb}" in told[0]


@pytest.mark.parametrize("word", ["rum", ""])
def test_what_is_no_verb_is_told_with_all_there_are(
    word: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Also a mistyped one."""
    with pytest.raises(SystemExit):
        main([word])
    said = capsys.readouterr().err.replace("'", "").replace(" ", "")
    assert "run,status,health,check,setup,discover" in said


def test_help_names_every_verb_and_where_to_start(capsys: pytest.CaptureFixture[str]) -> None:
    """The first thing a person reads lists what there is, one line each."""
    with pytest.raises(SystemExit) as caught:
        main(["--help"])
    assert caught.value.code == DONE
    lines = capsys.readouterr().out.splitlines()
    for verb in VERBS:
        assert any(line.split()[:1] == [verb] and len(line.split()) > 3 for line in lines)
    assert lines[-1] == "Start with: mqtt-http-bridge demo"


@pytest.mark.parametrize(
    ("verb", "words"),
    [
        ("run", ["--config", "default: config.yaml here"]),
        ("record", ["--output", "--config", "--host", "--port", "--anonymize", "--duration"]),
        ("replay", ["--config", "--from", "--to", "--speed", "--post"]),
        ("demo", []),
    ],
    ids=VERBS,
)
def test_the_help_of_a_verb_reads_well(
    verb: str, words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """Each option is there with a text; no name of our own code shows, and no line is long."""
    with pytest.raises(SystemExit) as caught:
        main([verb, "--help"])
    assert caught.value.code == DONE
    text = capsys.readouterr().out
    assert text.startswith(f"usage: mqtt-http-bridge {verb} ")
    assert [word for word in words if word not in text] == []
    assert not any(name in text for name in ("from_s", "to_s", "_seconds", "None", "inf"))
    assert all(len(line) <= 80 for line in text.splitlines())


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        ([], "mqtt-http-bridge: error: the following arguments are required: VERB"),
        (["serve"], "mqtt-http-bridge: error: argument VERB: invalid choice: 'serve'"),
        (["run", "now"], "mqtt-http-bridge: error: unrecognized arguments: now"),
        (["run", "--config"], "run: error: argument -c/--config: expected one argument"),
        (["replay"], "replay: error: the following arguments are required: FILE"),
        (
            ["replay", "f", "--from", "noon"],
            "replay: error: argument --from: expected a number of seconds, found 'noon'",
        ),
        (
            ["replay", "f", "--to", "-1"],
            "replay: error: argument --to: expected a number of seconds, found '-1'",
        ),
        (
            ["replay", "f", "--to=nan"],
            "replay: error: argument --to: expected a number of seconds, found 'nan'",
        ),
        (
            ["replay", "f", "--speed", "0"],
            "replay: error: argument --speed: expected a number above 0, found '0'",
        ),
        (
            ["replay", "f", "--speed", "inf"],
            "replay: error: argument --speed: expected a number above 0, found 'inf'",
        ),
        (["record"], "record: error: the following arguments are required: -o/--output"),
        (
            ["record", "-o", "f", "--port", "99999"],
            "record: error: argument --port: expected a number from 1 to 65535, found '99999'",
        ),
        (
            ["record", "-o", "f", "--port", "mqtt"],
            "record: error: argument --port: expected a number from 1 to 65535, found 'mqtt'",
        ),
        (
            ["record", "-o", "f", "--duration", "inf"],
            "record: error: argument --duration: expected a number of seconds, found 'inf'",
        ),
        *(
            (
                [*argv, host],
                f"expected a host name or an IP address, without a port, found '{host}'",
            )
            for argv in (["record", "-o", "f", "--host"], ["discover"], ["pin"], ["pair"])
            for host in ("", ".", "a" * 64)
        ),
    ],
    ids=[
        "no verb",
        "unknown verb",
        "an argument too many",
        "an option without its value",
        "no recording",
        "--from is no number",
        "--to is below 0",
        "--to is NaN",
        "--speed is 0",
        "--speed is infinite",
        "no output",
        "--port is too large",
        "--port is no number",
        "--duration is infinite",
        *(
            f"{verb}: the host {what}"
            for verb in ("record", "discover", "pin", "pair")
            for what in ("is empty", "is a dot", "has a label that is too long")
        ),
    ],
)
def test_wrong_usage_is_refused(
    argv: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit status 2, and a line that says which argument, what was expected and what was found."""
    assert said in refused(capsys, *argv)


def named(parser: argparse.ArgumentParser, words: str = "") -> Iterator[tuple[str, str]]:
    """For all that may be typed the words of it, and the name by which it is carried out."""
    groups = [each for each in parser._actions if isinstance(each, argparse._SubParsersAction)]
    if not groups:
        yield words, parser.get_default("verb")
    for group in groups:
        for word, inner in group.choices.items():
            yield from named(inner, f"{words} {word}".lstrip())


def test_every_verb_of_the_grammar_is_carried_out_by_its_own_name() -> None:
    """The grammar and the verbs are apart, and agree: none is missing, none is left over."""
    found = dict(named(cli_grammar.parser()))
    assert found == {name: name for name in cli.VERBS}


# --- errors ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("argv", "status", "said"),
    [
        (
            ["run"],
            WRONG_USAGE,
            NO_CONFIG.format("config.yaml"),
        ),
        (
            ["run", "--config", "mine.yaml"],
            WRONG_USAGE,
            NO_CONFIG.format("mine.yaml"),
        ),
        (
            ["replay", TWO, "--post"],
            WRONG_USAGE,
            NO_CONFIG.format("config.yaml"),
        ),
        (
            ["replay", "missing.jsonl"],
            WRONG_USAGE,
            "missing.jsonl: expected a recording to read: No such file or directory",
        ),
        (
            ["replay", "broken.jsonl"],
            FAILED,
            (
                "broken.jsonl: line 2: expected a message or an event with its time t,"
                " not before that of the line above"
            ),
        ),
        (
            ["record", "-o", "broken.jsonl"],
            WRONG_USAGE,
            "broken.jsonl: the file is there already: choose another name",
        ),
        *(
            (
                [*verb, "--password-file", "missing"],
                WRONG_USAGE,
                f"--password-file: {NO_TEXT}",
            )
            for verb in (["setup"], ["discover", "127.0.0.1"], ["pair", "127.0.0.1"])
        ),
        *(
            (
                [*verb, "--api-key-file", "missing"],
                WRONG_USAGE,
                f"--api-key-file: {NO_TEXT}",
            )
            for verb in (["setup"], ["config", "make", "-o", "c.yaml"])
        ),
        (
            ["discover", "127.0.0.1", "--certificate", "broken.jsonl"],
            WRONG_USAGE,
            NO_CERTIFICATE,
        ),
        (
            ["pair", "127.0.0.1", "--certificate", "broken.jsonl"],
            WRONG_USAGE,
            NO_CERTIFICATE,
        ),
        (
            ["replay", TWO, "--config", "wrong.yaml"],
            WRONG_USAGE,
            "wrong.yaml: mqtt.hots: expected a known key, found this one: did you mean mqtt.host?",
        ),
    ],
    ids=[
        "no config",
        "no such config",
        "no config to post with",
        "no recording",
        "a broken recording",
        "an output that is there",
        *("no password for setup", "no password for discover", "no password for pair"),
        *("no key for setup", "no key for a config"),
        *("no certificate for discover", "no certificate for pair"),
        "a wrong config",
    ],
)
def test_an_error_is_one_line_and_an_exit_status(
    argv: list[str], status: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """2 where the command or the config is wrong, 1 for what else fails; no traceback."""
    header = '{"recording":1,"started_at":"2026-01-01T12:00:00+00:00"}'
    Path("broken.jsonl").write_text(f"{header}\nbroken\n", encoding="utf-8")
    Path("wrong.yaml").write_text("mqtt:\n  hots: gx\n", encoding="utf-8")
    assert main(argv) == status
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == f"mqtt-http-bridge: {said}\n"


def test_ctrl_c_ends_a_verb_with_a_word(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """No traceback for somebody who has seen enough."""

    def interrupted(arguments: cli_grammar.Arguments) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "VERBS", {**cli.VERBS, "replay": interrupted})
    assert main(["replay", "recording.jsonl"]) == FAILED
    assert capsys.readouterr().err == "interrupted\n"


# --- replay ----------------------------------------------------------------------------------


def test_replay_prints_one_measurement_a_line(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    """Results go to stdout, each a whole JSON document, ready for the next program."""
    assert main(["replay", TWO]) == DONE
    captured = capfdbinary.readouterr()
    found = [json.loads(line) for line in captured.out.splitlines()]
    assert len(found) > 3
    assert {measurement["cerbo_serial"] for measurement in found} == {"c0619ab2f7e1"}
    assert all(len(measurement["devices"]) == 2 for measurement in found)
    assert captured.err == b""


def test_replay_goes_by_the_config(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    """The config decides the interval and the name; no backend is needed to print."""
    config = "device:\n  cerbo_serial: Workshop\n  update_interval: 60\nlogging:\n  level: ERROR\n"
    Path("mine.yaml").write_text(config, encoding="utf-8")
    assert main(["replay", TWO, "-c", "mine.yaml"]) == DONE
    found = [json.loads(line) for line in capfdbinary.readouterr().out.splitlines()]
    assert [measurement["cerbo_serial"] for measurement in found] == ["Workshop"] * len(found)
    assert 2 <= len(found) <= 4


def test_replay_takes_a_part(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    """--to ends it early: what is printed is the beginning of the whole."""
    main(["replay", TWO])
    whole = capfdbinary.readouterr().out
    assert main(["replay", TWO, "--to", "60", "--speed", "1000000"]) == DONE
    part = capfdbinary.readouterr().out
    assert part
    assert whole.startswith(part)
    assert part != whole


def test_replay_posts_to_the_backend_of_the_config(capfd: pytest.CaptureFixture[str]) -> None:
    """--post sends through the outbox, prints nothing, and ends when all is delivered."""
    with StandInBackend() as backend:
        Path("config.yaml").write_text(
            f"backend:\n  url: {backend.url}\n  api_key: {backend.api_key}\n"
            "outbox:\n  max_rate: 1000\nlogging:\n  level: ERROR\n",
            encoding="utf-8",
        )
        assert main(["replay", TWO, "--post"]) == DONE
        assert len(backend.received) > 3
        assert backend.contract_violations == []
    assert capfd.readouterr().out == ""


def test_a_reader_that_has_had_enough_ends_a_replay_quietly() -> None:
    """`mqtt-http-bridge replay ... | head -1` is no error to print."""
    command = [sys.executable, "-m", "mqtt_http_bridge", "replay", TWO]
    root = Path(cli.__file__).parents[1]
    with subprocess.Popen(
        command, cwd=root, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as replay:
        assert replay.stdout is not None
        assert replay.stderr is not None
        replay.stdout.close()
        assert replay.stderr.read() == b""
    assert replay.returncode == FAILED


# --- what this machine refuses ---------------------------------------------------------------


def refusing(monkeypatch: pytest.MonkeyPatch, error: OSError) -> list[str]:
    """Makes the verb `run` meet an error while it starts; returns its words."""

    def refuse(*_: object) -> None:
        raise error

    monkeypatch.setattr(run_module, "run", refuse)
    config = {"backend": {"url": "http://127.0.0.1:9", "api_key": "abcdefgh"}}
    Path("config.yaml").write_text(json.dumps(config), encoding="utf-8")
    return ["run", "-c", "config.yaml"]


@pytest.mark.parametrize(
    ("code", "file", "said"),
    [
        (errno.EMFILE, None, "expected room for one more open file, found: Too many open files: "),
        (errno.ENFILE, "/x/y.py", "/x/y.py: expected room for one more open file, found: Too many"),
        (errno.EACCES, "/x", "/x: expected to be allowed to use it, found: Permission denied: run"),
        (errno.EPERM, None, "expected to be allowed to use it, found: Operation not permitted: "),
        (errno.EACCES, "\033[2J", r"\x1b[2J: expected to be allowed to use it, found: Permission"),
    ],
)
def test_what_the_machine_refuses_is_told_in_words(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    code: int,
    file: str | None,
    said: str,
) -> None:
    """Nobody reads a traceback to find out that a limit is too low."""
    error = OSError(code, os.strerror(code)) if file is None else OSError(code, "", file)
    error.strerror = os.strerror(code)
    assert main(refusing(monkeypatch, error)) == FAILED
    captured = capsys.readouterr()
    assert f"mqtt-http-bridge: {said}" in captured.err
    assert "bug" not in captured.out + captured.err


def test_an_unforeseen_error_is_a_bug(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its traceback is wanted."""
    words = refusing(monkeypatch, OSError(errno.EXDEV, "Invalid cross-device link"))
    with pytest.raises(SystemExit) as caught:
        main(words)
    assert caught.value.code == FAILED
    assert "ended by a bug in this program" in capsys.readouterr().out


@pytest.mark.parametrize("most", [6, 8, 10, 12])
def test_few_open_files_end_the_start_in_words(most: int) -> None:
    """Wherever the limit is met; with the status page, `run` needs the most."""
    config = {
        "backend": {"url": "http://127.0.0.1:9", "api_key": "abcdefgh"},
        "mqtt": {"host": "127.0.0.1", "port": 9},
        "status": {"listen": "127.0.0.1:9"},
    }
    Path("config.yaml").write_text(json.dumps(config), encoding="utf-8")
    limited = ["sh", "-c", f'ulimit -n {most}; exec "$@"', "sh"]
    ended = subprocess.run(
        [*limited, sys.executable, "-m", "mqtt_http_bridge", "run", "-c", "config.yaml"],
        capture_output=True,
        check=False,
        text=True,
        timeout=PATIENCE_S,
    )
    assert "expected room for one more open file, found: Too many open files: " in ended.stderr
    assert "Traceback" not in ended.stdout + ended.stderr
    assert ended.returncode == FAILED


# --- record ----------------------------------------------------------------------------------


def test_a_recording_of_nothing_is_an_error_and_leaves_no_file(
    capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    """Of a broker that is not there, say; the trouble is told."""
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        port = str(nobody.getsockname()[1])
        argv = ["record", "-o", "r.jsonl.gz", "--host", "127.0.0.1", "--port", port]
        assert main([*argv, "--duration", "0.2"]) == FAILED
    assert not Path("r.jsonl.gz").exists()
    found = f"r.jsonl.gz: expected messages from 127.0.0.1:{port}, found none: not recorded"
    assert found in capsys.readouterr().err
    (line,) = caplog.messages
    assert line.startswith(f"no connection to the broker: 127.0.0.1:{port}: Connection refused: ")
