"""The files of the page, and a content policy under which a browser runs and shows nothing else."""

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
"""The page loads its own files and asks its own server, and nothing in a text ever runs."""


def file_resource(name: str) -> Resource:
    """One file of the page, which is there whatever hangs."""
    content_type = f"{_TYPES[name.rpartition('.')[2]]}; charset=utf-8"
    headers = (("Content-Security-Policy", _POLICY),)
    return Resource(content_type, lambda: (200, _content(name)), headers, is_instant=True)


@cache
def _content(name: str) -> bytes:
    return (resources.files("mqtt_http_bridge.adapters.status_page") / name).read_bytes()
