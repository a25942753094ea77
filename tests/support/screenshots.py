"""Makes the pictures for the documents: run `python -m tests.support.screenshots` to update them.

With a directory it makes those of all states in all views instead, to be looked at.
"""

import sys
from pathlib import Path
from typing import Final, NamedTuple

from tests.support import page_states as states
from tests.support.browser import Browser
from tests.support.page_states import State, serving
from tests.support.places import ROOT

DOCS = ROOT / "docs"


class View(NamedTuple):
    """Says how somebody looks at the page."""

    name: str
    width: int
    height: int
    scheme: str
    scale: float = 1.0


LAPTOP = View("laptop-light", 1180, 900, "light")
VIEWS: Final = (
    LAPTOP,
    View("phone-dark", 390, 844, "dark", 2.0),
    View("small-phone-light", 320, 640, "light", 2.0),
    View("4k-dark", 3840, 2160, "dark"),
)
PICTURES: Final = (
    ("status-page.png", states.three_by_day, View("", 1180, 960, "light")),
    ("status-page-trouble.png", states.left_out, View("", 1180, 620, "light")),
    ("status-page-many.png", states.many, View("", 1180, 960, "dark")),
    ("status-page-phone.png", states.three_by_day, View("", 390, 844, "dark")),
)
"""The file, the state and the view of each picture in the documents."""


def main() -> None:
    """Makes one kind of pictures or the other."""
    with Browser() as browser:
        browser.timezone(states.ZONE)
        if len(sys.argv) > 1:
            make_all(browser, Path(sys.argv[1]))
        else:
            make_pictures(browser, DOCS)


def make_pictures(browser: Browser, directory: Path) -> None:
    """Takes the few of the documents."""
    for name, make, view in PICTURES:
        with serving(make()) as served:
            look(browser, served.url, served.state, view)
            browser.screenshot(directory / name, whole=False)


def make_all(browser: Browser, directory: Path) -> None:
    """Takes each state in each view."""
    directory.mkdir(parents=True, exist_ok=True)
    for make in states.STATES:
        state = make()
        for view in VIEWS[:1] if state.is_gone else VIEWS:
            with serving(state) as served:
                look(browser, served.url, state, view)
                if state.is_gone:
                    served.server.stop()
                    browser.wait_for("document.body.classList.contains('stale')")
                browser.screenshot(directory / f"{make.__name__}-{view.name}.png")


def look(browser: Browser, url: str, state: State, view: View) -> None:
    """Opens the page, and waits until it shows the state."""
    browser.size(view.width, view.height, scale=view.scale, mobile=view.width < 500)
    browser.scheme(view.scheme)
    browser.go(url)
    verdict = "All is well" if state.is_gone else state.verdict
    browser.wait_for(f"document.querySelector('#verdict')?.innerText.startsWith({verdict!r})")
    browser.wait_for("document.fonts.status === 'loaded'")


if __name__ == "__main__":
    main()
