"""Tests the installer on a Linux host with systemd: files, a user, units checked by systemd."""

import os
import re
import shlex
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.installing import Surroundings, unpack
from tests.support.look_alike import LookAlike, is_root, make_host, program, wait_until
from tests.support.places import ROOT

pytestmark = pytest.mark.once

UNITS = ("mqtt-http-bridge.service", "mqtt-http-bridge@.service")
ETC = "etc/mqtt-http-bridge"
WANTS = "etc/systemd/system/multi-user.target.wants"
EXPOSURE = 1.1
"""The score that systemd-analyze gives the units, from 0 (nothing is open to them) to 10."""


@pytest.fixture
def host(firmware: Path) -> Iterator[LookAlike]:
    """A host on which systemd is installed, and does not run, as in an image that is being made."""
    if not is_root():
        pytest.skip("adding a system user needs root")
    with LookAlike(firmware) as look_alike:
        make_host(look_alike)
        yield look_alike


@pytest.fixture
def place(host: LookAlike, archive: Path) -> str:
    """Returns where the archive stands on the host."""
    return "/" + str(unpack(archive, host / "srv").relative_to(host.path))


def install(host: LookAlike, place: str, arguments: str, status: int = 0) -> str:
    said = host.run(f"cd {place} && ./install.sh {arguments}")
    assert said.returncode == status, said.stdout
    return said.stdout


def ids(host: LookAlike) -> tuple[int, int]:
    """The user and the group of the service."""
    found = re.search(
        r"^mqtt-http-bridge:[^:]*:(\d+):(\d+):", host.read("etc/passwd"), re.MULTILINE
    )
    assert found
    return int(found[1]), int(found[2])


def test_everything_has_its_place(host: LookAlike, place: str) -> None:
    """/opt, a system user, a config that only the service can read, an enabled unit."""
    (host / "srv/key").write_text("k\n", encoding="utf-8")
    options = "--gx 192.168.1.20 --url https://a.example --api-key-file /srv/key"
    said = install(host, place, options)
    assert "systemd is not running here: the service starts at the next boot" in said
    config = host / ETC / "config.yaml"
    assert 'host: "192.168.1.20"' in config.read_text(encoding="utf-8")
    assert 'directory: "/var/lib/mqtt-http-bridge/outbox"' in config.read_text(encoding="utf-8")
    _, group = ids(host)
    assert (config.stat().st_mode & 0o777, config.stat().st_gid) == (0o640, group)
    assert (host / WANTS / "mqtt-http-bridge.service").is_symlink()
    version = host.run("/usr/local/bin/mqtt-http-bridge --version").stdout
    assert version.startswith("mqtt-http-bridge ")
    assert (host / "opt/mqtt-http-bridge/current/venv/bin/python").is_symlink()


