"""Tries everything that an installed relay offers: use it for each way of installing."""

import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.support.browser import Browser
from tests.support.look_alike import PATH
from tests.support.running import Running

CHARGER = "PV Carport"
"""The charger of installing.Surroundings."""
ENVIRONMENT = {"PATH": PATH, "HOME": "/root"}


@dataclass(frozen=True)
class Installed:
    """Names what is installed, with its service at work."""

    command: Sequence[str]
    """The command as a user of that machine types it, and what it takes to be there."""
    config: str
    """The config of the service, as that machine names it."""
    port: int
    """The port of its status page."""
    timeout_s: float = 200.0
    """The limit for each thing that is tried."""

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*self.command, *words],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=ENVIRONMENT,
            text=True,
            check=False,
            timeout=self.timeout_s,
        )


def all_of_it_runs(
    installed: Installed, browser: Browser, directory: Path, charger: str = CHARGER
) -> None:
    """Expects the page to be shown, and check, outbox status, --version and demo to work."""
    shows(browser, f"http://127.0.0.1:{installed.port}/", charger, installed.timeout_s)
    said = installed.run("--version")
    assert (said.returncode, said.stdout[:17]) == (0, "mqtt-http-bridge "), said.stdout
    said = installed.run("outbox", "status", "-c", installed.config)
    assert said.returncode == 0, said.stdout
    assert said.stdout.startswith("outbox "), said.stdout
    said = installed.run("check", "-c", installed.config)
    assert said.returncode == 0, said.stdout
    plays_the_demo(installed, browser, directory)


def shows(browser: Browser, url: str, charger: str, timeout_s: float) -> None:
    """Waits until the page shows the charger, and expects no complaint of the browser."""
    browser.leave()
    browser.go(url)
    browser.wait_for(f"document.body?.innerText.includes({charger!r})", timeout_s)
    assert browser.problems == []


def plays_the_demo(installed: Installed, browser: Browser, directory: Path) -> None:
    demo = Running([*installed.command, "demo"], directory)
    try:
        url = demo.wait_for("Status page: ", installed.timeout_s).rpartition(" ")[2]
        demo.wait_for(" kWh", installed.timeout_s)
        shows(browser, url, "kWh", installed.timeout_s)
        assert demo.stop() == 0
    finally:
        demo.close()
