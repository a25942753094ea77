"""Says why a POST failed in our own words: an exception's text may hold headers, and so the key."""

import errno
import http.client
import re
import ssl
from datetime import UTC, datetime
from typing import Final, NamedTuple

import requests
import urllib3

from mqtt_http_bridge import RELEASED
from mqtt_http_bridge.core.delivery.answers import PROXY_LOGIN_REMEDY
from mqtt_http_bridge.core.disk_remedy import SHORT

NOT_YET_VALID: Final = 9
"""OpenSSL's number for a certificate that is not valid yet."""
EXPIRED: Final = 10
"""OpenSSL's number for an expired certificate."""
TOO_SLOW: Final = (
    "it may pass by itself; if not, see why the backend is slow, or raise backend.timeout"
)
_NO_WAY: Final = (
    "check that this machine has internet, that backend.url is right, and that the backend is up"
)
_NOT_CONNECTED: Final = frozenset(
    {
        "ConnectTimeout",
        "ConnectTimeoutError",
        "InvalidSchema",
        "InvalidURL",
        "LocationParseError",
        "NameResolutionError",
        "NewConnectionError",
        "ProxyError",
        "SSLCertVerificationError",
    }
)


def may_have_left(error: Exception) -> bool:
    """Tells whether a byte of the request may have been sent: if not, nothing was stored."""
    return not _NOT_CONNECTED & {type(cause).__name__ for cause in _causes(error)}


class Trouble(NamedTuple):
    """Says why there was no answer, and what a person can do about it."""

    reason: str
    remedy: str
    is_of_tls: bool = False


_IS_IT_UP: Final = "is the backend up, and backend.url its address?"
_PROXY: Final = "correct HTTP_PROXY and HTTPS_PROXY, or name the backend in NO_PROXY"
_ADDRESS: Final = "correct backend.url, or the proxy in HTTP_PROXY and HTTPS_PROXY"
_TUNNEL_REFUSED: Final = r"Tunnel connection failed: (\d{3})\b"
_FULL: Final = (errno.EMFILE, errno.ENFILE)
_ALERT: Final = "\x15\x03"
"""The first bytes with which a TLS server answers a request without TLS."""


def trouble_of(error: Exception, *, connect_s: float, read_s: float) -> Trouble:
    """Says what went wrong, with the time-outs that were set."""
    match error:
        case requests.exceptions.SSLError():
            return _tls_trouble(error)
        case requests.exceptions.ProxyError():
            return _proxy_trouble(error)
        case requests.exceptions.ConnectTimeout():
            return Trouble(f"no connection within {connect_s:.0f} s", _IS_IT_UP)
        case requests.exceptions.Timeout() | urllib3.exceptions.ReadTimeoutError():
            return _late_trouble(error, read_s)
        case requests.exceptions.InvalidSchema() | requests.exceptions.InvalidProxyURL():
            return Trouble("the proxy set in the environment does not speak HTTP", _PROXY)
    return _answer_trouble(error)


def _answer_trouble(error: Exception) -> Trouble:
    if (line := _garbage(error)) is not None:
        if line.startswith(_ALERT):
            return Trouble("that port uses TLS", "set backend.url to https://", is_of_tls=True)
        return Trouble("an answer that is not HTTP", _IS_IT_UP)
    match error:
        case requests.exceptions.InvalidURL() | urllib3.exceptions.LocationValueError():
            return Trouble("the address of the backend or of a proxy cannot be one", _ADDRESS)
        case requests.exceptions.ConnectionError():
            return _no_connection(error)
        case urllib3.exceptions.HTTPError():
            return Trouble(f"no complete answer: {_system_reason(error)}", _IS_IT_UP)
    return Trouble(f"no answer that can be used ({type(error).__name__})", _IS_IT_UP)


def _no_connection(error: Exception) -> Trouble:
    if any(getattr(cause, "errno", None) in _FULL for cause in _causes(error)):
        return Trouble("this machine has no room for another connection", SHORT)
    return Trouble(f"no connection: {_system_reason(error)}", _IS_IT_UP)


