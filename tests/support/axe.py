"""Checks a page for accessibility with axe-core, as the tools of browsers do.

npm fetches it when a test asks for it, and keeps it in a cache of its own: it is no part of ours.
"""

import shutil
import subprocess
import tarfile
from pathlib import Path
from typing import Any

from tests.support.browser import Browser

PACKAGE = "axe-core@4.10.3"
TIMEOUT_S = 120.0
RUN = """
axe.run(document, {resultTypes: ['violations']}).then(found => found.violations.map(each =>
  `${each.id}: ${each.help}: ` + each.nodes.slice(0, 3).map(node =>
    `${node.html.slice(0, 160)} ${node.any.map(check => check.message).join('; ')}`).join(' | ')))
"""


def fetch(directory: Path) -> str:
    """The source of axe-core. Or RuntimeError, with what to do."""
    if shutil.which("npm") is None:
        raise RuntimeError("no npm, which fetches axe-core: on Debian, apt-get install npm")
    command = ["npm", "pack", PACKAGE, "--silent", "--prefer-offline"]
    done = subprocess.run(
        command, cwd=directory, capture_output=True, text=True, check=False, timeout=TIMEOUT_S
    )
    if done.returncode:
        raise RuntimeError(f"npm does not fetch {PACKAGE}: {done.stderr or done.stdout}")
    with tarfile.open(directory / done.stdout.split()[-1]) as archive:
        source = archive.extractfile("package/axe.min.js")
        if source is None:
            raise RuntimeError(f"{PACKAGE}: expected axe.min.js in it")
        return source.read().decode()


def complaints(browser: Browser, source: str) -> list[str]:
    """Lists what it finds wrong with the page as it is shown now."""
    browser.evaluate(f"if (!window.axe) {{ {source} }}")
    found: Any = browser.evaluate(RUN)
    return [str(each) for each in found]
