"""The HTTP side: one POST at a time, and whatever comes back as an answer of ours."""

import logging
import ssl
import time
from pathlib import Path
from typing import Final

import requests
from requests.auth import AuthBase
from urllib3.exceptions import HTTPError

from mqtt_http_bridge import __version__
from mqtt_http_bridge.core.delivery import Answer, NoReply, Reply
from mqtt_http_bridge.core.settings import BackendSettings

log = logging.getLogger(__name__)

MEASUREMENTS_PATH: Final = "/api/victron/measurements"
MAX_IDLE_S: Final = 3.0
"""An idle connection is used again for so long. Servers close theirs after 5 s or more, and a
request that meets the closing would have to be sent twice."""
MAX_ANSWER_BYTES: Final = 1_000_000


class Backend:
    """The measurements route of one backend. One thread uses it."""

    def __init__(self, settings: BackendSettings) -> None:
        self._settings = settings
        self._url = settings.url + MEASUREMENTS_PATH
        self._trusted = settings.ca_file or _system_authorities()
        self._used_s = -float("inf")
        self._session = requests.Session()
        self._session.auth = _NoAuth()
        self._session.headers.update(
            {
                "Accept": "application/json",
                "Content-Type": "application/json",
                "User-Agent": f"mqtt-http-bridge/{__version__}",
            }
        )

    def post(self, body: bytes) -> Answer:
        """Sends `body` once and waits for the answer. Whatever goes wrong is an answer, too."""
        if time.monotonic() - self._used_s > MAX_IDLE_S:
            self._session.close()
        try:
            answer: Answer = self._post(body)
        except (requests.RequestException, HTTPError, OSError) as error:
            log.debug("POST of %d bytes failed: %s", len(body), type(error).__name__)
            answer = NoReply(_reason(error, self._settings))
        self._used_s = time.monotonic()
        return answer

    def close(self) -> None:
        """Closes idle connections."""
        self._session.close()

    def _post(self, body: bytes) -> Reply:
        with self._session.post(
            self._url,
            data=body,
            headers={"X-API-Key": self._settings.api_key.reveal()},
            timeout=self._settings.timeout_s,
            verify=self._trusted,
            allow_redirects=False,
            stream=True,
        ) as response:
            text = response.raw.read(MAX_ANSWER_BYTES, decode_content=True)
            log.debug("POST of %d bytes: %d", len(body), response.status_code)
            return Reply(response.status_code, text, _retry_after_s(response))


class _NoAuth(AuthBase):
    """Keeps requests from sending what it finds in a .netrc file."""

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        return request


def _system_authorities() -> str | bool:
    """The system's certificate authorities, or True for those that come with requests."""
    paths = ssl.get_default_verify_paths()
    if paths.cafile and Path(paths.cafile).is_file():
        return paths.cafile
    if paths.capath and any(Path(paths.capath).glob("*.0")):
        return paths.capath
    return True


def _retry_after_s(response: requests.Response) -> float | None:
    value = response.headers.get("Retry-After", "")
    return float(value) if value.isascii() and value.isdigit() and len(value) < 9 else None


def _reason(error: Exception, settings: BackendSettings) -> str:
    """What went wrong, in our own words: an exception's text may hold headers."""
    where = settings.url
    if isinstance(error, requests.exceptions.SSLError):
        return f"{where}: TLS failed: is the certificate right, and this machine's clock?"
    if isinstance(error, requests.exceptions.ProxyError):
        return f"{where}: the proxy cannot be reached: check the https_proxy variable"
    if isinstance(error, requests.exceptions.ConnectTimeout):
        return f"{where}: no connection within {settings.timeout_s:.0f} s"
    if isinstance(error, requests.exceptions.Timeout):
        return f"{where}: no answer within {settings.timeout_s:.0f} s"
    if isinstance(error, requests.exceptions.ConnectionError):
        return f"{where}: no connection: {_root(error)}"
    return f"{where}: no answer that is HTTP ({type(error).__name__})"


def _root(error: BaseException) -> str:
    """The operating system's own word for it, where there is one."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError) and cause.strerror:
            return cause.strerror
        reason = getattr(cause, "reason", None)
        inner = reason if isinstance(reason, BaseException) else None
        cause = inner or cause.__cause__ or cause.__context__
    return "it was cut off"
