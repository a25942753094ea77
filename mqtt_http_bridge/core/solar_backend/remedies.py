"""Names what can be wrong at the Solar Backend API until somebody fixes it, with the remedies."""

from typing import Final

from mqtt_http_bridge.core.delivery.answers import PROXY_LOGIN_REMEDY
from mqtt_http_bridge.core.delivery.refusal import Cause, Scope

# --- of one device -------------------------------------------------------------------------------

NOT_REGISTERED: Final = Cause(
    "not registered",
    "register it at the backend (if it is not wanted there: device.ignore and outbox drop)",
    is_of_serial=True,
)
OTHER_ACCOUNT: Final = Cause(
    "unauthorized",
    "it belongs to another account: correct backend.api_key or its file",
    is_of_key=True,
)
INVALID: Final = Cause("invalid", "ask whoever runs the backend", Scope.REPORT)
"""The report does not have the form that the API accepts."""
OTHER: Final = Cause("refused", "ask whoever runs the backend")
"""The API has given an unknown answer."""

REFUSALS: Final = (NOT_REGISTERED, OTHER_ACCOUNT, INVALID, OTHER)

# --- of everything -------------------------------------------------------------------------------

WRONG_KEY: Final = Cause("wrong key", "correct backend.api_key or its file")
PROXY_LOGIN: Final = Cause("proxy login", PROXY_LOGIN_REMEDY)
REDIRECT: Final = Cause(
    "redirect", "set backend.url to where it leads, without /api/..., unless that is a login page"
)
NOT_THE_API: Final = Cause("not the API", "correct backend.url")
WRONG_PLACE: Final = Cause("wrong place", "correct backend.url, or the proxy in between")

NOT_WELL: Final = "it may pass by itself; if not, look at the backend and its database"
"""It is retried automatically in any case."""
