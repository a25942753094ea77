"""Tests the installer on a GX: a root that looks like one, real daemontools, no network.

What runs here is what a person or Venus OS runs there; the chapters follow a GX's life.
"""

import json
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from tests.support.installing import HOME, Once, Surroundings, as_version, log, replace, unpack
from tests.support.look_alike import PATH, LookAlike, enter, may_mount, wait_until

pytestmark = pytest.mark.once

LINE = (
    f"[ ! -x /{HOME}/current/service/gx/boot ] || /{HOME}/current/service/gx/boot"
    " # mqtt-http-bridge\n"
)
SERVICE = "/service/mqtt-http-bridge"


def put(gx: LookAlike, archive: Path, name: str = "") -> str:
    """Brings the archive onto the GX; where it stands there. `name`: as another version."""
    unpacked = unpack(archive, gx / f"srv/{name}")
    if name:
        as_version(unpacked, name)
    return "/" + str(unpacked.relative_to(gx.path))


def install(
    gx: LookAlike, place: str, arguments: str = "", *, status: int = 0
) -> subprocess.CompletedProcess[str]:
    """Runs the installer from the unpacked archive, and expects an exit status."""
    said = gx.run(f"cd {place} && ./install.sh {arguments}")
    assert said.returncode == status, said.stdout
    return said


@pytest.fixture(scope="session")
def installation(once: Once, firmware: Path, archive: Path, surroundings: Surroundings) -> Path:
    """Returns all of /data after an installation but the config; the first test is of it."""

    def fill(directory: Path) -> None:
        with LookAlike(firmware) as gx:
            gx.boot()
            (gx / "srv/config.yaml").write_text(surroundings.config(), encoding="utf-8")
            install(gx, put(gx, archive), "--config /srv/config.yaml --wait 20")
            gx.power_off()
            subprocess.run(["cp", "-a", gx / "data", directory / "data"], check=True)

    return once.make("installation", fill) / "data"


@pytest.fixture
def running(firmware: Path, installation: Path, surroundings: Surroundings) -> Iterator[LookAlike]:
    """A GX on which it is installed and runs."""
    with LookAlike(firmware) as gx:
        subprocess.run(["cp", "-a", f"{installation}/.", gx / "data"], check=True)
        (gx / HOME / "config.yaml").write_text(surroundings.config(), encoding="utf-8")
        gx.boot(is_quick=True)
        wait_until(lambda: pid(gx), "the service")
        wait_until(lambda: "INFO mqtt-http-bridge" in log(gx), "its first words")
        yield gx


def status(gx: LookAlike) -> str:
    return gx.run(f"/usr/bin/svstat {SERVICE}").stdout


def bridge_processes(gx: LookAlike) -> list[str]:
    return [line for line in gx.commands() if "mqtt" in line or "multilog" in line]


def pid(gx: LookAlike) -> str:
    found = re.search(r": up \(pid (\d+)\)", status(gx))
    return found[1] if found else ""


# --- installing ------------------------------------------------------------------------------


def test_it_installs_offline_and_shows_the_first_post(
    gx: LookAlike, archive: Path, surroundings: Surroundings
) -> None:
    """From the unpacked archive to a delivered measurement, with nothing outside /data changed.

    What lies in memory does not count.
    """
    elsewhere = ("data", "service", "var/log", "srv", "proc", "tmp", "run")
    before = gx.tree(*elsewhere)
    posts = surroundings.count()
    (gx / "srv/config.yaml").write_text(surroundings.config(), encoding="utf-8")
    said = install(gx, put(gx, archive), "--config /srv/config.yaml --wait 20").stdout
    assert f"portal id:  {surroundings.gx.portal_id}" in said
    assert "chargers:   1 measured" in said
    assert "first POST: stored at the backend" in said
    assert surroundings.count() > posts
    assert gx.tree(*elsewhere) == before
    assert gx.read("data/rc.local") == "#!/bin/sh\n" + LINE
    assert os.access(gx / "data/rc.local", os.X_OK)
    assert (gx / HOME / "config.yaml").stat().st_mode & 0o777 == 0o600
    assert (gx / HOME / "outbox").is_dir()
    assert "multilog t s25000 n4 /var/log/mqtt-http-bridge" in gx.commands()


