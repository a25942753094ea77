"""Installing again repairs; a failure is undone; before a removal, it says what will be removed."""

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.installing import HOME, Surroundings, install, log
from tests.support.look_alike import PATH, LookAlike, enter, may_mount, wait_until
from tests.support.outboxes import measurement, opened, store, take_oldest
from tests.support.sshd import Sshd

pytestmark = pytest.mark.once

PAGE = "lib/mqtt_http_bridge/adapters/status_page/page.html"
URL_AND_KEY = "--url https://a.example --api-key-file /srv/key --wait 0"


@pytest.fixture
def place(gx: LookAlike, unpacked: Path) -> str:
    """Returns where the unpacked archive stands on the GX, with an API key beside it."""
    subprocess.run(["cp", "-a", unpacked, gx / "srv/archive"], check=True)
    (gx / "srv/key").write_text("k\n", encoding="utf-8")
    return "/srv/archive"


def run(gx: LookAlike, words: str, status: int = 0) -> str:
    """Runs the installer on the GX."""
    said = gx.run(f"cd /srv/archive && ./install.sh {words}")
    assert said.returncode == status, said.stdout
    return said.stdout


def use(gx: LookAlike) -> Path:
    """Returns where the release in use is, seen from outside."""
    return gx / HOME / (gx / HOME / "current").readlink()


def break_archive(gx: LookAlike) -> None:
    """Has the version in the archive fail once its service has connected."""
    with (gx / "srv/archive/lib/mqtt_http_bridge/app/wiring.py").open("a") as source:
        source.write('raise ImportError("this version is broken")\n')


# --- a release is what it holds -----------------------------------------------------------------


def flip_a_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-2] ^= 1
    path.write_bytes(content)


DAMAGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "none": (lambda release: None, ""),
    "emptied": (
        lambda release: (release / "lib/mqtt_http_bridge/app/run.py").write_text(""),
        "has another lib/mqtt_http_bridge/app/run.py\n",
    ),
    "lost": (lambda release: (release / PAGE).unlink(), f"lacks {PAGE}\n"),
    "a bit": (
        lambda release: flip_a_bit(release / "lib/paho/mqtt/client.py"),
        "has another lib/paho/mqtt/client.py\n",
    ),
    "in the way": (
        lambda release: (release / "lib/json.py").write_text("raise SystemExit\n"),
        "has a lib/json.py\n",
    ),
}


@pytest.mark.parametrize(("damage", "found"), DAMAGES.values(), ids=DAMAGES.keys())
def test_a_release_is_compared_by_content(
    unpacked: Path, tmp_path: Path, damage: Callable[[Path], object], found: str
) -> None:
    """To the last bit, and with what should not be there."""
    shutil.copytree(unpacked, tmp_path / "release")
    damage(tmp_path / "release")
    script = str(unpacked / "service/release.py")
    command = [sys.executable, script, "differs", str(unpacked), str(tmp_path / "release")]
    assert subprocess.run(command, check=True, capture_output=True, text=True).stdout == found


def test_a_damaged_release_is_replaced(gx: LookAlike, place: str) -> None:
    """By the same version, with no moment without one; the damaged one is gone, config kept."""
    run(gx, URL_AND_KEY)
    before = use(gx)
    (before / PAGE).unlink()
    said = run(gx, "--wait 0")
    assert f"/{HOME}/{before.name} is damaged (it lacks {PAGE}): replacing it" in said
    assert use(gx).name == f"{before.name}+"
    assert (use(gx) / PAGE).exists()
    assert not before.exists()
    assert "is damaged" not in run(gx, "--wait 0")
    assert use(gx).name == f"{before.name}+"


def test_what_is_compiled_is_compiled_again(gx: LookAlike, place: str) -> None:
    """The file that Python would load may be damaged where its source is not."""
    run(gx, URL_AND_KEY)
    caches = list(use(gx).glob("lib/mqtt_http_bridge/__pycache__/cli.*.pyc"))
    assert caches
    good = caches[0].read_bytes()
    caches[0].write_bytes(good[:16] + b"\0" * (len(good) - 16))
    assert gx.run(f"/{HOME}/mqtt-http-bridge --version").returncode != 0
    run(gx, "--wait 0")
    assert len(caches[0].read_bytes()) == pytest.approx(len(good), abs=100)
    assert gx.run(f"/{HOME}/mqtt-http-bridge --version").returncode == 0


