"""Tests the installer on a laptop: over ssh to a real sshd, and onto a USB stick."""

from pathlib import Path

import pytest

from tests.support.installing import HOME, LOG, Surroundings, install, log
from tests.support.look_alike import LookAlike, wait_until
from tests.support.sshd import Sshd, free_port

pytestmark = pytest.mark.once


@pytest.fixture
def sshd(gx: LookAlike, tmp_path: Path) -> Sshd:
    """A GX with ssh switched on."""
    return Sshd(gx, tmp_path)


# --- over ssh -----------------------------------------------------------------------------------


def test_from_a_laptop_to_the_first_post(  # noqa: PLR0917 - fixtures
    sshd: Sshd,
    gx: LookAlike,
    checkout: Path,
    unpacked: Path,
    surroundings: Surroundings,
    tmp_path: Path,
) -> None:
    """One command: archive, copy, config, service, and what it sees; nothing is left of the way."""
    config = tmp_path / "config.yaml"
    config.write_text(surroundings.config(), encoding="utf-8")
    said = install(checkout, "root@gx", "--config", str(config), "--wait", "20", SSH=sshd.ssh)
    assert said.returncode == 0, said.stdout
    assert f"portal id:  {surroundings.gx.portal_id}" in said.stdout
    assert "first POST: stored at the backend" in said.stdout
    assert not (gx / HOME / ".upload").exists()
    again = install(unpacked, "root@gx", "--wait", "20", SSH=sshd.ssh)
    assert f"kept /{HOME}/config.yaml" in again.stdout
    gone = install(unpacked, "--uninstall", "--purge", "root@gx", SSH=sshd.ssh)
    assert gone.returncode == 0, gone.stdout
    assert not (gx / HOME).exists()
    assert not (gx / "data/rc.local").exists()


def test_the_key_goes_through_the_pipe(
    sshd: Sshd, gx: LookAlike, unpacked: Path, tmp_path: Path
) -> None:
    """Not over a command line; and odd letters in the URL arrive as they are."""
    (tmp_path / "api key").write_text("secret-key\n", encoding="utf-8")
    url = "https://a.example/it's"
    arguments = ("--url", url, "--api-key-file", str(tmp_path / "api key"), "--wait", "0")
    said = install(unpacked, "root@gx", *arguments, SSH=sshd.ssh)
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
    sshd: Sshd, unpacked: Path, target: str, expected: str
) -> None:
    """And what to do about it."""
    said = install(unpacked, target, SSH=sshd.ssh)
    assert said.returncode == 1
    assert expected in said.stdout


def test_a_machine_without_ssh_is_named(unpacked: Path) -> None:
    """At either end: no client here, no server there."""
    said = install(unpacked, "root@127.0.0.1", SSH=f"ssh -F /dev/null -p {free_port()}")
    assert "expected an ssh server, could not reach one: switch on SSH" in said.stdout
    said = install(unpacked, "root@127.0.0.1", SSH="no-such-ssh")
    assert "expected ssh, found none: install OpenSSH's client" in said.stdout


def test_a_gx_with_old_firmware_is_left_alone(sshd: Sshd, gx: LookAlike, unpacked: Path) -> None:
    """A person reads here what the check over there says."""
    (gx / "usr/bin/python3").unlink()
    said = install(unpacked, "root@gx", SSH=sshd.ssh)
    assert said.returncode == 1
    assert "expected python3, found none: update the GX to Venus OS v3.60" in said.stdout
    assert "root@gx: not installed, see above; nothing was changed" in said.stdout
    assert list((gx / "data").iterdir()) == []


# --- by USB stick ---------------------------------------------------------------------------------