def _garbage(error: Exception) -> str | None:
    """Returns the first line of an answer that is not HTTP; empty if it is not known."""
    cut_off = (http.client.RemoteDisconnected, http.client.IncompleteRead)
    for cause in _causes(error):
        if isinstance(cause, http.client.HTTPException) and not isinstance(cause, cut_off):
            return str(getattr(cause, "line", ""))
    return None


def _proxy_trouble(error: Exception) -> Trouble:
    """Distinguishes a proxy that is not there from one that refuses to connect."""
    for cause in _causes(error):
        if found := re.search(_TUNNEL_REFUSED, str(cause)):
            # Only its code: the text is the proxy's own, and may repeat what it was sent.
            if found[1] == "407":
                return Trouble(
                    "the proxy set in the environment wants a login (407)", PROXY_LOGIN_REMEDY
                )
            text = f"the proxy set in the environment does not lead to the backend ({found[1]})"
            return Trouble(text, _PROXY)
    return Trouble("the proxy set in the environment cannot be reached", _PROXY)


def _tls_trouble(error: Exception) -> Trouble:
    for cause in _causes(error):
        if isinstance(cause, ssl.SSLCertVerificationError):
            reason, remedy = _distrust(cause)
            return Trouble(f"TLS: {reason}", remedy, is_of_tls=True)
        if isinstance(cause, ssl.SSLError) and any(word in str(cause) for word in _NO_TLS):
            remedy = "set backend.url to http://, or correct its port"
            return Trouble("TLS: that port does not use it", remedy, is_of_tls=True)
    reason = "TLS: no version or cipher in common"
    return Trouble(reason, _IS_IT_UP, is_of_tls=True)


_NO_TLS: Final = ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "record layer failure")
"""OpenSSL's names, in several versions, for an answer that is not TLS."""
_WRONG_NAMES: Final = (62, 64)
"""OpenSSL's numbers for a certificate that is not for this name, or not for this address."""


def _distrust(error: ssl.SSLCertVerificationError) -> tuple[str, str]:
    """Returns why a certificate is not trusted, and what to do."""
    code, why = error.verify_code, error.verify_message or "no reason is told"
    if code == NOT_YET_VALID and _is_clock_behind():
        text = "the clock of this machine is wrong: it is before the release of this program"
        return f"{text} ({why})", "waiting for it to be set"
    reason = f"the certificate is not trusted: {why}"
    if code in (EXPIRED, NOT_YET_VALID):
        return reason, "have its owner renew it, unless the clock of this machine is wrong"
    if code in _WRONG_NAMES:
        return reason, "set backend.url to a name that the certificate is for"
    return reason, "set backend.ca_file to the authority that signed it, or have its owner fix it"


def _is_clock_behind() -> bool:
    return datetime.now(UTC) < datetime.fromisoformat(RELEASED).replace(tzinfo=UTC)


def _late_trouble(error: Exception, read_s: float) -> Trouble:
    if any(_is_unheard(cause) for cause in _causes(error)):
        return Trouble("the connection is dead: nothing was confirmed", _NO_WAY)
    return Trouble(f"no answer within {read_s:.0f} s", TOO_SLOW)


def _is_unheard(cause: BaseException) -> bool:
    """Tells whether the system gave the connection up (TCP_USER_TIMEOUT), and not we."""
    return isinstance(cause, TimeoutError) and cause.errno == errno.ETIMEDOUT


def _system_reason(error: Exception) -> str:
    """The operating system's own description, if there is one."""
    for cause in reversed(_causes(error)):
        if isinstance(cause, OSError) and cause.strerror:
            return cause.strerror
    return "it was cut off"


def _causes(error: BaseException) -> list[BaseException]:
    """Yields the error and all its causes, outermost first."""
    causes: list[BaseException] = []
    cause: BaseException | None = error
    while cause is not None and cause not in causes:
        causes.append(cause)
        inner = getattr(cause, "reason", None)
        if not isinstance(inner, BaseException):
            inner = next((a for a in cause.args if isinstance(a, BaseException)), None)
        cause = inner or cause.__cause__ or cause.__context__
    return causes
