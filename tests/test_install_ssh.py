"""The installer on a laptop: over ssh to a real sshd, and onto a USB stick."""

import shutil
import socket
import subprocess
from pathlib import Path

import pytest

from tests.installing import HOME, LOG, Surroundings, install, log
from tests.look_alike import LookAlike, add_programs, is_root, program, wait_until

pytestmark = pytest.mark.once


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


@pytest.fixture
def sshd(gx: LookAlike, tmp_path: Path) -> Sshd:
    """A GX with ssh switched on."""
    return Sshd(gx, tmp_path)


# --- over ssh -----------------------------------------------------------------------------------


def test_from_a_laptop_to_the_first_post(
    sshd: Sshd, gx: LookAlike, checkout: Path, surroundings: Surroundings, tmp_path: Path
) -> None:
    """One command: archive, copy, config, service, and what it sees; nothing is left of the way."""
    config = tmp_path / "config.yaml"
    config.write_text(surroundings.config(), encoding="utf-8")
    said = install(checkout, "root@gx", "--config", str(config), "--wait", "20", SSH=sshd.ssh)
    assert said.returncode == 0, said.stdout
    assert f"portal id:  {surroundings.gx.portal_id}" in said.stdout
    assert "first POST: the backend takes measurements" in said.stdout
    assert not (gx / HOME / ".upload").exists()
    again = install(checkout, "root@gx", "--wait", "20", SSH=sshd.ssh)
    assert f"kept /{HOME}/config.yaml" in again.stdout
    gone = install(checkout, "--uninstall", "--purge", "root@gx", SSH=sshd.ssh)
    assert gone.returncode == 0, gone.stdout
    assert not (gx / HOME).exists()
    assert not (gx / "data/rc.local").exists()


def test_the_key_goes_through_the_pipe(
    sshd: Sshd, gx: LookAlike, checkout: Path, tmp_path: Path
) -> None:
    """Not over a command line; and odd letters in the URL arrive as they are."""
    (tmp_path / "api key").write_text("secret-key\n", encoding="utf-8")
    url = "https://a.example/it's"
    arguments = ("--url", url, "--api-key-file", str(tmp_path / "api key"), "--wait", "0")
    said = install(checkout, "root@gx", *arguments, SSH=sshd.ssh)
    assert said.returncode == 0, said.stdout
    assert "secret-key" not in said.stdout + gx.read(LOG)
    assert f'url: "{url}"' in gx.read(f"{HOME}/config.yaml")
    assert 'api_key: "secret-key"' in gx.read(f"{HOME}/config.yaml")


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("root@nowhere", "expected a name that resolves, found none: use the IP address"),
        ("nobody@gx", "expected to log in, was refused: set a root password"),
    ],
)
def test_what_keeps_ssh_from_working_is_named(
    sshd: Sshd, checkout: Path, target: str, expected: str
) -> None:
    """And what to do about it."""
    said = install(checkout, target, SSH=sshd.ssh)
    assert said.returncode == 1
    assert expected in said.stdout


def test_a_machine_without_ssh_is_named(checkout: Path) -> None:
    """At either end: no client here, no server there."""
    said = install(checkout, "root@127.0.0.1", SSH=f"ssh -F /dev/null -p {free_port()}")
    assert "expected an ssh server, could not reach one: switch on SSH" in said.stdout
    said = install(checkout, "root@127.0.0.1", SSH="no-such-ssh")
    assert "expected ssh, found none: install OpenSSH's client" in said.stdout


def test_a_gx_with_old_firmware_is_left_alone(sshd: Sshd, gx: LookAlike, checkout: Path) -> None:
    """What the check over there says is what a person reads here."""
    (gx / "usr/bin/python3").unlink()
    said = install(checkout, "root@gx", SSH=sshd.ssh)
    assert said.returncode == 1
    assert "expected python3, found none: update the GX to Venus OS v3.60" in said.stdout
    assert "root@gx: not installed, see above; nothing was changed" in said.stdout
    assert list((gx / "data").iterdir()) == []


