"""The page, and a content policy under which a browser runs and shows nothing but it."""

import base64
import hashlib
import re
from functools import cache
from importlib import resources


@cache
def page_html() -> bytes:
    """The page: self-contained, it loads `status.json` and nothing else."""
    return (resources.files("mqtt_http_bridge.adapters.status") / "page.html").read_bytes()


@cache
def page_headers() -> tuple[tuple[str, str], ...]:
    """The headers that the page is sent with."""
    style, script = (_source(tag) for tag in (b"style", b"script"))
    policy = (
        f"default-src 'none'; style-src {style}; script-src {script}; connect-src 'self';"
        " img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    return (("Content-Security-Policy", policy),)


def _source(tag: bytes) -> str:
    """What allows the one inline element of this kind: the hash of its content."""
    found = re.search(rb"<%b>(.*?)</%b>" % (tag, tag), page_html(), re.DOTALL)
    if found is None:
        raise AssertionError(f"page.html: expected a <{tag.decode()}> element, found none")
    return f"'sha256-{base64.b64encode(hashlib.sha256(found[1]).digest()).decode()}'"
