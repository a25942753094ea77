"""Tests the browser of the tests: what one page complains of is not taken for the next one's."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from tests.support.browser import Browser

pytestmark = pytest.mark.once

ASKS_IN_VAIN = "<script>setInterval(() => fetch('http://127.0.0.1:1/').catch(() => 0), 1)</script>"
"""A page that goes on asking a service that has ended."""


@contextmanager
def served(directory: Path) -> Iterator[str]:
    """Serves the files of a directory, at the address."""
    handler = partial(SimpleHTTPRequestHandler, directory=str(directory))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        Thread(target=server.serve_forever, name="files", daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


def test_a_page_that_was_left_complains_no_more(browser: Browser, tmp_path: Path) -> None:
    (tmp_path / "favicon.ico").touch()
    (tmp_path / "vain.html").write_text(ASKS_IN_VAIN)
    (tmp_path / "plain.html").write_text("<p>Plain.</p>")
    with served(tmp_path) as url:
        browser.go(f"{url}vain.html")
        while not browser.problems:
            browser.wait_for("true")
        browser.leave()
        browser.go(f"{url}plain.html")
        browser.wait_for("document.body?.innerText.includes('Plain')")
    assert browser.problems == []