# --- by USB stick ---------------------------------------------------------------------------------


def test_a_usb_stick_installs_once(
    gx: LookAlike, checkout: Path, surroundings: Surroundings, tmp_path: Path
) -> None:
    """At boot, without ssh; the next boot with the stick still in changes nothing."""
    config = tmp_path / "mine.yaml"
    config.write_text(surroundings.config(), encoding="utf-8")
    said = install(checkout, "--usb", "--config", str(config), cwd=tmp_path)
    assert said.returncode == 0, said.stdout
    assert (tmp_path / "venus-data.tar.gz").stat().st_mode & 0o777 == 0o600
    gx.power_off()
    gx.insert(tmp_path / "venus-data.tar.gz")
    gx.boot()
    surroundings.wait_for_another_post()
    release = (gx / HOME / "current").resolve()
    installed_at = (gx / HOME / "current/BUILD").stat().st_mtime_ns
    assert "the medium: it can be removed" in gx.read(f"{HOME}/usb.log")
    gx.power_off()
    gx.boot(is_quick=True)
    surroundings.wait_for_another_post()
    assert (gx / HOME / "current").resolve() == release
    assert (gx / HOME / "current/BUILD").stat().st_mtime_ns == installed_at
    assert gx.read(f"{HOME}/usb.log") == ""
    assert not (gx / "data/mqtt-http-bridge-usb").exists()


@pytest.mark.parametrize("option", ["", "--keep-old"])
def test_a_usb_stick_retires_the_d_bus_bridge_unless_told(
    gx: LookAlike, checkout: Path, tmp_path: Path, option: str
) -> None:
    """Nobody can be asked at boot; its settings are not needed: a config is on the stick."""
    old = gx / "data/dbus-victron-http-bridge/service"
    old.mkdir(parents=True)
    (old / "run").write_text("#!/bin/sh\nexec sleep 1000000\n", encoding="utf-8")
    (old / "run").chmod(0o755)
    (gx / "data/rc.local").write_text(
        "#!/bin/sh\n"
        "ln -s /data/dbus-victron-http-bridge/service /service/dbus-victron-http-bridge\n",
        encoding="utf-8",
    )
    (tmp_path / "key").write_text("k\n", encoding="utf-8")
    arguments = ["--usb", "--url", "https://a.example", "--api-key-file", "key", option]
    said = install(checkout, *filter(None, arguments), cwd=tmp_path)
    assert said.returncode == 0, said.stdout
    gx.power_off()
    gx.insert(tmp_path / "venus-data.tar.gz")
    gx.boot(is_quick=True)
    wait_until(lambda: "https://a.example" in log(gx), "the service")
    is_kept = any("sleep 1000000" in line for line in gx.commands())
    assert is_kept == bool(option)


def test_another_usb_stick_brings_another_config(
    gx: LookAlike, checkout: Path, tmp_path: Path
) -> None:
    """Without ssh it is the only way to change it; the one before is kept."""
    (tmp_path / "key").write_text("k\n", encoding="utf-8")
    for url in ("https://one.example", "https://two.example"):
        install(checkout, "--usb", "--url", url, "--api-key-file", "key", cwd=tmp_path)
        gx.power_off()
        gx.insert(tmp_path / "venus-data.tar.gz")
        gx.boot(is_quick=True)
    assert "https://two.example" in gx.read(f"{HOME}/config.yaml")
    assert "https://one.example" in gx.read(f"{HOME}/config.yaml.before-usb")
    wait_until(lambda: "https://two.example" in log(gx), "the service with the new config")


def test_a_usb_stick_without_a_right_config_is_not_made(checkout: Path, tmp_path: Path) -> None:
    """It would be found out on the wall only."""
    (tmp_path / "config.yaml").write_text("backend: {}\n", encoding="utf-8")
    said = install(checkout, "--usb", "--config", "config.yaml", cwd=tmp_path)
    assert said.returncode == 1
    assert "backend.url: expected" in said.stdout
    assert not (tmp_path / "venus-data.tar.gz").exists()
