"""Why a POST failed, in our own words: an exception's text may hold headers, and so the key."""

import http.client
import ssl
from datetime import UTC, datetime
from typing import Final

import requests
import urllib3

from mqtt_http_bridge import RELEASED

NOT_YET_VALID: Final = 9
"""OpenSSL's number for a certificate whose time has not come."""
_NOT_CONNECTED: Final = frozenset(
    {
        "ConnectTimeout",
        "ConnectTimeoutError",
        "NameResolutionError",
        "NewConnectionError",
        "ProxyError",
        "SSLCertVerificationError",
    }
)


def is_sent(error: Exception) -> bool:
    """Whether a byte of the request may have left: only what failed before that is certain."""
    return not _NOT_CONNECTED & {type(cause).__name__ for cause in _causes(error)}


def reason(error: Exception, *, connect_s: float, read_s: float) -> str:
    """What went wrong, with the time-outs that were set."""
    match error:
        case requests.exceptions.SSLError():
            return f"TLS: {_tls_reason(error)}"
        case requests.exceptions.ProxyError():
            return "the proxy of the environment cannot be reached"
        case requests.exceptions.ConnectTimeout():
            return f"no connection within {connect_s:.0f} s"
        case requests.exceptions.Timeout() | urllib3.exceptions.ReadTimeoutError():
            return f"no answer within {read_s:.0f} s"
    return _answer_reason(error)


def _answer_reason(error: Exception) -> str:
    if _is_garbage(error):
        return "no answer that is HTTP"
    match error:
        case requests.exceptions.ConnectionError():
            return f"no connection: {_system_reason(error)}"
        case urllib3.exceptions.HTTPError():
            return f"no whole answer: {_system_reason(error)}"
    return f"no answer that can be used ({type(error).__name__})"


def _is_garbage(error: Exception) -> bool:
    """Whether something was answered that is no HTTP."""
    cut_off = (http.client.RemoteDisconnected, http.client.IncompleteRead)
    return any(
        isinstance(cause, http.client.HTTPException) and not isinstance(cause, cut_off)
        for cause in _causes(error)
    )


def _tls_reason(error: Exception) -> str:
    for cause in _causes(error):
        if isinstance(cause, ssl.SSLCertVerificationError):
            if cause.verify_code == NOT_YET_VALID and _is_clock_behind():
                return (
                    "the clock of this machine is wrong: it shows a day before this program was"
                    f" made ({cause.verify_message}): waiting for it to be set"
                )
            return f"the certificate is not trusted: {cause.verify_message}"
    return "the two sides found no common way to speak"


def _is_clock_behind() -> bool:
    return datetime.now(UTC) < datetime.fromisoformat(RELEASED).replace(tzinfo=UTC)


def _system_reason(error: Exception) -> str:
    """The operating system's own word for it, where there is one."""
    for cause in reversed(_causes(error)):
        if isinstance(cause, OSError) and cause.strerror:
            return cause.strerror
    return "it was cut off"


def _causes(error: BaseException) -> list[BaseException]:
    """The error and all that led to it, from the outside in."""
    causes: list[BaseException] = []
    cause: BaseException | None = error
    while cause is not None and cause not in causes:
        causes.append(cause)
        inner = getattr(cause, "reason", None)
        if not isinstance(inner, BaseException):
            inner = next((a for a in cause.args if isinstance(a, BaseException)), None)
        cause = inner or cause.__cause__ or cause.__context__
    return causes