def test_it_does_not_depend_on_what_the_log_says(
    gx: LookAlike, archive: Path, surroundings: Surroundings
) -> None:
    """Portal id, chargers and the first POST are told as well where the log is silent."""
    config = surroundings.config(level="ERROR")
    (gx / "srv/config.yaml").write_text(config, encoding="utf-8")
    said = install(gx, put(gx, archive), "--config /srv/config.yaml --wait 20").stdout
    assert log(gx) == ""
    assert f"portal id:  {surroundings.gx.portal_id}" in said
    assert "chargers:   1 measured" in said
    assert "first POST: stored at the backend" in said


def test_it_asks_for_url_and_key(gx: LookAlike, archive: Path) -> None:
    """A person at a terminal; the key shows up in the config alone."""
    place = put(gx, archive)
    said = gx.run_with_terminal(
        f"cd {place} && ./install.sh --wait 0", "https://solar.example.org\nsecret-key\n"
    )
    assert said.returncode == 0, said.stdout
    config = gx.read(f"{HOME}/config.yaml")
    assert 'url: "https://solar.example.org"' in config
    assert 'api_key: "secret-key"' in config
    assert "secret-key" not in said.stdout + log(gx)


def test_it_takes_url_and_key_file(gx: LookAlike, archive: Path) -> None:
    """The key never stands on a command line: it comes from a file."""
    (gx / "srv/key").write_text("secret-key\n", encoding="utf-8")
    install(gx, put(gx, archive), "--url https://a.example --api-key-file /srv/key --wait 0")
    assert 'api_key: "secret-key"' in gx.read(f"{HOME}/config.yaml")
    assert not [line for line in gx.commands() if "secret-key" in line]
    wait_until(lambda: "(portal id auto) to https://a.example" in log(gx), "a start")


def test_the_command_is_there(
    running: LookAlike, archive: Path, surroundings: Surroundings
) -> None:
    """For whoever logs in, from any directory."""
    said = running.run(f"/{HOME}/mqtt-http-bridge outbox status --json -c /{HOME}/config.yaml")
    assert said.returncode == 0, said.stdout
    assert isinstance(json.loads(said.stdout), dict)


# --- the service -----------------------------------------------------------------------------


def test_svc_and_svstat_work_as_the_readme_says(
    running: LookAlike, archive: Path, surroundings: Surroundings
) -> None:
    """-t restarts, -d stops for good, -u starts: with daemontools' own programs."""
    first = pid(running)
    running.run(f"/usr/bin/svc -t {SERVICE}")
    wait_until(lambda: pid(running) not in ("", first), "another process")
    running.run(f"/usr/bin/svc -d {SERVICE}")
    wait_until(lambda: ": down" in status(running), "no process")
    running.run(f"/usr/bin/svc -u {SERVICE}")
    wait_until(lambda: ": up" in status(running), "a process")
    surroundings.wait_for_another_post()


def test_a_config_error_does_not_make_it_spin(
    running: LookAlike, archive: Path, surroundings: Surroundings
) -> None:
    """Restarted at once, the process stays, says so once, and ends at once on svc -t."""
    config = running / HOME / "config.yaml"
    good = config.read_text(encoding="utf-8")
    config.write_text("backend: {}\n", encoding="utf-8")
    running.run(f"/usr/bin/svc -t {SERVICE}")
    wait_until(lambda: "trying again in 60 s" in log(running), "the pause")
    assert log(running).count("backend.url: expected") == 1
    paused = pid(running)
    assert paused
    config.write_text(good, encoding="utf-8")
    running.run(f"/usr/bin/svc -t {SERVICE}")
    wait_until(lambda: pid(running) not in ("", paused), "a new process")
    surroundings.wait_for_another_post()


def test_it_runs_politely(running: LookAlike, archive: Path, surroundings: Surroundings) -> None:
    """Behind the GX's own work, and with a limit on its memory."""
    process = Path("/proc") / host_pid(running)
    assert int((process / "stat").read_text().rpartition(")")[2].split()[16]) == 5
    limit = re.search(r"Max data size +(\d+)", (process / "limits").read_text())
    assert limit
    assert int(limit[1]) == 150_000_000


