"""Makes a directory like the root of a GX or of a small host: use it for what needs a system.

It has what docs/gx.md promises and nothing else: busybox, daemontools, and a Python without the
parts that Venus OS leaves out. Programs in it run under chroot, which takes root. Every process in
it was started through this module, and ends with it.
"""

import contextlib
import functools
import os
import pty
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Self

TIMEOUT_S = 60.0
CHECK_INTERVAL_S = 0.02

DAEMONTOOLS = (
    *("svscan", "supervise", "svc", "svstat", "svok"),
    *("multilog", "softlimit", "setuidgid", "tai64nlocal"),
)
NOT_PROMISED = (
    *("sqlite3", "zoneinfo", "statistics", "resource", "syslog"),
    *("pip", "venv", "ensurepip", "yaml", "paho", "requests"),
    *("idlelib", "lib2to3", "test", "tkinter", "turtledemo", "unittest", "distutils", "curses"),
)
"""Parts of Python, and packages, that are not on every GX."""
NOT_COPIED = shutil.ignore_patterns(
    "site-packages", "dist-packages", "config-*", "__phello__", "sitecustomize.py", *NOT_PROMISED
)
SITECUSTOMIZE = f"""\
import sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name in {NOT_PROMISED!r} and path is None:
            where = [entry for entry in sys.path if entry.endswith("/lib")]
            if not where or name not in ("yaml", "paho", "requests"):
                raise ModuleNotFoundError(f"No module named {{name!r}} on this GX", name=name)

sys.meta_path.insert(0, Absent())
"""
PATH = "/usr/sbin:/usr/bin:/sbin:/bin"


class NotPermitted(Exception):
    """This machine does not let us do what a test needs; the text says what."""


# --- what this machine permits ---------------------------------------------------------------


def is_root() -> bool:
    return os.geteuid() == 0


@functools.cache
def enter() -> tuple[str, ...]:
    """The command that runs another one in a root: to be followed by the root."""
    if not _succeeds(["chroot", "/", "true"]):
        raise NotPermitted("a root that looks like a GX's needs chroot, which needs to be root")
    return ("chroot",)


@functools.cache
def without_network() -> tuple[str, ...]:
    """The command that takes the network away from another one; nothing where not permitted."""
    return ("unshare", "-n") if is_root() and _succeeds(["unshare", "-n", "true"]) else ()


@functools.cache
def may_mount() -> bool:
    return is_root() and _succeeds(["unshare", "-m", "mount", "-t", "tmpfs", "none", "/mnt"])


WITH_PROC = 'mount -t proc proc "$0/proc" && exec chroot "$0" "$@"'
"""Runs a command in a root, with a /proc that nobody else sees, and that ends with the command."""


@functools.cache
def enter_with_proc() -> tuple[str, ...]:
    """The same as `enter`, with /proc where that is permitted."""
    return ("unshare", "-m", "sh", "-c", WITH_PROC) if may_mount() else enter()


