"""Builds the image of the Dockerfile and runs it: use it for what a container has and no host.

There may be no registry within reach, so the base is made by debootstrap, and everything is built
by buildah without a daemon. What runs in a container here sees the image as its root, read-only,
with one volume, and is the user that the image names; it shares the network of this machine.
"""

import json
import shlex
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from configparser import RawConfigParser
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.look_alike import is_root, may_mount, program
from tests.support.running import Running

BASE_PACKAGES = "python3,python3-venv,ca-certificates"
CERTIFICATES = Path("/etc/ssl/certs")
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
"""The search path that engines set for an image without one."""
BUILD_TIMEOUT_S = 1800.0

ENTER = """\
set -eu
root=$1 volume=$2 config=$3 user=$4 directory=$5
shift 5
mount --bind "$root" "$root"
mount --rbind /dev "$root/dev"
mount -t proc proc "$root/proc"
mount -t tmpfs none "$root/tmp"
mount --bind "$volume" "$root/data"
touch "$root/config/config.yaml"
mount --bind "$config" "$root/config/config.yaml"
mount -o remount,bind,ro "$root/config/config.yaml"
mount -o remount,bind,ro "$root"
exec setpriv --no-new-privs chroot --userspec="$user" --groups= "$root" \\
    sh -c 'cd "$0" && exec "$@"' "$directory" "$@"
"""


class NotPossible(Exception):
    """This machine does not let us build or run an image; the text says why."""


def require_permission() -> None:
    """Raises NotPossible where nothing can be mounted."""
    if not is_root() or not may_mount():
        raise NotPossible("an image is built by root, who may mount")


# --- the base ------------------------------------------------------------------------------------


def make_base(directory: Path) -> None:
    """Makes a bare Debian, of this machine's kind, from where this machine has its packages."""
    suite, mirror = debian_suite(), debian_mirror()
    _call(
        [
            *(str(program("debootstrap")), "--variant=minbase", f"--include={BASE_PACKAGES}"),
            *(suite, str(directory), *([mirror] if mirror else [])),
        ]
    )


def debian_suite() -> str:
    """Gives the code name of this machine's Debian."""
    for line in Path("/etc/os-release").read_text(encoding="utf-8").splitlines():
        if line.startswith("VERSION_CODENAME="):
            return line.partition("=")[2].strip('"')
    raise NotPossible("the base is of this machine's kind, which has to be Debian or its kin")


def debian_mirror() -> str | None:
    """Finds the address that this machine has its packages from; None: debootstrap knows one."""
    places = Path("/etc/apt")
    sources = [places / "sources.list", *sorted(places.glob("sources.list.d/*"))]
    for path in filter(Path.is_file, sources):
        for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
            words = line.split()
            if words[:1] in (["URIs:"], ["deb"]) and (found := _address(words)):
                return found
    return None


def _address(words: Iterable[str]) -> str | None:
    return next((word for word in words if "://" in word and "debian" in word), None)


# --- buildah -------------------------------------------------------------------------------------


class Buildah:
    """A store of images in a directory of its own: nothing is left in this machine's."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._command = [
            *(str(program("buildah")), "--storage-driver", "vfs"),
            *("--root", str(directory / "root"), "--runroot", str(directory / "run")),
        ]

    def call(self, *arguments: str, cwd: Path | None = None) -> str:
        """Runs a verb of it; what it printed to stdout."""
        return _call([*self._command, *arguments], cwd)

    def add_base(self, tree: Path, name: str) -> None:
        """Makes an image of a tree."""
        container = self.call("from", "scratch").strip()
        self.call("add", "-q", container, str(tree), "/")
        self.call("commit", "-q", "--rm", container, name)

    def build(self, checkout: Path, base: str, name: str) -> None:
        """Builds the Dockerfile of a checkout as a user does, with the base at hand."""
        mounts = self._directory / "mounts"
        mounts.mkdir()
        self.call(
            *("bud", "--isolation", "chroot", "--network", "host", "--format", "docker"),
            *(word for mount in pip_mounts(mounts) for word in ("-v", mount)),
            *("--build-arg", f"BASE={base}", "-t", name, "."),
            cwd=checkout,
        )

    def image(self, name: str) -> "Image":
        """Holds what an image says of itself."""
        said: dict[str, Any] = json.loads(self.call("inspect", "--type", "image", name))
        config = said["Docker"]["config"]
        return Image(
            user=config["User"],
            command=(*config["Entrypoint"], *config["Cmd"]),
            entrypoint=tuple(config["Entrypoint"]),
            health=tuple(config["Healthcheck"]["Test"]),
            stop_signal=config["StopSignal"],
            volumes=frozenset(config["Volumes"]),
            environment=dict(each.split("=", 1) for each in config["Env"]),
            directory=config["WorkingDir"],
        )

    def run(self, name: str, *command: str) -> None:
        """Runs a command, which has to succeed, in a new container, as the image's user.

        What it prints is not told: buildah may end before it has passed that on.
        """
        container = self.call("from", "--pull-never", name).strip()
        self.call("run", "--isolation", "chroot", container, "--", *command)

    def root_of(self, name: str) -> Path:
        """A fresh copy of the image's files, as a container begins with."""
        return Path(self.call("mount", self.call("from", "--pull-never", name).strip()).strip())


