"""Makes the archive for the GX: this package and everything it needs, as plain Python.

The package's files are taken from its wheel, so they are not listed here. The same sources always
give the same archive, byte for byte.

usage: python bundle.py CHECKOUT WHEELS ARCHIVE
"""

import gzip
import hashlib
import io
import re
import sys
import tarfile
import zipfile
from pathlib import Path

Files = dict[str, bytes]
"""The files of the archive, by the name within it."""

EXECUTABLE = re.compile(rb"#!/bin/sh")
COMPILED_NAME = re.compile(r"\.(so|pyd|dll|dylib|pyc|a|o)(\.|$)")
COMPILED_START = (b"\x7fELF", b"MZ", b"\xcf\xfa\xed\xfe", b"\xca\xfe\xba\xbe")
OURS = "lib/mqtt_http_bridge/__init__.py"
FROM_CHECKOUT = ("install.sh", "config.yaml.example", "README.md", "LICENSE", "CHANGELOG.md")
NOT_ON_THE_GX = {"bundle.py", "lock.py", "requirements.txt", "build-requirements.txt"}


def main() -> None:
    """Writes the archive and says where it is."""
    checkout, wheels, archive = (Path(argument) for argument in sys.argv[1:])
    files = {**from_checkout(checkout), **from_wheels(wheels)}
    refuse_compiled(files)
    files["BUILD"] = f"{version(files)}-{digest(files)}\n".encode()
    archive.parent.mkdir(parents=True, exist_ok=True)
    archive.write_bytes(packed(files))
    print(f"{archive} ({archive.stat().st_size // 1000} kB)")


def version(files: Files) -> str:
    """Reads the version of the package."""
    text = files[OURS].decode() if OURS in files else ""
    found = re.search(r'^__version__ = "([^"]+)"', text, re.MULTILINE)
    if not found:
        sys.exit("bundle.py: expected the wheel of mqtt-http-bridge among the wheels, found none")
    return found[1]


def from_checkout(checkout: Path) -> Files:
    """Collects the installer and the documents."""
    files = {name: (checkout / name).read_bytes() for name in FROM_CHECKOUT}
    scripts = [
        path
        for path in (checkout / "service").rglob("*")
        if path.is_file() and path.name not in NOT_ON_THE_GX and path.suffix != ".pyc"
    ]
    # The documents can be read without internet; the pictures would be larger than all the texts.
    pages = [
        path
        for path in (checkout / "docs").rglob("*")
        if path.is_file() and path.suffix not in (".png", ".pyc")
    ]
    for path in [*scripts, *pages]:
        files[str(path.relative_to(checkout))] = path.read_bytes()
    return files


def from_wheels(directory: Path) -> Files:
    """Collects the files that each wheel would install, and its licence; nothing else is needed."""
    files: Files = {}
    for wheel in directory.glob("*.whl"):
        with zipfile.ZipFile(wheel) as members:
            for name in members.namelist():
                place = place_of(name)
                if place:
                    files[place] = members.read(name)
    return files


def place_of(name: str) -> str | None:
    """Returns where a member of a wheel goes, or None if it is left out."""
    # Leave out PyYAML's compiled part: yaml works without it.
    if name.endswith("/") or name.startswith(("_yaml/", "yaml/_yaml.")):
        return None
    project, is_about, member = name.partition(".dist-info/")
    if not is_about:
        return f"lib/{name}"
    if member.startswith("licenses/") or member.upper().startswith(("LICENSE", "NOTICE")):
        return f"licenses/{project}/{member.removeprefix('licenses/')}"
    return None


def refuse_compiled(files: Files) -> None:
    """Ends the program if a file would fit only one kind of machine."""
    for name, content in files.items():
        if COMPILED_NAME.search(name) or content.startswith(COMPILED_START):
            sys.exit(f"bundle.py: {name}: expected plain Python, found a compiled file")


def digest(files: Files) -> str:
    """Returns a short hash of all files, for the name of the build."""
    names = "".join(f"{name} {hashlib.sha256(files[name]).hexdigest()}\n" for name in sorted(files))
    return hashlib.sha256(names.encode()).hexdigest()[:8]


def packed(files: Files) -> bytes:
    """Packs the files into a tar.gz that does not depend on when, where or by whom it is made."""
    top = "mqtt-http-bridge-" + files["BUILD"].decode().strip()
    tar = io.BytesIO()
    with tarfile.open(fileobj=tar, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name in sorted(files):
            member = tarfile.TarInfo(f"{top}/{name}")
            member.size = len(files[name])
            member.mode = 0o755 if EXECUTABLE.match(files[name]) else 0o644
            archive.addfile(member, io.BytesIO(files[name]))
    # Not gzip.compress, whose header changed in Python 3.13.
    made = io.BytesIO()
    with gzip.GzipFile(filename="", mode="wb", fileobj=made, mtime=0) as file:
        file.write(tar.getvalue())
    return made.getvalue()


if __name__ == "__main__":
    main()
