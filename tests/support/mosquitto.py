"""Runs a real broker on a free loopback port: use it where a connection has to be real.

It has two doors. Clients under test use `port`, with the login and the certificate the test asks
for. The stand-in for the GX uses `inside_port`, which is always open: on a real GX the software
that publishes is part of the broker and passes no door at all.
"""

import contextlib
import os
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

HOST = "127.0.0.1"

# Each broker takes one of these and the one above it. They are below the range from which Linux,
# macOS and Windows take the ports of outgoing connections: a port from that range could be lost
# while the broker is down, and a client that retries one long enough ends up connected to itself.
PORTS = range(20_000, 32_768, 2)
PORT_ATTEMPTS = 20

START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 10.0
READINESS_INTERVAL_S = 0.01


class ProgramMissing(RuntimeError):
    """A program the tests need is missing. The message says what to install."""


class ProgramFailed(RuntimeError):
    """A program the tests need did not do its work. The message holds what it printed."""


class _PortTaken(Exception):
    """Somebody else listens on the port that was chosen."""


@dataclass(frozen=True, kw_only=True)
class Login:
    """A user name and password that the broker accepts, and at its start the only ones."""

    user: str
    password: str


@dataclass(frozen=True, kw_only=True)
class Certificate:
    """A server certificate and its private key, both PEM files."""

    certificate_file: Path
    key_file: Path


def make_certificate(directory: Path, common_name: str = "venus.local") -> Certificate:
    """A self-signed certificate like the one a GX makes for itself: 100 years, and no SAN.

    As a CA file it verifies for `common_name`, never for an IP address.
    """
    certificate = Certificate(
        certificate_file=directory / "certificate.pem", key_file=directory / "key.pem"
    )
    # An elliptic curve, because such a key is made in milliseconds.
    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    subject = ["-subj", f"/CN={common_name}", "-days", "36500"]
    files = ["-keyout", str(certificate.key_file), "-out", str(certificate.certificate_file)]
    _run([_find_program("openssl"), "req", "-x509", *key, *subject, *files])
    return certificate