def test_the_unit_starts_what_is_installed_as_its_user(
    host: LookAlike, place: str, surroundings: Surroundings
) -> None:
    """Its command line, under its user, with the directory that systemd would make: it delivers."""
    config = surroundings.config() + "outbox: {directory: /var/lib/mqtt-http-bridge/outbox}\n"
    (host / "srv/config.yaml").write_text(config, encoding="utf-8")
    install(host, place, "--config /srv/config.yaml")
    unit = host.read(f"etc/systemd/system/{UNITS[0]}")
    user, group = ids(host)
    state = host / "var/lib/mqtt-http-bridge"
    state.mkdir(parents=True)
    os.chown(state, user, group)
    command = re.findall(r"^ExecStart=(.*)$", unit, re.MULTILINE)[0]
    service = subprocess.Popen(
        ["chroot", f"--userspec={user}:{group}", str(host.path), *shlex.split(command)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        surroundings.wait_for_another_post()
        wait_until(lambda: "stored=20" in told(host), "what the service says of itself")
        assert "by /etc/mqtt-http-bridge/config.yaml" in told(host, "")
    finally:
        service.send_signal(signal.SIGTERM)
        assert service.wait(10) == 0


def told(host: LookAlike, options: str = "--lines") -> str:
    """Returns what root is told of the service."""
    return host.run(
        f"/usr/local/bin/mqtt-http-bridge status {options} -c /{ETC}/config.yaml"
    ).stdout


def test_one_instance_for_each_gx(host: LookAlike, place: str) -> None:
    """Two configs, two spools, two units of one template; again over both keeps them."""
    (host / "srv/key").write_text("k\n", encoding="utf-8")
    for name, address in (("roof", "10.0.0.1"), ("barn", "10.0.0.2")):
        options = f"--instance {name} --gx {address} --url https://a.example"
        install(host, place, f"{options} --api-key-file /srv/key")
        config = host.read(f"{ETC}/{name}.yaml")
        assert address in config
        assert f"/var/lib/mqtt-http-bridge/{name}/outbox" in config
        assert (host / WANTS / f"mqtt-http-bridge@{name}.service").is_symlink()
    assert f"kept /{ETC}/roof.yaml" in install(host, place, "--instance roof")


def test_the_shards_of_a_fleet(host: LookAlike, place: str) -> None:
    """The commands of docs/fleet.md give each instance its shard, and secrets that it can read."""
    folder = host.path / place.lstrip("/")
    shutil.copy(ROOT / "docs/fleet/shard.yaml", folder / "fleet.yaml")
    for name in ("key.txt", "password.txt"):
        (folder / name).write_text("secret\n", encoding="utf-8")
    page = (ROOT / "docs/fleet.md").read_text(encoding="utf-8")
    loop, change = re.findall(r"(?s) for n in .*?done\n", page)
    # The look-alike has no install.
    tool = 'install() { mkdir -p "${5%/*}" && cp "$4" "$5" && chmod "$3" "$5"; }'
    said = host.run(f"cd {place}\n{tool}\n" + loop.replace("sudo ", ""))
    assert said.returncode == 0, said.stdout
    _, group = ids(host)
    for n in range(4):
        config = host / ETC / f"{n}.yaml"
        assert f"shard: {n}/4\n" in config.read_text(encoding="utf-8")
        assert (host / WANTS / f"mqtt-http-bridge@{n}.service").is_symlink()
        for file in (config, host / ETC / f"{n}.api_key.txt", host / ETC / f"{n}.gx_password.txt"):
            assert (file.stat().st_mode & 0o777, file.stat().st_gid) == (0o640, group), file
    said = host.run("systemctl() { :; }\n" + change.replace("sudo ", ""))
    assert said.returncode == 0, said.stdout
    state = (host / ETC / "3.yaml").stat()
    assert "shard: 3/5\n" in host.read(f"{ETC}/3.yaml")
    assert (state.st_mode & 0o777, state.st_gid) == (0o640, group)


def test_one_instance_can_be_removed(host: LookAlike, place: str) -> None:
    """With its config and outbox, and nothing of the others'; it is told before."""
    (host / "srv/key").write_text("k\n", encoding="utf-8")
    options = "--gx 10.0.0.1 --url https://a.example --api-key-file /srv/key"
    for name in ("", "--instance roof", "--instance barn"):
        install(host, place, f"{options} {name}")
    for name in ("roof", "barn"):
        (host / f"var/lib/mqtt-http-bridge/{name}/outbox").mkdir(parents=True)
    before = host.tree("srv")
    said = install(host, place, "--uninstall --purge --instance barns", status=1)
    assert "expected an installed instance, found: the one without a name, barn, roof" in said
    assert host.tree("srv") == before
    said = install(host, place, "--uninstall --purge --instance barn")
    assert "removed for good: /etc/mqtt-http-bridge/barn.yaml" in said
    assert "roof.yaml" not in said
    gone = {
        f"{ETC}/barn.yaml",
        f"{WANTS}/mqtt-http-bridge@barn.service",
        "var/lib/mqtt-http-bridge/barn",
        "var/lib/mqtt-http-bridge/barn/outbox",
    }
    after = host.tree("srv")
    assert {name for name in before - after if "__pycache__" not in name} == gone
    said = install(host, place, "--uninstall --purge")
    for config in ("config.yaml", "roof.yaml"):
        assert f"removed for good: /{ETC}/{config}" in said
    assert not (host / ETC).exists()
    assert "nothing to remove" in install(host, place, "--uninstall --purge")


def test_what_is_given_has_to_agree_with_the_config_there(host: LookAlike, place: str) -> None:
    """Another address for the same service is refused, and the same command again is no error."""
    (host / "srv/key").write_text("k\n", encoding="utf-8")
    options = "--url https://a.example --api-key-file /srv/key"
    for address, status in (("10.0.0.1", 0), ("10.0.0.1", 0), ("10.0.0.2", 2)):
        said = install(host, place, f"{options} --gx {address}", status=status)
    assert "--gx: expected the same as in /etc/mqtt-http-bridge/config.yaml" in said


def test_nothing_is_compiled_at_a_start(host: LookAlike, place: str) -> None:
    """The service may not write there: what is not compiled by then is compiled each time."""
    (host / "srv/key").write_text("k\n", encoding="utf-8")
    options = "--gx 10.0.0.1 --url https://a.example --api-key-file /srv/key"
    install(host, place, options)
    python = "PYTHONDONTWRITEBYTECODE=1 /opt/mqtt-http-bridge/current/venv/bin/python -v -sP"
    said = host.run(
        f"PYTHONPATH=/opt/mqtt-http-bridge/current/lib {python} -c"
        " 'import mqtt_http_bridge.app.run, mqtt_http_bridge.app.wiring, requests, yaml' 2>&1"
    )
    assert said.returncode == 0, said.stdout
    lines = [line.strip("'") for line in said.stdout.splitlines() if "# code object from" in line]
    ours = [line for line in lines if "/opt/mqtt-http-bridge" in line]
    assert len(ours) > 50
    assert [line for line in ours if line.endswith(".py")] == []


def test_uninstalled_nothing_is_left(host: LookAlike, place: str) -> None:
    """Without --purge config and user stay; with it, all is as before."""
    before = host.tree("srv")
    users = host.read("etc/passwd")
    (host / "srv/key").write_text("k\n", encoding="utf-8")
    install(host, place, "--gx 10.0.0.1 --url https://a.example --api-key-file /srv/key")
    install(host, place, "--uninstall")
    assert (host / ETC / "config.yaml").exists()
    assert not (host / "opt/mqtt-http-bridge").exists()
    install(host, place, "--uninstall --purge")
    assert host.read("etc/passwd") == users
    left = host.tree("srv") - before
    assert {name for name in left if "mqtt" in name} == set()


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ("", "expected the address of the GX, found none: add --gx ADDRESS"),
        ("--gx 10.0.0.1", "add --url and --api-key-file"),
    ],
)
def test_what_is_missing_is_named(
    host: LookAlike, place: str, arguments: str, expected: str
) -> None:
    """Nobody sits there to be asked; the user and the release that were made are gone again."""
    before, users = host.tree("srv", "tmp"), host.read("etc/passwd")
    said = install(host, place, arguments, status=1)
    assert expected in said
    assert "the user mqtt-http-bridge was removed" in said
    assert {name for name in host.tree("srv", "tmp") - before if "mqtt" in name} == set()
    assert host.read("etc/passwd") == users