def host_pid(gx: LookAlike) -> str:
    return next(
        str(process)
        for process in gx.processes()
        if b"mqtt_http_bridge\0run" in Path(f"/proc/{process}/cmdline").read_bytes()
    )


def test_the_log_goes_to_syslog_too(
    gx: LookAlike, archive: Path, surroundings: Surroundings
) -> None:
    """With logging.syslog, into a real syslogd under our name; without one it does without."""
    gx.start("/bin/busybox", "syslogd", "-n", "-O", "/var/log/messages")
    wait_until((gx / "dev/log").exists, "syslogd")
    config = surroundings.config(syslog=True)
    (gx / "srv/config.yaml").write_text(config, encoding="utf-8")
    install(gx, put(gx, archive), "--config /srv/config.yaml --wait 0")
    messages = gx / "var/log/messages"
    wait_until(
        lambda: "daemon.info mqtt-http-bridge: INFO connected" in messages.read_text(), "lines"
    )
    assert "connected to the broker" in log(gx)


# --- boot and firmware -----------------------------------------------------------------------


def test_it_runs_after_a_restart_and_after_a_firmware_update(
    running: LookAlike, archive: Path, surroundings: Surroundings
) -> None:
    """/service is made anew at each boot, and an update replaces everything but /data."""
    running.power_off()
    running.boot()
    wait_until(lambda: pid(running), "the service after a restart")
    surroundings.wait_for_another_post()
    running.update_firmware()
    assert not (running / "service").exists()
    running.boot()
    wait_until(lambda: pid(running), "the service after the update")
    surroundings.wait_for_another_post()


OTHER_LINES = {
    "plain": "#!/bin/bash\necho one\n",
    "ends early": "#!/bin/sh\necho one\nexit 0\n",
    "fails early": "#!/bin/sh -e\nfalse\necho never\n",
    "no shebang": "echo one\n",
    "no newline": "#!/bin/sh\necho one",
    "empty": "",
    "from Windows": "#!/bin/sh\r\necho one\n",
}


@pytest.mark.parametrize("before", OTHER_LINES.values(), ids=OTHER_LINES.keys())
def test_rc_local_gets_one_line_and_keeps_the_others(
    gx: LookAlike, archive: Path, before: str
) -> None:
    """Whatever stands there, it starts the service; twice installed is one line; gone is gone."""
    rc_local = gx / "data/rc.local"
    rc_local.write_bytes(before.encode())
    rc_local.chmod(0o755)
    (gx / "srv/key").write_text("k\n", encoding="utf-8")
    place = put(gx, archive)
    for _ in range(2):
        edit_rc_local(gx, place, "add_boot_line")
    after = rc_local.read_bytes().decode().splitlines()
    theirs = [line for line in before.replace("\r", "").splitlines() if not line.startswith("#!")]
    assert after[0] in ("#!/bin/sh", "#!/bin/bash", "#!/bin/sh -e")
    assert after[1] + "\n" == LINE
    assert after[2:] == theirs
    assert os.access(rc_local, os.X_OK)
    edit_rc_local(gx, place, "remove_boot_lines")
    assert rc_local.read_bytes().decode().splitlines()[1:] == theirs


def test_what_was_switched_off_in_rc_local_stays_off(gx: LookAlike, archive: Path) -> None:
    """Venus OS runs an executable one alone: to run our line must not bring back the others'."""
    rc_local = gx / "data/rc.local"
    rc_local.write_text("#!/bin/sh\necho theirs >>/srv/ran\n", encoding="utf-8")
    rc_local.chmod(0o644)
    place = put(gx, archive)
    for _ in range(2):
        edit_rc_local(gx, place, "add_boot_line")
        assert gx.read("data/rc.local").splitlines()[1] + "\n" == LINE
        assert gx.run("/data/rc.local").returncode == 0
        assert not (gx / "srv/ran").exists()
    edit_rc_local(gx, place, "remove_boot_lines")
    assert gx.read("data/rc.local") == "#!/bin/sh\necho theirs >>/srv/ran\n"
    assert not os.access(rc_local, os.X_OK)