# --- a failure is undone -------------------------------------------------------------------------


def test_a_first_version_that_does_not_start_leaves_nothing(gx: LookAlike, place: str) -> None:
    """Neither a service nor a file of it, and the words say what was."""
    break_archive(gx)
    before = gx.tree("srv", "tmp", "proc", "run")
    said = run(gx, URL_AND_KEY, status=1)
    assert "this version is broken" in said
    assert "not installed; this was undone:" in said
    for undone in ("the service was stopped", "its line in rc.local", "config.yaml was removed"):
        assert undone in said
    assert gx.tree("srv", "tmp", "proc", "run") == before
    assert not [line for line in gx.commands() if "mqtt" in line]


def put_outbox(gx: LookAlike, name: str = f"{HOME}/outbox") -> Path:
    """Leaves an outbox on the GX, as an earlier installation leaves it, with one entry."""
    directory = gx / name
    directory.parent.mkdir(exist_ok=True)
    with opened(directory) as outbox:
        store(outbox, measurement(1, "A", "B"))
    return directory


def send_all(directory: Path) -> None:
    with opened(directory) as outbox:
        outbox.settle(take_oldest(outbox), None)


def park_all(directory: Path) -> None:
    with opened(directory) as outbox:
        entry = take_oldest(outbox)
        outbox.park(entry, entry.body, ["A", "B"], "not registered: Device B not found")


def damage(directory: Path) -> None:
    (segment, *_) = sorted((directory / "log").iterdir())
    segment.write_bytes(segment.read_bytes().replace(b"06:01:00", b"06:0x:00"))
    with opened(directory):
        pass


HELD: dict[str, tuple[Callable[[Path], object], bool]] = {
    "waiting": (lambda directory: None, True),
    "parked": (park_all, True),
    "damaged": (damage, True),
    "sent": (send_all, False),
}


@pytest.mark.parametrize(("change", "is_kept"), HELD.values(), ids=HELD.keys())
def test_an_outbox_that_holds_anything_outlives_a_first_version_that_does_not_start(
    gx: LookAlike, place: str, change: Callable[[Path], object], *, is_kept: bool
) -> None:
    """Reports that are parked until their charger is registered are measurements like others."""
    directory = put_outbox(gx)
    change(directory)
    break_archive(gx)
    said = run(gx, URL_AND_KEY, status=1)
    assert "this version is broken" in said
    assert directory.exists() is is_kept
    assert (f"kept: /{HOME}/outbox, which has measurements in it" in said) is is_kept


def test_an_outbox_that_the_first_config_does_not_name_is_kept(gx: LookAlike, place: str) -> None:
    """That the outbox of the config is empty says nothing of another one."""
    directory = put_outbox(gx)
    break_archive(gx)
    (gx / "srv/config.yaml").write_text(
        "backend: {url: https://a.example, api_key: k}\noutbox: {directory: /data/elsewhere}\n",
        encoding="utf-8",
    )
    send_all(put_outbox(gx, "data/elsewhere"))
    run(gx, "--config /srv/config.yaml --wait 0", status=1)
    assert directory.exists()


def test_a_first_config_that_is_wrong_is_not_kept(gx: LookAlike, place: str) -> None:
    """Or the right one would be refused the next time."""
    (gx / "srv/config.yaml").write_text("backend: {}\n", encoding="utf-8")
    before = gx.tree("srv", "tmp", "proc")
    assert "backend.url: expected" in run(gx, "--config /srv/config.yaml", status=1)
    assert gx.tree("srv", "tmp", "proc") == before
    run(gx, URL_AND_KEY)


def test_a_first_version_that_does_not_start_gives_the_d_bus_bridge_back(
    gx: LookAlike, place: str
) -> None:
    """It is retired only for a service that runs."""
    add_old_bridge(gx)
    break_archive(gx)
    before = gx.read("data/rc.local")
    run(gx, f"--take-over {URL_AND_KEY}", status=1)
    assert gx.read("data/rc.local") == before
    wait_until(lambda: runs_old_bridge(gx), "the D-Bus bridge")


# --- what is given for a first config where there is one ----------------------------------------


