"""Makes the pictures of the README from the demo, with `python -m tests.screenshots`."""

import os
import sys
import tempfile
from pathlib import Path

from tests.browser import Browser
from tests.running import PROGRAM, Running

DOCS = Path(__file__).parent.parent / "docs"
BEST_MOMENT = "09:15:39"
"""When all three chargers of the recording produce."""
DEMO_S = 60.0


def main() -> None:
    """Plays the demo and takes the pictures at its best moment."""
    DOCS.mkdir(exist_ok=True)
    os.environ["TZ"] = "UTC"
    with tempfile.TemporaryDirectory() as directory, Browser() as browser:
        demo = Running([*PROGRAM, "demo"], Path(directory))
        browser.go(demo.wait_for("Status page: ").rpartition(" ")[2])
        demo.wait_for(BEST_MOMENT, DEMO_S)
        browser.size(900, 560)
        browser.scheme("light")
        browser.wait_for("document.querySelectorAll('.charger svg').length === 3")
        browser.screenshot(DOCS / "status-page.png", whole=False)
        browser.size(360, 640, mobile=True)
        browser.scheme("dark")
        browser.screenshot(DOCS / "status-page-phone.png", whole=False)
        demo.kill()
    for path in sorted(DOCS.glob("*.png")):
        print(path.name, path.stat().st_size, file=sys.stderr)


if __name__ == "__main__":
    main()
