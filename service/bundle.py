"""Makes the archive for the GX: this package and all it needs, as plain Python.

The same sources make the same archive, byte for byte.

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
"""What goes into the archive, by the name within it."""

EXECUTABLE = re.compile(rb"#!/bin/sh")
COMPILED_NAME = re.compile(r"\.(so|pyd|dll|dylib|pyc|a|o)(\.|$)")
COMPILED_START = (b"\x7fELF", b"MZ", b"\xcf\xfa\xed\xfe", b"\xca\xfe\xba\xbe")
OURS = ("*.py", "*.jsonl.gz", "py.typed")
FROM_CHECKOUT = ("install.sh", "config.yaml.example", "README.md", "LICENSE", "CHANGELOG.md")
NOT_ON_THE_GX = {"bundle.py", "requirements.txt"}


def main() -> None:
    """Writes the archive and says where it is."""
    checkout, wheels, archive = (Path(argument) for argument in sys.argv[1:])
    files = {**from_checkout(checkout), **from_wheels(wheels)}
    refuse_compiled(files)
    files["BUILD"] = f"{version(checkout)}-{digest(files)}\n".encode()
    archive.parent.mkdir(parents=True, exist_ok=True)
    archive.write_bytes(packed(files))
    print(f"{archive} ({archive.stat().st_size // 1000} kB)")


def version(checkout: Path) -> str:
    """The version the package bears."""
    text = (checkout / "mqtt_http_bridge/__init__.py").read_text(encoding="utf-8")
    found = re.search(r'^__version__ = "([^"]+)"', text, re.MULTILINE)
    if not found:
        sys.exit(f"bundle.py: expected __version__ in {checkout}/mqtt_http_bridge, found none")
    return found[1]


def from_checkout(checkout: Path) -> Files:
    """This package, what installs it, and its words."""
    files = {name: (checkout / name).read_bytes() for name in FROM_CHECKOUT}
    package = checkout / "mqtt_http_bridge"
    for path in (path for pattern in OURS for path in package.rglob(pattern)):
        files[f"lib/{path.relative_to(checkout)}"] = path.read_bytes()
    for path in (checkout / "service").rglob("*"):
        if path.is_file() and path.name not in NOT_ON_THE_GX and path.suffix != ".pyc":
            files[str(path.relative_to(checkout))] = path.read_bytes()
    files["licenses/mqtt-http-bridge/LICENSE"] = files["LICENSE"]
    return files


def from_wheels(directory: Path) -> Files:
    """The modules of every wheel, and its licence; of the rest nothing is needed to run."""
    files: Files = {}
    for wheel in directory.glob("*.whl"):
        with zipfile.ZipFile(wheel) as members:
            for name in members.namelist():
                place = place_of(name)
                if place:
                    files[place] = members.read(name)
    return files


def place_of(name: str) -> str | None:
    """Where a member of a wheel goes; None: nowhere."""
    # PyYAML's compiled part: yaml looks for it and does without.
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
    """A short name for this content, and no other."""
    names = "".join(f"{name} {hashlib.sha256(files[name]).hexdigest()}\n" for name in sorted(files))
    return hashlib.sha256(names.encode()).hexdigest()[:8]


def packed(files: Files) -> bytes:
    """A tar.gz of the files, with nothing in it of when, where and by whom it was made."""
    top = "mqtt-http-bridge-" + files["BUILD"].decode().strip()
    tar = io.BytesIO()
    with tarfile.open(fileobj=tar, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name in sorted(files):
            member = tarfile.TarInfo(f"{top}/{name}")
            member.size = len(files[name])
            member.mode = 0o755 if EXECUTABLE.match(files[name]) else 0o644
            archive.addfile(member, io.BytesIO(files[name]))
    return gzip.compress(tar.getvalue(), mtime=0)


if __name__ == "__main__":
    main()
