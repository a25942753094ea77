"""Tests files that would fill the memory or never end: a clear error within seconds."""

import gzip
import os
import subprocess
import sys
import zlib
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from mqtt_http_bridge.adapters.config import load, readable_by_others
from mqtt_http_bridge.adapters.recording import LONGEST_LINE, RecordingWriter, read_recording
from mqtt_http_bridge.adapters.small_files import MOST_BYTES
from mqtt_http_bridge.app.gx_password import password_from
from mqtt_http_bridge.app.make_config import make_config, old_values
from mqtt_http_bridge.core.errors import BridgeError, MalformedRecording
from mqtt_http_bridge.core.events import Message, Moment

pytestmark = pytest.mark.long

MIB = 1_048_576
MOST_MIB = 64.0
MOST_S = 3.0
"""Seconds of CPU time: the worst takes 0.3 on a PC."""
HEADER = '{"recording":1,"started_at":"2026-01-01T12:00:00+00:00"}\n'
MESSAGE = '{"t":1.0,"topic":"N/a/solarcharger/0/Yield/Power","payload":"{\\"value\\":1}"}\n'
BEGUN = MESSAGE.partition('"{')[0] + '"'
"""A message up to its payload."""
BACKEND = "backend: {url: http://a, api_key: canary-5f3a}\n"

MEASURED = """
import re, sys, time
from pathlib import Path
from mqtt_http_bridge.cli import main
import mqtt_http_bridge.adapters.config, mqtt_http_bridge.app.replay, mqtt_http_bridge.app.run

def peak_kib():
    return int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])

before, started_s = peak_kib(), time.process_time()
status = main()
print(status, (peak_kib() - before) / 1024, time.process_time() - started_s)
"""
"""Prints the exit status, how many MiB more it took, and the seconds of CPU time.

Not `ru_maxrss`, which a process has from its parent.
"""


def sparse(path: Path) -> None:
    """100 MB of zeros, which take no room."""
    path.touch()
    os.truncate(path, 100 * MIB)