def test_systemd_finds_nothing_wrong_with_the_units(host: LookAlike, place: str) -> None:
    """Its own check of what was installed, for the unit and for an instance."""
    (host / "srv/key").write_text("k\n", encoding="utf-8")
    install(host, place, "--gx 10.0.0.1 --url https://a.example --api-key-file /srv/key")
    names = ["mqtt-http-bridge.service", "mqtt-http-bridge@roof.service"]
    command = [str(program("systemd-analyze")), "verify", f"--root={host.path}", *names]
    said = subprocess.run(command, capture_output=True, check=False, text=True)
    assert "mqtt-http-bridge" not in said.stderr, said.stderr
    assert said.returncode == 0, said.stderr


@pytest.mark.parametrize("unit", UNITS)
def test_the_units_are_hardened(unit: str) -> None:
    """The score that systemd gives; as docs/install.md has it."""
    path = ROOT / "service" / unit
    command = [str(program("systemd-analyze")), "security", "--offline=true", str(path)]
    said = subprocess.run(
        command, capture_output=True, check=False, text=True, env={"LC_ALL": "C.UTF-8"}
    )
    found = re.search(r"Overall exposure level for .*: ([0-9.]+) ", said.stdout)
    assert found, said.stdout + said.stderr
    print(f"{unit}: exposure {found[1]}")
    assert float(found[1]) <= EXPOSURE


def test_the_two_units_differ_in_names_only() -> None:
    """Everything that is hardened in one is hardened in the other."""
    one, many = ((ROOT / "service" / unit).read_text(encoding="utf-8") for unit in UNITS)
    many = many.replace("the Victron GX %i", "a Victron GX")
    many = many.replace("mqtt-http-bridge/%i.yaml", "mqtt-http-bridge/config.yaml")
    assert (
        many.replace("StateDirectory=mqtt-http-bridge/%i", "StateDirectory=mqtt-http-bridge") == one
    )


def test_without_root_or_systemd_it_says_so(host: LookAlike, place: str) -> None:
    """And what to do instead."""
    (host / "usr/sbin/systemctl").unlink()
    assert "expected systemd, found no systemctl: use ./install.sh --local" in install(
        host, place, "", status=1
    )
    for path in (host / "srv", host / "srv" / place.rpartition("/")[2]):
        path.chmod(0o755)
    command = ["chroot", "--userspec=65534:65534", str(host.path), f"{place}/install.sh"]
    said = subprocess.run(command, capture_output=True, check=False, text=True)
    assert "expected to be root, found user 65534: run sudo ./install.sh" in said.stderr