def test_a_usb_stick_installs_once(
    gx: LookAlike, unpacked: Path, surroundings: Surroundings, tmp_path: Path
) -> None:
    """At boot, without ssh; the next boot with the stick still in changes nothing."""
    config = tmp_path / "mine.yaml"
    config.write_text(surroundings.config(), encoding="utf-8")
    said = install(unpacked, "--usb", "--config", str(config), cwd=tmp_path)
    assert "Then take the stick out: your API key is on it." in said.stdout
    assert said.returncode == 0, said.stdout
    assert (tmp_path / "venus-data.tar.gz").stat().st_mode & 0o777 == 0o600
    gx.power_off()
    gx.insert(tmp_path / "venus-data.tar.gz")
    gx.boot()
    surroundings.wait_for_another_post()
    release = (gx / HOME / "current").resolve()
    installed_at = (gx / HOME / "current/BUILD").stat().st_mtime_ns
    assert "the USB stick or SD card: it can be taken out" in gx.read(f"{HOME}/usb.log")
    gx.power_off()
    gx.boot(is_quick=True)
    surroundings.wait_for_another_post()
    assert (gx / HOME / "current").resolve() == release
    assert (gx / HOME / "current/BUILD").stat().st_mtime_ns == installed_at
    assert gx.read(f"{HOME}/usb.log").count("installed ") == 1
    assert not (gx / "data/mqtt-http-bridge-usb").exists()


@pytest.mark.parametrize("option", ["", "--keep-old"])
def test_a_usb_stick_retires_the_d_bus_bridge_unless_told(
    gx: LookAlike, unpacked: Path, tmp_path: Path, option: str
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
    (gx / "data/rc.local").chmod(0o755)
    (tmp_path / "key").write_text("k\n", encoding="utf-8")
    arguments = ["--usb", "--url", "https://a.example", "--api-key-file", "key", option]
    said = install(unpacked, *filter(None, arguments), cwd=tmp_path)
    assert said.returncode == 0, said.stdout
    gx.power_off()
    gx.insert(tmp_path / "venus-data.tar.gz")
    gx.boot(is_quick=True)
    wait_until(lambda: "https://a.example" in log(gx), "the service")
    is_kept = any("sleep 1000000" in line for line in gx.commands())
    assert is_kept == bool(option)


def test_another_usb_stick_brings_another_config(
    gx: LookAlike, unpacked: Path, tmp_path: Path
) -> None:
    """Without ssh it is the only way to change it; the one before is kept."""
    (tmp_path / "key").write_text("k\n", encoding="utf-8")
    for url in ("https://one.example", "https://two.example"):
        install(unpacked, "--usb", "--url", url, "--api-key-file", "key", cwd=tmp_path)
        gx.power_off()
        gx.insert(tmp_path / "venus-data.tar.gz")
        gx.boot(is_quick=True)
    assert "https://two.example" in gx.read(f"{HOME}/config.yaml")
    assert "https://one.example" in gx.read(f"{HOME}/config.yaml.before-usb")
    wait_until(lambda: "https://two.example" in log(gx), "the service with the new config")


def test_a_usb_stick_without_a_right_config_is_not_made(unpacked: Path, tmp_path: Path) -> None:
    """It would be found out on the wall only."""
    (tmp_path / "config.yaml").write_text("backend: {}\n", encoding="utf-8")
    said = install(unpacked, "--usb", "--config", "config.yaml", cwd=tmp_path)
    assert said.returncode == 1
    assert "backend.url: expected" in said.stdout
    assert "venus-data.tar.gz was not made with config.yaml: fix the error above" in said.stdout
    assert not (tmp_path / "venus-data.tar.gz").exists()


@pytest.mark.parametrize(
    ("url", "key", "expected"),
    [
        ("a.example", b"k\n", "--url: expected an http or https address"),
        ("https://a.example", b"\xc3\xa4\n", "--api-key-file key.txt: expected the API key"),
    ],
    ids=["url", "key"],
)
def test_a_usb_stick_of_wrong_options_is_not_made(
    unpacked: Path, tmp_path: Path, url: str, key: bytes, expected: str
) -> None:
    """The options are named, and no temporary file, which nobody knows."""
    (tmp_path / "key.txt").write_bytes(key)
    options = ("--usb", "--url", url, "--api-key-file", "key.txt")
    said = install(unpacked, *options, cwd=tmp_path)
    assert said.returncode == 1
    assert f"mqtt-http-bridge: {expected}" in said.stdout
    assert "config.yaml" not in said.stdout
    assert not (tmp_path / "venus-data.tar.gz").exists()