def big_text(path: Path) -> None:
    path.write_text("# a comment\n" * (100 * MIB // 12), encoding="utf-8")


def billion_laughs(path: Path) -> None:
    lines = ["a0: &a0 [lol, lol, lol, lol, lol, lol, lol, lol, lol]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12)]
    path.write_text("\n".join([*lines, "mqtt: {host: *a11}", ""]), encoding="utf-8")


def merged_laughs(path: Path) -> None:
    lines = ["a0: &a0 {x: 1}"]
    lines += [f"a{n}: &a{n} {{<<: [{', '.join([f'*a{n - 1}'] * 9)}]}}" for n in range(1, 12)]
    path.write_text("\n".join([*lines, ""]), encoding="utf-8")


def many_brackets(path: Path) -> None:
    path.write_text("a: " + "[" * (MOST_BYTES - 10), encoding="utf-8")


def many_keys(path: Path) -> None:
    path.write_text("".join(f"k{n}:\n" for n in range(8000)), encoding="utf-8")


def many_digits(path: Path) -> None:
    path.write_text("mqtt: {port: 0x" + "f" * (MOST_BYTES - 30) + "}\n", encoding="utf-8")


def many_digits_for_a_key(path: Path) -> None:
    path.write_text("? 0x" + "f" * (MOST_BYTES - 30) + "\n: 1\n", encoding="utf-8")


def many_sixties(path: Path) -> None:
    path.write_text("mqtt: {port: 1" + ":1" * (MOST_BYTES // 2 - 30) + "}\n", encoding="utf-8")


def big_key_file(path: Path) -> None:
    sparse(path.with_name("key"))
    path.write_text("backend: {url: http://a, api_key_file: key}\n", encoding="utf-8")


def endless_key_file(path: Path) -> None:
    path.write_text("backend: {url: http://a, api_key_file: /dev/zero}\n", encoding="utf-8")


def big_certificates(path: Path) -> None:
    text = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
    path.with_name("ca.pem").write_text(text * (100 * MIB // len(text)), encoding="ascii")
    path.write_text(BACKEND + "mqtt: {tls: true, ca_file: ca.pem}\n", encoding="utf-8")


CONFIGS = {
    big_certificates: "config.yaml: mqtt.ca_file: expected certificates, 4194304 bytes at most, f",
    sparse: "config.yaml: expected a config file of 65536 bytes at most, found more",
    big_text: "config.yaml: expected a config file of 65536 bytes at most, found more",
    billion_laughs: "config.yaml: line 2: expected a value, found an alias (*)",
    merged_laughs: "config.yaml: line 2: expected a value, found an alias (*)",
    many_brackets: "config.yaml: expected YAML, found something else",
    many_keys: "config.yaml: expected a known section (backend,",
    many_digits: "config.yaml: mqtt.port: expected a port number from 1 to 65535, found",
    many_digits_for_a_key: "config.yaml: expected a known section (backend,",
    many_sixties: "config.yaml: mqtt.port: expected a port number from 1 to 65535, found",
    big_key_file: "config.yaml: backend.api_key_file: expected the name of a file, found none to",
    endless_key_file: "config.yaml: backend.api_key_file: expected the name of a file, found",
}


def gzip_bomb(path: Path) -> None:
    """2 GB of zeros in 9 MB; packed once, as what follows a full flush needs nothing before it."""
    packer = zlib.compressobj(1, wbits=31)
    first, other = (
        packer.compress(bytes(10 * MIB)) + packer.flush(zlib.Z_FULL_FLUSH) for _ in "12"
    )
    path.write_bytes(first + other * 199 + packer.flush())


def bomb_of_a_line(path: Path) -> None:
    """A message that begins well, and goes on for 100 MB."""
    with gzip.open(path, "wt", compresslevel=1) as file:
        file.write(HEADER + BEGUN + "x" * (100 * MIB))


def bomb_of_lines(path: Path) -> None:
    """A million messages that are all good, and the same."""
    with gzip.open(path, "wt", compresslevel=9) as file:
        file.write(HEADER)
        for _ in range(100):
            file.write(MESSAGE * 10_000)


def nested(path: Path) -> None:
    path.write_text(HEADER + "[" * LONGEST_LINE, encoding="utf-8")


def many_objects(path: Path) -> None:
    path.write_text(HEADER + "[" + "{}," * (LONGEST_LINE // 3 - 2) + "1]", encoding="utf-8")


@pytest.mark.parametrize(
    "read",
    [
        old_values,
        lambda path: make_config(path.with_name("c.yaml"), {}, path, None),
        lambda path: password_from(path, {}),
    ],
    ids=["the old config", "the key for a new one", "the password"],
)
def test_no_other_file_that_a_person_names_is_read_for_ever(
    read: Callable[[Path], object], tmp_path: Path
) -> None:
    """A wrong name is a mistake easily made."""
    sparse(tmp_path / "sparse")
    for path in (tmp_path / "sparse", Path("/dev/zero")):
        (tmp_path / "link").unlink(missing_ok=True)
        (tmp_path / "link").symlink_to(path)
        with pytest.raises(BridgeError, match="expected"):
            read(tmp_path / "link")


BOMB = "r.jsonl.gz: expected a recording, found what is unpacked to more than 100 times its size"
RECORDINGS = {
    sparse: "line 1: expected a header such as",
    big_text: "line 1: expected a header such as",
    gzip_bomb: BOMB,
    bomb_of_a_line: BOMB,
    bomb_of_lines: BOMB,
    nested: "line 2: expected a message or an event",
    many_objects: "line 2: expected a message or an event",
}


def without_coverage() -> dict[str, str]:
    """The environment of a process whose lines nobody counts: counting takes half its time."""
    return {name: text for name, text in os.environ.items() if not name.startswith("COVERAGE_")}


def measured(*words: str, directory: Path) -> tuple[str, int, float, float]:
    """Returns what a verb said, its status, the MiB that it took, and the seconds of CPU time."""
    said = subprocess.run(
        [sys.executable, "-c", MEASURED, *words],
        cwd=directory,
        env={**without_coverage(), "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        check=True,
        text=True,
        timeout=60.0,
    )
    status, taken_mib, taken_s = said.stdout.splitlines()[-1].split()
    return said.stderr, int(status), float(taken_mib), float(taken_s)


@pytest.mark.parametrize(
    ("make", "expected"), CONFIGS.items(), ids=[make.__name__ for make in CONFIGS]
)
def test_no_config_takes_the_machine(
    make: Callable[[Path], None], expected: str, tmp_path: Path
) -> None:
    """A line that says what is wrong, within seconds and under 64 MiB."""
    make(tmp_path / "config.yaml")
    said, status, taken_mib, taken_s = measured("config", "test", directory=tmp_path)
    which, complaint = said.split("\n", 1)
    assert which == "config: config.yaml"
    assert complaint.startswith(f"mqtt-http-bridge: {expected}")
    assert complaint.count("\n") == 1
    assert status == 2
    assert (taken_mib < MOST_MIB, taken_s < MOST_S) == (True, True), (taken_mib, taken_s)


@pytest.mark.parametrize(
    ("make", "expected"), RECORDINGS.items(), ids=[make.__name__ for make in RECORDINGS]
)
def test_no_recording_takes_the_machine(
    make: Callable[[Path], None], expected: str, tmp_path: Path
) -> None:
    """The same for `replay`."""
    make(tmp_path / "r.jsonl.gz")
    said, status, taken_mib, taken_s = measured("replay", "r.jsonl.gz", directory=tmp_path)
    assert expected in said
    assert said.count("\n") == 1
    assert status == 1
    assert (taken_mib < MOST_MIB, taken_s < MOST_S) == (True, True), (taken_mib, taken_s)


def test_a_line_of_the_greatest_length_is_read(tmp_path: Path) -> None:
    """And not one that is a byte longer."""
    path = tmp_path / "r.jsonl"
    start, end = BEGUN, '"}\n'
    line = start + "x" * (LONGEST_LINE - len(start) - len(end)) + end
    path.write_text(HEADER + line, encoding="utf-8")
    assert len(list(read_recording(path))) == 1
    path.write_text(HEADER + line.replace("xx", "xxx", 1), encoding="utf-8")
    with pytest.raises(MalformedRecording):
        list(read_recording(path))


def test_a_message_that_no_reader_takes_is_not_written(tmp_path: Path) -> None:
    """It would make the whole recording worthless."""
    path = tmp_path / "r.jsonl"
    moment = Moment(0.0, datetime(2026, 1, 1, tzinfo=UTC))
    writer = RecordingWriter(path, moment)
    messages = [Message(moment, "a", b"x" * size, retain=False) for size in (LONGEST_LINE, 10)]
    for message in messages:
        writer.write(message)
    writer.close()
    assert list(read_recording(path)) == messages[1:]


# --- who may read secrets ------------------------------------------------------------------------


def test_files_with_secrets_that_others_can_read_are_named(open_directory: Path) -> None:
    """The config with the key in it, and files that it names; one of a group is no matter."""
    config = open_directory / "config.yaml"
    config.write_text(BACKEND + "mqtt: {password_file: p}\n", encoding="utf-8")
    (open_directory / "p").write_text("canary\n", encoding="utf-8")
    config.chmod(0o644)
    (open_directory / "p").chmod(0o604)
    assert readable_by_others(load(config, {})) == [str(config), str(open_directory / "p")]
    config.chmod(0o640)
    assert readable_by_others(load(config, {})) == [str(open_directory / "p")]
    (open_directory / "p").chmod(0o600)
    assert readable_by_others(load(config, {})) == []


def test_a_config_without_a_secret_may_be_read_by_all(open_directory: Path) -> None:
    """Its key stands elsewhere."""
    config = open_directory / "config.yaml"
    config.write_text("backend: {url: http://a, api_key_file: k}\n", encoding="utf-8")
    (open_directory / "k").write_text("canary\n", encoding="utf-8")
    (open_directory / "k").chmod(0o600)
    config.chmod(0o644)
    assert readable_by_others(load(config, {})) == []
    config.write_text("backend: {url: http://a}\n", encoding="utf-8")
    assert readable_by_others(load(config, {"MQTT_HTTP_BRIDGE_API_KEY": "canary"})) == []


def test_a_directory_that_nobody_enters_protects_what_is_in_it(open_directory: Path) -> None:
    """Whatever the file itself would let others do."""
    (open_directory / "ours").mkdir(mode=0o750)
    config = open_directory / "ours/config.yaml"
    config.write_text(BACKEND, encoding="utf-8")
    config.chmod(0o644)
    assert readable_by_others(load(config, {})) == []
    (open_directory / "ours").chmod(0o711)
    assert readable_by_others(load(config, {})) == [str(config)]
