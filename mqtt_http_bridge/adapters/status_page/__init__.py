"""The status page: `server` answers HTTP, `page` hands out the files that a browser shows.

`request` reads what is asked, `answers` works out what to say. Of the page itself, `page.html` is
the frame, `page.css` the looks; `page.js` asks and shows, with `chargers.js`, `chart.js` for plots
and `dom.js` for nodes; `plot.js` and `words.js` are pure functions.
"""

from mqtt_http_bridge.adapters.status_page.answers import Resource
from mqtt_http_bridge.adapters.status_page.page import FILES, file_resource
from mqtt_http_bridge.adapters.status_page.server import StatusServer

__all__ = ["FILES", "Resource", "StatusServer", "file_resource"]
