"""The status page: `server` answers HTTP, `page.html` is the page, `page` hands it out."""

from mqtt_http_bridge.adapters.status.page import page_headers, page_html
from mqtt_http_bridge.adapters.status.server import Resource, StatusServer

__all__ = ["Resource", "StatusServer", "page_headers", "page_html"]