def edit_rc_local(gx: LookAlike, place: str, action: str) -> None:
    said = gx.run(
        f"set -eu; root={place}; home=/{HOME}; mkdir -p /{HOME}/service;"
        f" . {place}/service/common.sh; . {place}/service/rc_local.sh; {action}"
    )
    assert said.returncode == 0, said.stdout


def test_disabled_start_up_scripts_stay_disabled(
    gx: LookAlike, archive: Path, surroundings: Surroundings
) -> None:
    """No new rc.local appears; the line waits in the disabled one, and works once enabled."""
    disabled = gx / "data/rc.local.disabled"
    disabled.write_text("#!/bin/sh\necho one\n", encoding="utf-8")
    (gx / "srv/config.yaml").write_text(surroundings.config(), encoding="utf-8")
    said = install(gx, put(gx, archive), "--config /srv/config.yaml --wait 20").stdout
    assert "start-up scripts are disabled on this GX" in said
    assert not (gx / "data/rc.local").exists()
    assert pid(gx)
    gx.power_off()
    gx.boot()
    assert not status(gx).startswith(f"{SERVICE}: up")
    gx.power_off()
    disabled.rename(gx / "data/rc.local")
    gx.boot()
    wait_until(lambda: pid(gx), "the service, once scripts are enabled")


def test_an_rc_local_in_another_language_is_left_alone(gx: LookAlike, archive: Path) -> None:
    """It says which line to add, and installs nothing."""
    (gx / "data/rc.local").write_text("#!/usr/bin/python3\n", encoding="utf-8")
    (gx / "srv/key").write_text("k\n", encoding="utf-8")
    said = install(gx, put(gx, archive), "--url http://a.example --api-key-file /srv/key", status=1)
    assert "expected a shell script, found '#!/usr/bin/python3'" in said.stdout
    assert gx.read("data/rc.local") == "#!/usr/bin/python3\n"
    assert not (gx / HOME / "current").exists()


# --- another version -------------------------------------------------------------------------


def test_an_upgrade_keeps_the_config_and_takes_seconds(
    running: LookAlike, archive: Path, surroundings: Surroundings
) -> None:
    """The new version runs, the old one is gone, the config is untouched."""
    config = running.read(f"{HOME}/config.yaml")
    surroundings.wait_for_another_post()
    first = surroundings.count()
    said = install(running, put(running, archive, "9.9"), "--wait 20").stdout
    assert f"kept /{HOME}/config.yaml" in said
    assert running.read(f"{HOME}/config.yaml") == config
    assert "mqtt-http-bridge 9.9+0.1.0: from" in log(running)
    releases = [path.parent.name for path in (running / HOME).glob("*/BUILD")]
    assert sorted(set(releases) - {"current"}) == ["9.9-00000000"]
    surroundings.wait_for_another_post()
    times = [each.monotonic_s for each in surroundings.backend.received[first - 1 :]]
    longest_s = max(after - before for before, after in pairwise(times))
    print(f"downtime: {longest_s:.1f} s")
    assert longest_s < 12


def test_the_same_version_again_changes_nothing(
    running: LookAlike, archive: Path, surroundings: Surroundings
) -> None:
    """Whoever installs twice has one installation."""
    place = put(running, archive)
    before = running.tree("data/mqtt-http-bridge/outbox", "var", "tmp", "proc")
    install(running, place, "--wait 20")
    assert running.tree("data/mqtt-http-bridge/outbox", "var", "tmp", "proc") == before


@pytest.mark.parametrize("module", ["run", "wiring"], ids=["before it subscribes", "after that"])
def test_a_version_that_does_not_start_gives_way_to_the_old_one(
    running: LookAlike, archive: Path, surroundings: Surroundings, *, module: str
) -> None:
    """It is tried, found wanting, and replaced; the reason is shown."""
    before = (running / HOME / "current").readlink()
    bad = put(running, archive, "9.9")
    path = running / f"{bad[1:]}/lib/mqtt_http_bridge/app/{module}.py"
    with path.open("a", encoding="utf-8") as source:
        source.write('raise ImportError("this version is broken")\n')
    said = install(running, bad, "--wait 20", status=1).stdout
    assert "this version is broken" in said
    assert "9.9-00000000 did not start, see above" in said
    assert "9.9-00000000 was removed" in said
    assert f"{before} runs again" in said
    assert [path.parent.name for path in (running / HOME).glob("*-*/BUILD")] == [str(before)]
    assert (running / HOME / "current").readlink() == before
    wait_until(lambda: pid(running), "the old version")
    surroundings.wait_for_another_post()


