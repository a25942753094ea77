"""Runs a real sshd in a root that looks like a GX: use it for what comes over ssh."""

import shutil
import socket
import subprocess
from pathlib import Path

import pytest

from tests.support.look_alike import LookAlike, add_programs, is_root, program, wait_until


class Sshd:
    """An sshd in a GX, on a free port of loopback, and the ssh that may log in there."""

    def __init__(self, gx: LookAlike, directory: Path) -> None:
        if not is_root():
            pytest.skip("sshd has to be root to let root log in")
        helpers = Path("/usr/lib/openssh")
        add_programs(gx.path, [program("sshd")], "usr/sbin")
        add_programs(gx.path, helpers.glob("sshd-*"), "usr/lib/openssh")
        for name in ("etc/ssh", "run/sshd", "root/.ssh", "var/empty"):
            (gx / name).mkdir(parents=True, exist_ok=True)
        with (gx / "etc/passwd").open("a", encoding="utf-8") as passwd:
            passwd.write("sshd:x:74:74::/run/sshd:/bin/false\n")
        make_key(gx / "etc/ssh/host_key")
        make_key(directory / "key")
        shutil.copy2(directory / "key.pub", gx / "root/.ssh/authorized_keys")
        self._config = directory / "ssh_config"
        self.port = free_port()
        (gx / "etc/ssh/sshd_config").write_text(
            f"ListenAddress 127.0.0.1\nPort {self.port}\nHostKey /etc/ssh/host_key\n"
            "PermitRootLogin yes\nStrictModes no\nPasswordAuthentication no\nUsePAM no\n",
            encoding="utf-8",
        )
        self._config.write_text(
            f"Host gx nowhere closed 127.0.0.1\n  User root\n  Port {self.port}\n"
            f"  IdentityFile {directory / 'key'}\n  UserKnownHostsFile /dev/null\n"
            "  StrictHostKeyChecking no\n  BatchMode yes\n  LogLevel ERROR\n"
            "Host gx\n  HostName 127.0.0.1\nHost nowhere\n  HostName nowhere.invalid\n",
            encoding="utf-8",
        )
        gx.start("/usr/sbin/sshd", "-D", "-e", "-f", "/etc/ssh/sshd_config")
        wait_until(self._answers, "sshd")

    @property
    def ssh(self) -> str:
        """The ssh command that logs in there."""
        return f"ssh -F {self._config}"

    def _answers(self) -> bool:
        with socket.socket() as client:
            return client.connect_ex(("127.0.0.1", self.port)) == 0


def make_key(path: Path) -> None:
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(path)], check=True)


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])