def test_what_is_given_for_a_first_config_has_to_agree_with_the_one_there(
    gx: LookAlike, place: str
) -> None:
    """It is done or refused, and never overlooked; the same command again is no error."""
    run(gx, URL_AND_KEY)
    (gx / "srv/other").write_text("l\n", encoding="utf-8")
    (gx / "srv/other.yaml").write_text("backend: {}\n", encoding="utf-8")
    config, process = gx.read(f"{HOME}/config.yaml"), gx.run("svstat /service/*").stdout
    for words in (
        "--url https://b.example",
        "--api-key-file /srv/other",
        "--config /srv/other.yaml",
    ):
        said = run(gx, words, status=2)
        assert said.startswith(f"install.sh: {words.split()[0]}: expected "), said
    assert gx.run("svstat /service/*").stdout.split("(pid")[1][:6] == process.split("(pid")[1][:6]
    run(gx, URL_AND_KEY)
    assert gx.read(f"{HOME}/config.yaml") == config


# --- the end ---------------------------------------------------------------------------------


def test_before_anything_is_removed_it_is_told_and_asked(gx: LookAlike, place: str) -> None:
    """With what is unsent; whoever says no keeps everything."""
    run(gx, URL_AND_KEY)
    kept = [str(path.relative_to(gx.path)) for path in use(gx).iterdir()]
    said = gx.run_with_terminal("sh /srv/archive/install.sh --uninstall --purge", "n\n")
    assert said.returncode == 1
    assert f"and for good: /{HOME}/config.yaml, and this outbox:" in said.stdout
    assert "waiting   0" in said.stdout
    assert "nothing was removed" in said.stdout
    assert [name for name in kept if not (gx / name).exists()] == []
    assert ": up" in gx.run("svstat /service/mqtt-http-bridge").stdout
    said = gx.run_with_terminal("sh /srv/archive/install.sh --uninstall", "y\n")
    assert (said.returncode, (gx / HOME / "current").exists()) == (0, False), said.stdout
    said = gx.run_with_terminal("sh /srv/archive/install.sh --uninstall --purge --yes", "")
    assert (said.returncode, (gx / HOME).exists()) == (0, False), said.stdout


def test_a_purge_tells_of_an_outbox_elsewhere(gx: LookAlike, place: str) -> None:
    """It is not removed with the rest, and has a person's measurements."""
    (gx / "srv/config.yaml").write_text(
        "backend: {url: https://a.example, api_key: k}\noutbox: {directory: /data/elsewhere}\n",
        encoding="utf-8",
    )
    run(gx, "--config /srv/config.yaml --wait 0")
    wait_until((gx / "data/elsewhere/log").exists, "the outbox")
    said = run(gx, "--uninstall --purge")
    assert f"not removed: the outbox in /data/elsewhere, which is outside /{HOME}" in said
    assert (gx / "data/elsewhere").exists()


def test_over_ssh_it_can_be_purged_at_any_time(
    gx: LookAlike, place: str, unpacked: Path, tmp_path: Path
) -> None:
    """After an uninstallation, with damage there, and where it never was."""
    ssh = Sshd(gx, tmp_path).ssh
    before = gx.tree("srv", "proc", "tmp", "run")
    never = install(unpacked, "--uninstall", "--purge", "root@gx", SSH=ssh)
    assert (never.returncode, never.stdout) == (
        0,
        "nothing to remove: mqtt-http-bridge is not installed on this GX\n",
    )
    run(gx, URL_AND_KEY)
    (use(gx) / "install.sh").unlink()
    gone = install(unpacked, "--uninstall", "root@gx", SSH=ssh)
    assert gone.returncode == 0, gone.stdout
    assert (gx / HOME / "config.yaml").exists()
    purged = install(unpacked, "--uninstall", "--purge", "root@gx", SSH=ssh)
    assert purged.returncode == 0, purged.stdout
    assert "uninstalled: nothing is left" in purged.stdout
    assert gx.tree("srv", "proc", "tmp", "run") == before
    assert not list((gx / "tmp").glob("mqtt-http-bridge*"))