def test_a_version_that_cannot_run_here_is_not_switched_to(
    running: LookAlike, archive: Path, surroundings: Surroundings
) -> None:
    """The running process is not even restarted."""
    process = pid(running)
    bad = put(running, archive, "9.9")
    grammar = running / f"{bad[1:]}/lib/mqtt_http_bridge/cli_grammar.py"
    replace(grammar, "import argparse", "import sqlite3")
    said = install(running, bad, status=1).stdout
    assert "cannot put the new version there, see above" in said
    assert "not installed; nothing was changed" in said
    assert pid(running) == process
    assert not list((running / HOME).glob(".new*"))


def test_a_config_that_the_new_version_refuses_is_not_switched_to(
    running: LookAlike, archive: Path, surroundings: Surroundings
) -> None:
    """Nothing is migrated silently: it says which key, and the old version goes on."""
    process = pid(running)
    with (running / HOME / "config.yaml").open("a") as config:
        config.write("new_section: {}\n")
    said = install(running, put(running, archive, "9.9"), status=1).stdout
    assert "config.yaml: expected a known section" in said
    assert pid(running) == process


STEPS = (
    "mkdir /data/mqtt-http-bridge/.new",
    "cp -R",
    "sync",
    "point",
    "add_boot_line",
    "svc -u -t",
)


