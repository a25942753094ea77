"""Serves the files of the page, with a content policy under which a browser runs nothing else."""

from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import Final

from mqtt_http_bridge.adapters.status_page.answers import Resource

FILES: Final[Mapping[str, str]] = {
    "/": "page.html",
    "/page.css": "page.css",
    "/page.js": "page.js",
    "/chargers.js": "chargers.js",
    "/chart.js": "chart.js",
    "/dom.js": "dom.js",
    "/plot.js": "plot.js",
    "/words.js": "words.js",
}
"""The file at each path."""
_TYPES: Final = {"html": "text/html", "css": "text/css", "js": "text/javascript"}
_POLICY: Final = (
    "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src data:;"
    " base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""The page loads only its own files and asks only its own server; no text can run as a script."""


def file_resource(name: str) -> Resource:
    """Returns one file of the page, which is answered even if other threads hang."""
    content_type = f"{_TYPES[name.rpartition('.')[2]]}; charset=utf-8"
    headers = (("Content-Security-Policy", _POLICY),)
    return Resource(content_type, lambda: (200, _content(name)), headers, is_instant=True)


@cache
def _content(name: str) -> bytes:
    return (resources.files("mqtt_http_bridge.adapters.status_page") / name).read_bytes()