class Mosquitto:
    """One broker; use it as a context manager, which starts it and ends it. For one thread.

    `login`, `certificate` and `extra_lines` are read at every start, so that a test may change them
    while the broker is down. `extra_lines` go to the configuration of the port's listener,
    `bridge_lines`, which connect it to another broker, to the end. Nothing is kept from one start
    to the next but the port: a broker that starts has no retained message.
    """

    def __init__(
        self,
        *,
        login: Login | None = None,
        certificate: Certificate | None = None,
        extra_lines: Sequence[str] = (),
        bridge_lines: Sequence[str] = (),
    ) -> None:
        self.login = login
        self.certificate = certificate
        self.extra_lines = tuple(extra_lines)
        self.bridge_lines = tuple(bridge_lines)
        self._directory = tempfile.TemporaryDirectory(prefix="mosquitto-")
        self._port: int | None = None
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self._directory.cleanup()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        # Nothing is kept, so nothing is lost, and SIGTERM takes mosquitto a tenth of a second.
        self.kill()
        self._directory.cleanup()

    @property
    def host(self) -> str:
        """The loopback address of the port."""
        return HOST

    @property
    def port(self) -> int:
        """The TCP port for clients: chosen at the first start, the same ever after."""
        if self._port is None:
            raise RuntimeError("the broker has no port before its first start: call start()")
        return self._port

    @property
    def inside_port(self) -> int:
        """A TCP port without login and TLS, whatever the other one asks for."""
        return self.port + 1

    @property
    def process_id(self) -> int:
        """The id of the running broker process."""
        if self._process is None or self._process.poll() is not None:
            raise RuntimeError("the broker is not running: call start()")
        return self._process.pid

    def start(self) -> None:
        """Start the broker and return when it accepts connections."""
        if self._process is not None and self._process.poll() is None:
            raise RuntimeError(f"the broker already runs as process {self._process.pid}: stop() it")
        ports = self._candidate_ports()
        for port in ports:
            with contextlib.suppress(_PortTaken):
                self._process = self._start_on(port)
                self._port = port
                return
        raise ProgramFailed(f"mosquitto: others listen on each of the ports tried: {ports}")

    def add_login(self, login: Login) -> None:
        """Have the running broker accept one login more, in place of one of the same user.

        It is known as soon as mosquitto has read its files again, which is a moment later.
        """
        path = Path(self._directory.name) / "passwords"
        _run([_find_program("mosquitto_passwd"), "-b", str(path), login.user, login.password])
        self.send(signal.SIGHUP)

    def stop(self) -> None:
        """End the broker as its service manager would: SIGTERM, and wait. Twice is no error."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End the broker as a crash would: SIGKILL, so that it says goodbye to nobody."""
        self._end(signal.SIGKILL)

    def send(self, number: signal.Signals) -> None:
        """Send a signal to the running broker, such as SIGSTOP, and do not wait."""
        if self._process is None:
            raise RuntimeError("the broker is not running: call start()")
        self._process.send_signal(number)

    def _candidate_ports(self) -> list[int]:
        """Returns ports to try, in this order: mosquitto finds out if one is free by taking it."""
        if self._port is None:
            return random.sample(PORTS, k=PORT_ATTEMPTS)
        return [self._port] * PORT_ATTEMPTS

    def _start_on(self, port: int) -> subprocess.Popen[bytes]:
        program = _find_program("mosquitto")
        # Left over from a broker that was killed.
        self._ready_socket.unlink(missing_ok=True)
        configuration_file = self._write_configuration(port)
        with self._log_file.open("wb") as log:
            process = subprocess.Popen(
                [program, "-c", str(configuration_file)], stdout=log, stderr=log
            )
        try:
            self._wait_until_ready(process)
        except BaseException:
            process.kill()
            process.wait()
            raise
        return process

    def _wait_until_ready(self, process: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + START_TIMEOUT_S
        while not self._answers():
            if _has_ended(process, within_s=READINESS_INTERVAL_S):
                raise self._reason_of_death()
            if time.monotonic() > deadline:
                raise ProgramFailed(
                    f"mosquitto accepts no connection after {START_TIMEOUT_S:g} s:\n{self._log()}"
                )

    def _answers(self) -> bool:
        """Tells whether mosquitto is up. It opens this socket last, and only if it got both ports.

        On the ports a stranger might answer; this one is ours alone.
        """
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
            return client.connect_ex(str(self._ready_socket)) == 0

    def _reason_of_death(self) -> Exception:
        log = self._log()
        if "Address already in use" in log:
            return _PortTaken()
        return ProgramFailed(f"mosquitto ended at once:\n{log}")

    def _end(self, signal_number: signal.Signals) -> None:
        if self._process is None:
            return
        self._process.send_signal(signal_number)
        if not _has_ended(self._process, within_s=STOP_TIMEOUT_S):
            self._process.kill()
            self._process.wait()
        self._process = None

    @property
    def _ready_socket(self) -> Path:
        return Path(self._directory.name) / "ready.sock"

    @property
    def _log_file(self) -> Path:
        return Path(self._directory.name) / "mosquitto.log"

    def _log(self) -> str:
        return self._log_file.read_text(encoding="utf-8", errors="replace")

    def _write_configuration(self, port: int) -> Path:
        lines = [
            *self._lines_for_the_process(),
            *self._lines_for_the_port(port),
            f"listener {port + 1} {HOST}",
            "allow_anonymous true",
            f"listener 0 {self._ready_socket}",
            *self.bridge_lines,
        ]
        path = Path(self._directory.name) / "mosquitto.conf"
        path.write_text("\n".join([*lines, ""]), encoding="utf-8")
        return path

    def _lines_for_the_process(self) -> list[str]:
        return [
            "per_listener_settings true",
            "persistence false",
            # Started by root, mosquitto would change to a user who cannot read our files. Started
            # by anybody else, it ignores this line.
            "user root",
            # No limit: a full publish is a burst of thousands, and a test must not lose any of it.
            "max_queued_messages 0",
        ]

    def _lines_for_the_port(self, port: int) -> list[str]:
        lines = [f"listener {port} {HOST}", *self.extra_lines]
        if self.login is None:
            lines.append("allow_anonymous true")
        else:
            lines += ["allow_anonymous false", f"password_file {self._write_login(self.login)}"]
        if self.certificate is not None:
            lines.append(f"certfile {self.certificate.certificate_file}")
            lines.append(f"keyfile {self.certificate.key_file}")
        return lines

    def _write_login(self, login: Login) -> Path:
        path = Path(self._directory.name) / "passwords"
        path.write_text(f"{login.user}:{login.password}\n", encoding="utf-8")
        _run([_find_program("mosquitto_passwd"), "-U", str(path)])  # hashes them in place
        return path


def _has_ended(process: subprocess.Popen[bytes], *, within_s: float) -> bool:
    try:
        process.wait(timeout=within_s)
    except subprocess.TimeoutExpired:
        return False
    return True


def _run(command: Sequence[str]) -> None:
    try:
        subprocess.run(command, check=True, capture_output=True, text=True)
    except subprocess.CalledProcessError as error:
        raise ProgramFailed(f"{command[0]} failed: {error.stderr.strip()}") from error


def _find_program(name: str) -> str:
    # Debian keeps mosquitto in a directory that is on root's PATH only.
    path = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin"])
    program = shutil.which(name, path=path)
    if program is None:
        package = "openssl" if name == "openssl" else "mosquitto"
        raise ProgramMissing(
            f"{name} is neither on the PATH nor in /usr/sbin: "
            f"install the package {package} (on Debian and Ubuntu: apt-get install {package})"
        )
    return program