@pytest.mark.parametrize("step", STEPS)
def test_killed_in_the_middle_something_whole_runs(
    running: LookAlike, archive: Path, surroundings: Surroundings, step: str
) -> None:
    """Killed at any step leaves a version that runs, also after a restart, and can be repaired."""
    place = put(running, archive, "9.9")
    installer = running.start(
        "/bin/sh", "-c", f"cd {place} && exec sh -x ./install.sh --wait 0",
        stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert installer.stderr is not None
    with installer.stderr as trace:
        assert any(line.lstrip("+ ").startswith(step) for line in trace), step
        os.killpg(installer.pid, signal.SIGKILL)
    assert ": up" in status(running)
    running.power_off()
    running.boot(is_quick=True)
    wait_until(lambda: pid(running), "the service after a restart")
    surroundings.wait_for_another_post()
    install(running, place, "--wait 20")
    assert str((running / HOME / "current").readlink()) == "9.9-00000000"
    assert not list((running / HOME).glob(".new*"))


# --- the end ---------------------------------------------------------------------------------


@pytest.mark.parametrize("with_rc_local", [False, True])
def test_uninstalled_with_purge_nothing_is_left(
    gx: LookAlike, archive: Path, surroundings: Surroundings, with_rc_local: bool
) -> None:
    """Every file and process is gone, and every other line of rc.local is as it was."""
    if with_rc_local:
        (gx / "data/rc.local").write_text("#!/bin/sh\necho one\n", encoding="utf-8")
        (gx / "data/rc.local").chmod(0o755)
    before = gx.tree("srv", "proc")
    (gx / "srv/config.yaml").write_text(surroundings.config(), encoding="utf-8")
    install(gx, put(gx, archive), "--config /srv/config.yaml --wait 0")
    said = gx.run(f"sh /{HOME}/current/install.sh --uninstall --purge")
    assert said.returncode == 0, said.stdout
    assert gx.tree("srv", "proc") == before
    assert bridge_processes(gx) == []
    if with_rc_local:
        assert gx.read("data/rc.local") == "#!/bin/sh\necho one\n"


def test_uninstalled_without_purge_config_and_spool_stay(
    running: LookAlike, archive: Path, surroundings: Surroundings
) -> None:
    """And the next installation goes on with them."""
    place = put(running, archive)
    client_id = running.read(f"{HOME}/outbox/client-id")
    config = running.read(f"{HOME}/config.yaml")
    install(running, place, "--uninstall")
    assert sorted(path.name for path in (running / HOME).iterdir()) == ["config.yaml", "outbox"]
    assert bridge_processes(running) == []
    assert not (running / "data/rc.local").exists()
    assert not (running / "var/log/mqtt-http-bridge").exists()
    install(running, place, "--wait 20")
    assert (running.read(f"{HOME}/outbox/client-id"), running.read(f"{HOME}/config.yaml")) == (
        client_id,
        config,
    )


# --- from the D-Bus bridge -------------------------------------------------------------------

OLD_HOME = "data/dbus-victron-http-bridge"
OLD_SERVICE = "/service/dbus-victron-http-bridge"


def add_old_bridge(gx: LookAlike, surroundings: Surroundings, rc_line: str) -> None:
    """The D-Bus bridge as it is found in the field: a config, a service, a line in rc.local."""
    (gx / OLD_HOME / "service").mkdir(parents=True)
    (gx / OLD_HOME / "config.ini").write_text(
        f"[backend]\nurl = {surroundings.backend.url}\napi_key = {surroundings.backend.api_key}\n"
        "timeout = 12\nretries = 3\n[device]\ncerbo_serial = 0123\nupdate_interval = 60\n"
        "[logging]\nlevel = info\n",
        encoding="utf-8",
    )
    run = gx / OLD_HOME / "service/run"
    run.write_text("#!/bin/sh\nexec sleep 1000000\n", encoding="utf-8")
    run.chmod(0o755)
    rc_local = gx / "data/rc.local"
    rc_local.write_text(f"#!/bin/sh\necho one\n{rc_line}\n", encoding="utf-8")
    rc_local.chmod(0o755)
    gx.power_off()
    gx.boot(is_quick=True)
    wait_until(lambda: ": up" in gx.run(f"svstat {OLD_SERVICE}").stdout, "the old service")


LINK = f"ln -s /{OLD_HOME}/service {OLD_SERVICE}"


@pytest.mark.parametrize(
    "rc_line", [LINK, f"if true; then\n{LINK}\nfi"], ids=["a line", "within an if"]
)
def test_the_d_bus_bridge_is_taken_over_and_retired(
    gx: LookAlike, archive: Path, surroundings: Surroundings, rc_line: str
) -> None:
    """Its settings go on, its service does not run any more, not after a restart either."""
    add_old_bridge(gx, surroundings, rc_line)
    place = put(gx, archive)
    said = gx.run_with_terminal(f"cd {place} && ./install.sh --wait 0", "y\n")
    assert said.returncode == 0, said.stdout
    assert "config.ini: backend.retries is not taken over" in said.stdout
    config = gx.read(f"{HOME}/config.yaml")
    for line in ("timeout: 12.0", 'cerbo_serial: "0123"', "update_interval: 60.0", '"info"'):
        assert line in config
    for _ in range(2):
        wait_until(lambda: pid(gx), "the service")
        assert not [line for line in gx.commands() if "sleep 1000000" in line]
        assert gx.run("sh -n /data/rc.local").returncode == 0
        gx.power_off()
        gx.boot(is_quick=True)
    assert (gx / OLD_HOME / "config.ini").exists()


def test_with_the_d_bus_bridge_at_work_it_wants_to_be_told(
    gx: LookAlike, archive: Path, surroundings: Surroundings
) -> None:
    """Nobody to ask: it does nothing, rather than have everything posted twice."""
    add_old_bridge(gx, surroundings, LINK)
    before = gx.tree("srv", "tmp", "proc")
    said = install(gx, put(gx, archive), status=1).stdout
    assert "add --take-over" in said
    assert "or --keep-old" in said
    assert gx.tree("srv", "tmp", "proc") == before


def test_the_d_bus_bridge_can_be_kept(
    gx: LookAlike, archive: Path, surroundings: Surroundings
) -> None:
    """For a while beside each other, with two accounts, say: the person decides."""
    add_old_bridge(gx, surroundings, LINK)
    (gx / "srv/config.yaml").write_text(surroundings.config(), encoding="utf-8")
    install(gx, put(gx, archive), "--config /srv/config.yaml --keep-old --wait 0")
    assert ": up" in gx.run(f"svstat {OLD_SERVICE}").stdout


# --- what goes wrong -------------------------------------------------------------------------


def assert_untouched(gx: LookAlike) -> None:
    assert not (gx / HOME).exists()
    assert not (gx / "data/rc.local").exists()


def test_without_python_it_says_which_firmware_has_it(gx: LookAlike, archive: Path) -> None:
    """No python3 at all."""
    place = put(gx, archive)
    (gx / "usr/bin/python3").unlink()
    said = install(gx, place, status=1).stdout
    assert "expected python3, found none: update the GX to Venus OS v3.60 or newer" in said
    assert_untouched(gx)


def test_with_an_old_python_it_says_which_firmware_has_a_newer_one(
    gx: LookAlike, archive: Path
) -> None:
    """Venus OS before v3.60 has Python 3.8: played by a python3 that answers as that does."""
    place = put(gx, archive)
    (gx / "usr/bin/python3").unlink()
    (gx / "usr/bin/python3").write_text(
        "#!/bin/sh\ncase $1 in --version) echo Python 3.8.14 ;; *) exit 1 ;; esac\n",
        encoding="utf-8",
    )
    (gx / "usr/bin/python3").chmod(0o755)
    said = install(gx, place, status=1).stdout
    assert "expected Python 3.11 or newer, found Python 3.8.14: update the GX to Venus OS" in said
    assert_untouched(gx)


def test_after_a_step_back_to_old_firmware_the_service_waits(
    running: LookAlike, archive: Path, surroundings: Surroundings
) -> None:
    """The service says what it misses once a minute, and does not spin."""
    running.power_off()
    (running / "usr/bin/python3").unlink()
    running.boot()
    wait_until(lambda: "expected python3, found none" in log(running), "the reason in the log")
    assert [line for line in running.commands() if line.startswith("sleep")] == ["sleep 60"]


@pytest.mark.parametrize(
    ("options", "expected"),
    [("size=8m", "/data: expected 20000 kB free, found"), ("ro", "/data: expected to write there")],
)
def test_a_full_or_read_only_disk_is_named(
    gx: LookAlike, archive: Path, options: str, expected: str
) -> None:
    """Before anything is done."""
    if not may_mount():
        pytest.skip("mounting is not permitted here")
    place = put(gx, archive)
    mount = f"mount -t tmpfs -o {options} tmpfs {gx / 'data'}"
    command = f"{mount} && exec {enter()[0]} {gx.path} /bin/sh {place}/install.sh"
    said = subprocess.run(
        ["unshare", "-m", "sh", "-c", command],
        env={"PATH": PATH},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert said.returncode == 1
    assert expected in said.stderr
    assert_untouched(gx)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ("", "add --url and --api-key-file"),
        ("--url https://a.example", "add --api-key-file"),
        ("--url ftp://a.example --api-key-file /srv/key", "--url: expected an http or"),
        ("--url https://a.example --api-key-file /nowhere", "expected a readable file, found none"),
    ],
)
def test_a_config_that_cannot_be_made_changes_nothing_else(
    gx: LookAlike, archive: Path, arguments: str, expected: str
) -> None:
    """No service, no line in rc.local, no release, no config: what was begun is taken back."""
    (gx / "srv/key").write_text("k\n", encoding="utf-8")
    place = put(gx, archive)
    before = gx.tree("srv", "tmp", "proc")
    said = gx.run(f"cd {place} && ./install.sh {arguments}")
    assert said.returncode in {1, 2}
    assert expected in said.stdout
    assert gx.tree("srv", "tmp", "proc") == before


def test_on_another_machine_it_says_so(gx: LookAlike, archive: Path) -> None:
    """A GX has /service; this is the check that is sent over ssh."""
    place = put(gx, archive)
    shutil.rmtree(gx / "service")
    said = gx.run(f"sh {place}/service/gx/preflight")
    assert "/service: expected a GX with daemontools, found none" in said.stdout