def test_a_full_disk_can_be_uninstalled_from(
    firmware: Path, unpacked: Path, surroundings: Surroundings
) -> None:
    """And other lines of rc.local stay."""
    if not may_mount():
        pytest.skip("mounting is not permitted here")
    with LookAlike(firmware) as gx:
        (gx / "data/rc.local").write_text("#!/bin/sh\necho one\n", encoding="utf-8")
        (gx / "data/rc.local").chmod(0o755)
        gx.boot(is_quick=True)
        subprocess.run(["cp", "-a", unpacked, gx / "srv/archive"], check=True)
        (gx / "srv/key").write_text("k\n", encoding="utf-8")
        run(gx, URL_AND_KEY)
        gx.power_off()
        subprocess.run(["cp", "-a", gx / "data", gx / "srv/data"], check=True)
        script = (
            f"mount -t tmpfs -o size=40m tmpfs {gx / 'data'} &&"
            f" cp -a {gx / 'srv/data'}/. {gx / 'data'}/;"
            f" cat /dev/zero >{gx / 'data/full'} 2>/dev/null;"
            f" ! : >{gx / 'data/more'} 2>/dev/null || echo x >{gx / 'data/more'};"
            f" {enter()[0]} {gx.path} /bin/sh /srv/archive/install.sh --uninstall || exit 9;"
            f" ls {gx / HOME}; cat {gx / 'data/rc.local'}"
        )
        said = subprocess.run(
            ["unshare", "-m", "sh", "-c", script],
            env={"PATH": PATH},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        assert said.returncode == 0, said.stdout
        assert said.stdout.endswith("config.yaml\noutbox\n#!/bin/sh\necho one\n"), said.stdout


# --- the D-Bus bridge, and back -------------------------------------------------------------------

OLD_HOME = "data/dbus-victron-http-bridge"
OLD_SERVICE = "/service/dbus-victron-http-bridge"


def add_old_bridge(gx: LookAlike) -> None:
    """The D-Bus bridge, at work."""
    service = gx / OLD_HOME / "service"
    service.mkdir(parents=True)
    (service / "run").write_text("#!/bin/sh\nexec sleep 1000000\n", encoding="utf-8")
    (service / "run").chmod(0o755)
    rc_local = gx / "data/rc.local"
    rc_local.write_text(f"#!/bin/sh\nln -s /{OLD_HOME}/service {OLD_SERVICE}\n", encoding="utf-8")
    rc_local.chmod(0o755)
    gx.power_off()
    gx.boot(is_quick=True)
    wait_until(lambda: runs_old_bridge(gx), "the D-Bus bridge")


def runs_old_bridge(gx: LookAlike) -> bool:
    return any("sleep 1000000" in line for line in gx.commands())


def test_the_d_bus_bridge_comes_back_when_told(gx: LookAlike, place: str) -> None:
    """Purging says that it stays retired, and which word brings it back; not while ours runs."""
    add_old_bridge(gx)
    before = gx.read("data/rc.local")
    run(gx, f"--take-over {URL_AND_KEY}")
    assert not runs_old_bridge(gx)
    assert "if both run, everything is posted twice" in run(gx, "--restore-old", status=2)
    assert "stays retired: it does not run. --restore-old" in run(gx, "--uninstall --purge")
    assert not runs_old_bridge(gx)
    assert "runs again, and starts at each boot" in run(gx, "--restore-old")
    wait_until(lambda: runs_old_bridge(gx), "the D-Bus bridge")
    assert gx.read("data/rc.local") == before
    assert "found none" in run(gx, "--restore-old", status=1)
    gx.power_off()
    gx.boot(is_quick=True)
    wait_until(lambda: runs_old_bridge(gx), "the D-Bus bridge after a restart")


# --- by USB stick --------------------------------------------------------------------------------


def test_what_usb_sticks_did_stays_to_be_read(
    gx: LookAlike, place: str, unpacked: Path, tmp_path: Path
) -> None:
    """A stick that brings nothing new adds nothing; one that fails adds why, below."""
    (tmp_path / "key").write_text("k\n", encoding="utf-8")
    options = ("--usb", "--url", "https://a.example", "--api-key-file", "key")
    assert install(unpacked, *options, cwd=tmp_path).returncode == 0
    gx.power_off()
    gx.insert(tmp_path / "venus-data.tar.gz")
    for _ in range(2):
        gx.boot(is_quick=True)
        gx.power_off()
    first = gx.read(f"{HOME}/usb.log")
    assert first.count("the USB stick or SD card: it can be taken out") == 1
    (gx / "usr/bin/python3").unlink()
    (gx / HOME / "installed-from-usb").unlink()
    gx.boot(is_quick=True)
    both = gx.read(f"{HOME}/usb.log")
    assert both.startswith(first)
    assert "expected python3, found none" in both
    assert log(gx) is not None