def _succeeds(command: Sequence[str]) -> bool:
    try:
        return subprocess.run(command, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return False


# --- what is put into it ---------------------------------------------------------------------


def program(name: str) -> Path:
    """Finds a program on this machine."""
    found = shutil.which(name, path=os.pathsep.join([os.environ.get("PATH", ""), PATH]))
    if found is None:
        raise FileNotFoundError(f"expected the program {name}, found none: tests/run installs it")
    return Path(found)


@functools.cache
def interpreter() -> Path:
    """A Python 3.12 where this machine has one, as a GX has; otherwise the one that runs this."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    on_path = [shutil.which("python3.12") or ""]
    for candidate in [*on_path, *map(str, sorted(pyenv.glob("3.12.*/bin/python3.12")))]:
        if _succeeds([candidate, "-c", "import sys; assert sys.version_info[:2] == (3, 12)"]):
            return Path(candidate)
    return Path(sys.executable)


def _ask_python(expression: str) -> str:
    command = [str(interpreter()), "-c", f"import sys, sysconfig; print({expression})"]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def _libraries(binaries: Iterable[Path]) -> set[Path]:
    said = subprocess.run(
        ["ldd", *binaries], capture_output=True, check=False, text=True
    ).stdout.split()
    return {Path(word) for word in said if word.startswith("/") and not word.endswith(":")}


def add_programs(root: Path, binaries: Iterable[Path], directory: str = "usr/bin") -> None:
    """Copies programs and the libraries they are linked to."""
    place = root / directory
    place.mkdir(parents=True, exist_ok=True)
    paths = list(binaries)
    for path in paths:
        # An applet of busybox may stand there: a link that leads out of the root from out here.
        (place / path.name).unlink(missing_ok=True)
        shutil.copy2(path, place / path.name)
    add_libraries(root, paths)


def add_libraries(root: Path, binaries: Iterable[Path]) -> None:
    for library in _libraries(binaries):
        copy = root / library.relative_to("/")
        copy.parent.mkdir(parents=True, exist_ok=True)
        if not copy.exists():
            shutil.copy2(library, copy)


def make_firmware(root: Path, add_python: Callable[[Path], None] | None = None) -> None:
    """Makes everything on a GX but /data and what is made at boot; with this machine's Python."""
    for directory in ("bin", "dev", "etc", "proc", "root", "run", "sbin", "srv", "tmp", "var/log"):
        (root / directory).mkdir(parents=True)
    _add_busybox(root)
    enter_root = [*enter(), str(root)]
    subprocess.run(
        [*enter_root, "/bin/busybox", "mkdir", "-p", "/usr/bin", "/usr/sbin"], check=True
    )
    subprocess.run([*enter_root, "/bin/busybox", "--install", "-s"], check=True)
    add_programs(root, map(program, (*DAEMONTOOLS, "nice")))
    (add_python or _add_python)(root)
    (root / "etc/passwd").write_text("root::0:0:root:/root:/bin/sh\n", encoding="utf-8")
    (root / "etc/group").write_text("root:x:0:\n", encoding="utf-8")
    (root / "etc/hosts").write_text("127.0.0.1 localhost\n", encoding="utf-8")
    _add_devices(root)


def _add_busybox(root: Path) -> None:
    """Debian's, without its own svc and svok: its shell would prefer them to daemontools'."""
    binary = program("busybox").read_bytes()
    without = binary.replace(b"\0svc\0svok\0", b"\0svb\0svoj\0")
    (root / "bin/busybox").write_bytes(without)
    (root / "bin/busybox").chmod(0o755)


def _add_python(root: Path) -> None:
    version = _ask_python("'%d.%d' % sys.version_info[:2]")
    library = root / f"usr/lib/python{version}"
    shutil.copytree(_ask_python("sysconfig.get_path('stdlib')"), library, ignore=NOT_COPIED)
    (library / "sitecustomize.py").unlink(missing_ok=True)
    (library / "sitecustomize.py").write_text(SITECUSTOMIZE, encoding="utf-8")
    binary = Path(_ask_python("getattr(sys, '_base_executable', sys.executable)")).resolve()
    (root / "usr/bin").mkdir(exist_ok=True)
    shutil.copy2(binary, root / f"usr/bin/python{version}")
    (root / "usr/bin/python3").symlink_to(f"python{version}")
    add_libraries(root, [binary, *library.rglob("*.so")])


def make_host(gx: "LookAlike") -> None:
    """Makes a Linux host of it, with systemd's programs, whole Python, and nothing of a GX."""
    for name in ("data", "service"):
        shutil.rmtree(gx / name, ignore_errors=True)
    for name in DAEMONTOOLS:
        (gx / f"usr/bin/{name}").unlink()
    version = _ask_python("'%d.%d' % sys.version_info[:2]")
    library = gx / f"usr/lib/python{version}"
    (library / "sitecustomize.py").unlink()
    shutil.copytree(Path(_ask_python("sysconfig.get_path('stdlib')")) / "venv", library / "venv")
    add_programs(gx.path, map(program, ("systemctl", "useradd", "userdel")), "usr/sbin")
    units = Path("/usr/lib/systemd/system")
    shutil.copytree(units, gx.path / units.relative_to("/"), symlinks=True)
    for name in ("shadow", "gshadow", "login.defs"):
        (gx / "etc" / name).touch()
    (gx / "run").mkdir(exist_ok=True)
    (gx / "usr/local/bin").mkdir(parents=True)


def _add_devices(root: Path) -> None:
    """Devices where that is permitted; otherwise a file is good enough to write to."""
    for name, minor in (("null", 3), ("zero", 5), ("urandom", 9)):
        with contextlib.suppress(PermissionError):
            os.mknod(root / "dev" / name, 0o666 | stat.S_IFCHR, os.makedev(1, minor))
            (root / "dev" / name).chmod(0o666)
    if not (root / "dev/null").exists():
        (root / "dev/null").touch()


# --- the thing itself ------------------------------------------------------------------------


class LookAlike:
    """A root in a directory of its own; use it as a context manager, which ends and removes it."""

    def __init__(self, firmware: Path) -> None:
        self._firmware = firmware
        self._started: list[subprocess.Popen[Any]] = []
        # A short name, as sockets in it must not be longer than 107 characters.
        self.path = Path(tempfile.mkdtemp(prefix="gx-", dir=firmware.parent))
        self._install_firmware()
        (self.path / "data").mkdir()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.power_off()
        shutil.rmtree(self.path)

    def __truediv__(self, name: str) -> Path:
        """The place of a file of the root, which is named from there: `gx / "data/rc.local"`."""
        return self.path / name

    # --- power and firmware ------------------------------------------------------------------

    def boot(self, *, is_quick: bool = False) -> None:
        """Starts it as Venus OS does: media first, then svscan, rc.local last.

        A quick boot runs rc.local before svscan, which else looks again after 5 s only.
        """
        shutil.rmtree(self / "service", ignore_errors=True)
        (self / "service").mkdir()
        self._unpack_medium()
        if is_quick:
            self._run_rc_local()
        self.start("svscan", "/service")
        if not is_quick:
            self._run_rc_local()

    def _run_rc_local(self) -> None:
        rc_local = self / "data/rc.local"
        if rc_local.exists() and os.access(rc_local, os.X_OK):
            self.run("/data/rc.local")

    def power_off(self) -> None:
        """Ends everything in it at once, as a power cut does."""
        for started in self._started:
            started.kill()  # It may be on its way into the root yet.
        while processes := list(self.processes()):
            for process in processes:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(process, signal.SIGKILL)
        for started in self._started:
            started.wait()
        self._started.clear()

    def update_firmware(self) -> None:
        """Replaces everything outside /data."""
        self.power_off()
        data = self.path.with_name(self.path.name + "-data")
        (self / "data").rename(data)
        shutil.rmtree(self.path)
        self.path.mkdir()
        self._install_firmware()
        data.rename(self / "data")

    def insert(self, medium: Path) -> None:
        """Puts a USB stick in, with a venus-data.tar.gz."""
        (self / "media").mkdir(exist_ok=True)
        shutil.copy2(medium, self / "media/venus-data.tar.gz")

    def _unpack_medium(self) -> None:
        if not (self / "media/venus-data.tar.gz").exists():
            return
        self.run("tar -xzf /media/venus-data.tar.gz -C /data", check=True)
        for hook in ("pre-hook.sh", "post-hook.sh"):
            if (self / "data/rc" / hook).exists():
                self.run(f"cd / && /data/rc/{hook}", check=True)
        shutil.rmtree(self / "data/rc", ignore_errors=True)

    def _install_firmware(self) -> None:
        subprocess.run(["cp", "-al", f"{self._firmware}/.", str(self.path)], check=True)
        # Links are quick; what may be edited is a copy.
        shutil.rmtree(self / "etc")
        shutil.copytree(self._firmware / "etc", self / "etc")

    # --- programs in it ----------------------------------------------------------------------

    def command(self, *words: str) -> list[str]:
        return [*enter_with_proc(), str(self.path), *words]

    def run(self, script: str, **options: Any) -> subprocess.CompletedProcess[str]:
        """Runs a line of shell to its end, without a terminal and, where permitted, a network."""
        options.setdefault("check", False)
        options.setdefault("stdin", subprocess.DEVNULL)
        options.setdefault("timeout", 400)
        return subprocess.run(  # noqa: PLW1510 - in the options
            [*without_network(), *self.command("/bin/sh", "-c", script)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={"PATH": PATH, "HOME": "/root"},
            **options,
        )

    def run_with_terminal(self, script: str, answers: str) -> subprocess.CompletedProcess[str]:
        """Runs a line of shell at which a person sits who gives these answers."""
        terminal, stdin = pty.openpty()
        try:
            os.write(terminal, answers.encode())
            return self.run(script, stdin=stdin)
        finally:
            os.close(stdin)
            os.close(terminal)

    def start(self, *words: str, **options: Any) -> subprocess.Popen[Any]:
        """Starts a program that goes on, with the network of this machine."""
        options.setdefault("stdout", subprocess.DEVNULL)
        options.setdefault("stderr", subprocess.DEVNULL)
        process = subprocess.Popen(
            self.command(*words),
            stdin=subprocess.DEVNULL,
            env={"PATH": PATH, "HOME": "/root"},
            start_new_session=True,
            **options,
        )
        self._started.append(process)
        return process

    def processes(self) -> Iterator[int]:
        """The ids of all that runs in it."""
        for entry in Path("/proc").iterdir():
            with contextlib.suppress(OSError, ValueError):
                if (entry / "root").readlink() == self.path and _is_alive(entry):
                    yield int(entry.name)

    def commands(self) -> list[str]:
        """The command lines of all that runs in it."""
        found = []
        for process in self.processes():
            with contextlib.suppress(OSError):
                line = Path(f"/proc/{process}/cmdline").read_bytes()
                found.append(line.replace(b"\0", b" ").decode().strip())
        return found

    # --- what it is like ---------------------------------------------------------------------

    def read(self, name: str) -> str:
        return (self / name).read_text(encoding="utf-8")

    def tree(self, *left_out: str) -> set[str]:
        """Every file and directory, but what is below the names left out, and Python's caches."""
        return {
            name
            for path in self.path.rglob("*")
            if not (name := str(path.relative_to(self.path))).startswith(left_out)
            and not ("__pycache__" in name and name.startswith("usr/"))
        }


def _is_alive(entry: Path) -> bool:
    return (entry / "stat").read_text().rpartition(")")[2].split()[0] not in "ZX"


def wait_until(holds: Callable[[], object], what: str, timeout_s: float = TIMEOUT_S) -> None:
    """Returns once `holds` is true. Or TimeoutError, with `what`."""
    deadline_s = time.monotonic() + timeout_s
    while not holds():
        if time.monotonic() > deadline_s:
            raise TimeoutError(f"expected within {timeout_s:g} s: {what}")
        time.sleep(CHECK_INTERVAL_S)
