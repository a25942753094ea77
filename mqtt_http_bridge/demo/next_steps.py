"""Builds the command that a person may type after the demo."""

import os
import shlex
import shutil
import sys
from pathlib import Path
from typing import Final

NAME: Final = "mqtt-http-bridge"


def next_step() -> str:
    """Says how to set up a service from a URL and an API key, for the current shell."""
    return f"{own_command()} setup"


def own_command() -> str:
    """Returns the command that starts this program, from the directory of this process."""
    root, typed = Path(__file__).parents[3], Path(sys.argv[0])
    # An installation by install.sh has a script of its own; --local has a link to it.
    script, link = root / "service" / NAME, root / "bin" / NAME
    started = script if os.access(script, os.X_OK) else typed
    if started is script and link.exists() and link.samefile(script):
        started = link
    if started.name != NAME:
        return f"{shlex.quote(sys.executable)} -m mqtt_http_bridge"
    found = shutil.which(NAME)
    if found and started.exists() and Path(found).samefile(started):
        return NAME
    return shlex.quote(_short(started.absolute()))


def _short(path: Path) -> str:
    """Returns a path relative to this directory, if it is below it."""
    here = Path.cwd()
    return f"./{path.relative_to(here)}" if path.is_relative_to(here) else str(path)
