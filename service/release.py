"""Compares an installed release with the archive it came from, and compiles what is in it.

usage: python3 release.py differs ARCHIVE RELEASE    a line for the first difference; none: the same
       python3 release.py compile RELEASE            so that no start compiles anything
       python3 release.py compile-again RELEASE      what is compiled, as it may be damaged, too
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
    """Prints the first file that is not as it is in the archive."""
    wanted, found = contents(archive), contents(release)
    for name in sorted(wanted | found):
        if wanted.get(name) != found.get(name):
            what = "lacks" if name not in found else "has another" if name in wanted else "has a"
            print(f"{what} {name}")
            return


def contents(top: Path) -> dict[str, str]:
    """A digest of each file by its name; one that cannot be read has none that fits."""
    paths = [top / name for name in MEMBERS]
    for name in DIRECTORIES:
        paths += (top / name).rglob("*")
    return {
        str(path.relative_to(top)): digest(path)
        for path in paths
        if "__pycache__" not in path.parts and (path.is_file() or path.is_symlink())
    }


def digest(path: Path) -> str:
    """Returns a digest that tells one content from another."""
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        return f"{path}: {error}"


def compile_all(release: Path, *, again_only: bool) -> None:
    """Compiles every module in it, or those alone that are compiled already."""
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
