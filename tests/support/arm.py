"""Runs a Python for ARM under qemu: use it for what may differ on a GX's processor.

All but Python is of this machine: busybox and daemontools start it, and are not what is tried. The
kernel is told nothing of the emulator (binfmt_misc): python3 is a script there that calls it.
"""

import shutil
import subprocess
import tempfile
from pathlib import Path

from tests.support.container import NotPossible, debian_mirror, debian_suite
from tests.support.look_alike import NOT_COPIED, SITECUSTOMIZE, make_firmware, program

ARCHITECTURE = "armhf"
EMULATOR = "qemu-arm-static"
TRIPLET = "arm-linux-gnueabihf"
DOWNLOAD_S = 600.0
PYTHON3 = """\
#!/bin/sh
ulimit -Sd unlimited
exec /usr/lib/emulated/qemu -0 "$0" /usr/lib/emulated/python3 "$@"
"""
"""The limit of memory that the service has set for Python would hold for the emulator, too."""


def make_arm_firmware(root: Path) -> None:
    """Makes everything on a GX but /data and what is made at boot; its Python is one for ARM."""
    make_firmware(root, _add_python)


def _add_python(root: Path) -> None:
    with tempfile.TemporaryDirectory(prefix="armhf-") as name:
        tree = Path(name) / "tree"
        for package in _downloaded(Path(name)):
            subprocess.run([program("dpkg-deb"), "-x", package, tree], check=True)
        library = next((tree / "usr/lib").glob("python3.*"))
        (library / "sitecustomize.py").unlink()
        (library / "sitecustomize.py").write_text(SITECUSTOMIZE, encoding="utf-8")
        shutil.copytree(library, root / "usr/lib" / library.name, ignore=NOT_COPIED)
        for place in (f"lib/{TRIPLET}", f"usr/lib/{TRIPLET}"):
            shutil.copytree(tree / place, root / place, symlinks=True)
        loader = "lib/ld-linux-armhf.so.3"
        shutil.copy2(tree / loader, root / loader, follow_symlinks=False)
        emulated = root / "usr/lib/emulated"
        emulated.mkdir()
        shutil.copy2(tree / "usr/bin" / library.name, emulated / "python3")
    shutil.copy2(program(EMULATOR), emulated / "qemu")
    (root / "usr/bin/python3").write_text(PYTHON3, encoding="utf-8")
    (root / "usr/bin/python3").chmod(0o755)


def _downloaded(directory: Path) -> list[Path]:
    """Downloads Debian's Python for ARM and all it needs; apt's own state is left alone."""
    for name in ("state/lists/partial", "cache/archives/partial"):
        (directory / name).mkdir(parents=True)
    (directory / "status").touch()
    mirror = debian_mirror()
    if mirror is None:
        raise NotPossible("expected a mirror of Debian in /etc/apt, found none")
    source = f"deb {mirror} {debian_suite()} main\n"
    (directory / "sources.list").write_text(source, encoding="utf-8")
    settings = {
        "APT::Architecture": ARCHITECTURE,
        "APT::Architectures": ARCHITECTURE,
        "APT::Install-Recommends": "0",
        "APT::Sandbox::User": "root",  # Another user may not enter this directory.
        "Dir::Cache": directory / "cache",
        "Dir::Etc::SourceList": directory / "sources.list",
        "Dir::Etc::SourceParts": "/dev/null",
        "Dir::State": directory / "state",
        "Dir::State::status": directory / "status",
    }
    options = [word for name, value in settings.items() for word in ("-o", f"{name}={value}")]
    for words in (("update",), ("install", "-y", "--download-only", "python3")):
        said = subprocess.run(
            [program("apt-get"), "-q", *options, *words],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
            text=True,
            timeout=DOWNLOAD_S,
        )
        assert said.returncode == 0, said.stdout
    return sorted((directory / "cache/archives").glob("*.deb"))
