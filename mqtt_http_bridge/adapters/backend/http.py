"""The HTTP side: one POST at a time, and whatever comes back as an answer of ours."""

import json
import logging
import ssl
import time
from email.utils import parsedate_to_datetime
from http.cookiejar import DefaultCookiePolicy
from pathlib import Path
from typing import Any, Final

import requests
import urllib3
from requests.auth import AuthBase

from mqtt_http_bridge import __version__
from mqtt_http_bridge.adapters.backend.deadline import CuttableAdapter
from mqtt_http_bridge.adapters.backend.reasons import is_sent, reason
from mqtt_http_bridge.core.delivery import Answer, NoReply, Reply
from mqtt_http_bridge.core.settings import BackendSettings, Secret

log = logging.getLogger(__name__)

MEASUREMENTS_PATH: Final = "/api/victron/measurements"
MAX_IDLE_S: Final = 3.0
"""An idle connection is used again for so long. Servers close theirs after 5 s or more, and a
request that meets the closing would have to be sent twice."""
MAX_ANSWER_BYTES: Final = 1_000_000
"""The answer to a measurement has a few hundred; what is longer is cut off, and no JSON then."""
MAX_CONNECT_S: Final = 15.0
TOTAL_FACTOR: Final = 2.0
"""The whole exchange may take so many times `backend.timeout`, which is for each single wait."""
SHORTEST_SECRET: Final = 6
"""A shorter key may be a part of any answer, and is none that could be kept."""


class Route:
    """The measurements route of one backend. One thread uses it."""

    def __init__(self, settings: BackendSettings) -> None:
        """Connects to nothing yet."""
        self._settings = settings
        self._timeout_s = settings.timeout_s
        self._connect_s = min(settings.timeout_s, MAX_CONNECT_S)
        self._used_s = -float("inf")
        self._adapter = CuttableAdapter()
        self._session = _Session()
        self._session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        self._session.mount("http://", self._adapter)
        self._session.mount("https://", self._adapter)
        self._session.auth = _NoAuth()
        self._prepared: tuple[requests.PreparedRequest, Any] | None = None
        """What is the same for every POST, and would take half of its time if made for each."""

    def post(self, body: bytes) -> Answer:
        """Sends `body` once and waits for the answer. Whatever goes wrong is an answer, too."""
        if time.monotonic() - self._used_s > MAX_IDLE_S:
            self.close()
        try:
            with self._adapter.limit(self._timeout_s * TOTAL_FACTOR):
                answer: Answer = self._post(body)
        except Exception as error:  # noqa: BLE001 - a server can provoke errors of any library below
            log.debug("POST of %d bytes failed: %s", len(body), type(error).__name__)
            answer = NoReply(f"{self._settings.url}: {self._reason(error)}", is_sent(error))
            self.close()
        self._used_s = time.monotonic()
        return answer

    def close(self) -> None:
        """Closes idle connections."""
        self._session.close()
        self._adapter.forget()

    def _reason(self, error: Exception) -> str:
        if self._adapter.is_over:
            return f"no whole answer within {self._timeout_s * TOTAL_FACTOR:.0f} s"
        return reason(error, connect_s=self._connect_s, read_s=self._timeout_s)

    def _prepare(self) -> tuple[requests.PreparedRequest, Any]:
        settings = self._settings
        url, headers = settings.url + MEASUREMENTS_PATH, _headers(settings.api_key)
        trusted = settings.ca_file or _system_authorities()
        return (
            self._session.prepare_request(requests.Request("POST", url, headers)),
            self._session.merge_environment_settings(url, {}, True, trusted, None),
        )

    def _post(self, body: bytes) -> Reply:
        self._prepared = self._prepared or self._prepare()
        request, options = self._prepared
        request.prepare_body(body, None)
        timeout_s = (self._connect_s, self._timeout_s)
        with self._session.send(
            request, timeout=timeout_s, allow_redirects=False, **options
        ) as response:
            answer = _whole_body(response)
            if self._adapter.is_over:
                raise urllib3.exceptions.ProtocolError
            log.debug("POST of %d bytes: %d", len(body), response.status_code)
            answer = _without(self._settings.api_key, answer)
            return Reply(response.status_code, answer, _retry_after_s(response))


class _Session(requests.Session):
    """Follows no redirect. requests, told the same, still reads the whole body of one."""

    def get_redirect_target(self, resp: requests.Response) -> None:  # noqa: ARG002
        return None


class _NoAuth(AuthBase):
    """Keeps requests from sending what it finds in a .netrc file."""

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        return request


def _headers(api_key: Secret) -> dict[str, str]:
    return {
        "Accept": "application/json",
        "Accept-Encoding": "identity",
        "Content-Type": "application/json",
        "User-Agent": f"mqtt-http-bridge/{__version__}",
        "X-API-Key": api_key.reveal(),
    }


def _whole_body(response: requests.Response) -> bytes:
    """The body up to MAX_ANSWER_BYTES. Raises HTTPError of urllib3 if the server broke off."""
    body = b""
    while len(body) < MAX_ANSWER_BYTES:
        chunk = response.raw.read(MAX_ANSWER_BYTES - len(body), decode_content=False)
        if not chunk:
            break
        body += chunk
    # Broken off within the headers, it looks like an answer without a body, and so like success.
    if not body and not _is_meant_to_be_empty(response):
        raise urllib3.exceptions.ProtocolError
    return body


def _is_meant_to_be_empty(response: requests.Response) -> bool:
    length, coding = map(response.headers.get, ("Content-Length", "Transfer-Encoding"))
    return response.status_code == 204 or length == "0" or coding == "chunked"


def _without(api_key: Secret, answer: bytes) -> bytes:
    """The answer, should it repeat the key, without it: parts of it get into logs and files."""
    plain = api_key.reveal()
    if len(plain) < SHORTEST_SECRET:
        return answer
    for form in (plain, json.dumps(plain)[1:-1]):
        answer = answer.replace(form.encode(), b"***")
    return answer


def _system_authorities() -> str:
    """The system's certificate authorities, or those that come with requests.

    Always a path: for a mere True requests would look into the environment, too.
    """
    paths = ssl.get_default_verify_paths()
    if paths.cafile and Path(paths.cafile).is_file():
        return paths.cafile
    if paths.capath and any(Path(paths.capath).glob("*.0")):
        return paths.capath
    return str(requests.utils.DEFAULT_CA_BUNDLE_PATH)


def _retry_after_s(response: requests.Response) -> float | None:
    """Both forms that HTTP knows: seconds, and a moment, to be compared with the server's clock."""
    value = response.headers.get("Retry-After", "").strip()
    if value.isascii() and value.isdigit():
        return float(value)
    try:
        until = parsedate_to_datetime(value)
        sent = parsedate_to_datetime(response.headers.get("Date", ""))
        return max(0.0, (until - sent).total_seconds())
    except (ValueError, TypeError, OverflowError):
        return None