def _call(command: Sequence[str], cwd: Path | None = None) -> str:
    said = subprocess.run(
        command,
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
        text=True,
        timeout=BUILD_TIMEOUT_S,
    )
    assert said.returncode == 0, f"{shlex.join(command)}:\n{said.stdout}\n{said.stderr}"
    return said.stdout


def pip_mounts(directory: Path) -> list[str]:
    """Lists the mounts by which pip works within a build as here: settings, and files they name."""
    settings = pip_settings()
    config = RawConfigParser()
    config["global"] = settings
    path = directory / "pip.conf"
    with path.open("w", encoding="utf-8") as file:
        config.write(file)
    places = {CERTIFICATES} | {place for value in settings.values() for place in paths_in(value)}
    outermost = {p for p in places if p.exists() and not places & set(p.parents)}
    return [f"{path}:/etc/pip.conf:ro", *(f"{place}:{place}:ro" for place in sorted(outermost))]


def pip_settings() -> dict[str, str]:
    """The settings of pip that hold here, from all of its files and the environment."""
    said = _call([sys.executable, "-m", "pip", "config", "list"])
    found = {}
    for line in said.splitlines():
        name, _, value = line.partition("=")
        section, _, key = name.rpartition(".")
        if section in ("global", ":env:"):
            # It prints Python's way to write a text.
            found[key] = value.strip("'\"").replace("\\n", "\n")
    return found


def paths_in(value: str) -> Iterator[Path]:
    """The files and folders that a setting of pip names; an index's files lie beside it."""
    for word in value.split():
        path = Path(word.removeprefix("file://"))
        if path.is_absolute():
            yield path.parent if path.name == "simple" else path


# --- containers ----------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Image:
    """Holds what an image says of itself."""

    user: str
    command: tuple[str, ...]
    entrypoint: tuple[str, ...]
    health: tuple[str, ...]
    stop_signal: str
    volumes: frozenset[str]
    environment: Mapping[str, str]
    directory: str


class Container:
    """The files of one image, to be run with a volume and a config: each time one process."""

    def __init__(self, image: Image, root: Path, *, volume: Path, config: Path) -> None:
        self._image, self._root = image, root
        self._volume, self._config = volume, config
        self._processes: list[Running] = []

    def start(self, *command: str) -> Running:
        """Starts the image's command, or another one in its place."""
        process = Running(self.command(*(command or self._image.command)), self._volume)
        self._processes.append(process)
        return process

    def call(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Runs a command that ends by itself."""
        return subprocess.run(
            self.command(*command),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            text=True,
            timeout=60.0,
        )

    @property
    def health(self) -> tuple[str, ...]:
        """The command by which an engine tells whether it is well."""
        return self._image.health[1:]

    def close(self) -> None:
        """Ends what still runs in it."""
        for process in self._processes:
            process.close()

    def command(self, *words: str) -> list[str]:
        """Gives a command line that runs a command as an engine does, and is replaced by it."""
        environment = {"PATH": PATH, **self._image.environment}
        variables = [f"{name}={value}" for name, value in environment.items()]
        return [
            *("unshare", "--mount", "env", "-i", *variables, "sh", "-c", ENTER, "enter"),
            *(str(self._root), str(self._volume), str(self._config)),
            *(self._image.user, self._image.directory),
            *words,
        ]
