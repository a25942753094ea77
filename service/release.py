"""Compares an installed release with the archive it came from, and compiles its modules.

usage: python3 release.py differs ARCHIVE RELEASE    prints the first difference, if there is one
       python3 release.py compile RELEASE            compiles all modules, so that no start has to
       python3 release.py compile-again RELEASE      replaces compiled files: they may be damaged
"""

import hashlib
import sys
from contextlib import suppress
from importlib.machinery import SourceFileLoader
from importlib.util import cache_from_source
from pathlib import Path

MEMBERS = ("BUILD", "install.sh", "config.yaml.example", "README.md", "CHANGELOG.md", "LICENSE")
DIRECTORIES = ("docs", "service", "lib", "licenses")


def differs(archive: Path, release: Path) -> None:
    """Prints the first file that is not the same as in the archive."""
    wanted, found = contents(archive), contents(release)
    for name in sorted(wanted | found):
        if wanted.get(name) != found.get(name):
            what = "lacks" if name not in found else "has another" if name in wanted else "has a"
            print(f"{what} {name}")
            return


def contents(top: Path) -> dict[str, str]:
    """Returns the digest of each file by its name; one that cannot be read never matches."""
    paths = [top / name for name in MEMBERS]
    for name in DIRECTORIES:
        paths += (top / name).rglob("*")
    return {
        str(path.relative_to(top)): digest(path)
        for path in paths
        if "__pycache__" not in path.parts and (path.is_file() or path.is_symlink())
    }


def digest(path: Path) -> str:
    """Returns the SHA-256 of a file, or a text with the error if it cannot be read."""
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        return f"{path}: {error}"


def compile_all(release: Path, *, again_only: bool) -> None:
    """Compiles every module of a release, or only those that were compiled before."""
    sys.dont_write_bytecode = False
    for source in (release / "lib").rglob("*.py"):
        cache = Path(cache_from_source(str(source)))
        if again_only and not cache.exists():
            continue
        with suppress(OSError, SyntaxError):
            cache.unlink(missing_ok=True)
            SourceFileLoader(source.stem, str(source)).get_code(source.stem)


def main() -> None:
    """Does what the command line says."""
    match sys.argv[1:]:
        case ["differs", archive, release]:
            differs(Path(archive), Path(release))
        case ["compile", release]:
            compile_all(Path(release), again_only=False)
        case ["compile-again", release]:
            compile_all(Path(release), again_only=True)
        case _:
            sys.exit(__doc__)


if __name__ == "__main__":
    main()
