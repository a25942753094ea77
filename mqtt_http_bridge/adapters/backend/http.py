"""Speaks HTTP: sends one POST at a time, and turns whatever comes back into a Reply or the like."""

import logging
import re
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http.cookiejar import DefaultCookiePolicy
from typing import Any, Final
from urllib.parse import urljoin, urlsplit, urlunsplit

import requests
import urllib3
from requests.auth import AuthBase

from mqtt_http_bridge import __version__
from mqtt_http_bridge.adapters.backend.deadline import Deadline
from mqtt_http_bridge.adapters.backend.link import Link, LinkAdapter, awake_or_not_s
from mqtt_http_bridge.adapters.backend.reasons import Trouble, may_have_left, trouble_of
from mqtt_http_bridge.core.delivery.answers import Answer, NoReply, NotSent, Reply
from mqtt_http_bridge.core.delivery.dialect import Dialect
from mqtt_http_bridge.core.events import NEVER
from mqtt_http_bridge.core.redaction import Redaction
from mqtt_http_bridge.core.settings import BackendSettings, Secret

log = logging.getLogger(__name__)

MAX_ANSWER_BYTES: Final = 1_000_000
"""The answer to a measurement has a few hundred bytes; longer ones are cut off, and then are not
JSON."""
MAX_CONNECT_S: Final = 15.0
TOTAL_FACTOR: Final = 2.0
"""The whole exchange may take this many times `backend.timeout`, which is for a single wait."""
SHORTEST_SECRET: Final = 6
"""A shorter key may be part of any answer by chance, and could not be kept secret anyway."""
LONGEST_LOCATION: Final = 200
"""Characters that are kept of the target of a redirect."""
MOST_KEYS: Final = 100
"""The most API keys for which a client keeps a request ready."""
_Prepared = tuple[requests.PreparedRequest, Any]
"""A request without its body, and the settings from the environment that go with it."""
_KEPT_FOR: Final = r"(?ai)\btimeout\s*=\s*\"?(\d{1,9})"
_OUR_HEADERS: Final = {
    "Accept-Encoding": "identity",
    "User-Agent": f"mqtt-http-bridge/{__version__}",
}
"""The headers of each request whatever the backend: no answer is unpacked here."""


class MeasurementsClient:
    """Posts to the one address of a backend that takes measurements. One thread uses it."""

    def __init__(self, settings: BackendSettings, dialect: Dialect, link: Link) -> None:
        """Does not connect yet. `link` is shared by all clients with these settings."""
        self._settings = settings
        self._dialect = dialect
        self._timeout_s = settings.timeout_s
        self._connect_s = min(settings.timeout_s, MAX_CONNECT_S)
        self._link = link
        self._used_s = -NEVER
        self._deadline = Deadline()
        self._session = _Session()
        self._session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        for scheme in ("http://", "https://"):
            self._session.mount(scheme, LinkAdapter(link, self._deadline))
        self._session.auth = _NoAuth()
        self._prepared: dict[Secret, tuple[_Prepared, Redaction]] = {}
        """By key, the parts that are the same in every POST: making them again would take half its
        time."""

    def post(self, body: bytes, api_key: Secret) -> Answer:
        """Sends `body` once and waits for the answer. Any failure is returned as an answer, too."""
        return self._exchange(lambda: self._post(body, api_key))

    def ask_time(self) -> Answer:
        """Asks for headers only, without a key; the answer contains the backend's time."""
        return self._exchange(self._head)

    def _exchange(self, send: Callable[[], Reply]) -> Answer:
        began_s, keep_time = awake_or_not_s(), self._link.keep_time
        idle_s = began_s - self._used_s
        if idle_s > keep_time.longest_s:
            self.close()
        answer_s = keep_time.answer_within_s(idle_s, self._timeout_s)
        self._deadline.begin(self._timeout_s * TOTAL_FACTOR, old_wait_s=answer_s)
        try:
            answer: Answer = send()
        except Exception as error:  # noqa: BLE001 - a server can provoke errors of any library below
            log.debug("an exchange failed: %s", type(error).__name__)
            trouble = self._trouble(error)
            kind = NoReply if may_have_left(error) else NotSent
            reason = f"{self._settings.url}: {trouble.reason}"
            answer = kind(reason, trouble.remedy, trouble.is_of_tls)
            self.close()
            self._link.forget()
        self._used_s = awake_or_not_s()
        silence_s = None if self._deadline.is_new else idle_s
        if isinstance(answer, Reply):
            keep_time.answered(self._used_s - began_s, silence_s)
        else:
            keep_time.broke(silence_s)
        return answer

    def close(self) -> None:
        """Closes idle connections."""
        self._session.close()

    @property
    def proxy(self) -> str | None:
        """Returns the proxy that the environment sets, without the login in it."""
        options = self._from_environment(self._settings.url)
        chosen = requests.utils.select_proxy(self._settings.url, options["proxies"])
        if chosen is None:
            return None
        # It may be given without a scheme, with a login in front.
        return shown_address(chosen if "://" in chosen else f"http://{chosen}")

    def _trouble(self, error: Exception) -> Trouble:
        if self._deadline.is_over:
            reason = f"no complete answer within {self._timeout_s * TOTAL_FACTOR:.0f} s"
            return Trouble(
                reason, "is the backend overloaded? If it is slow, raise backend.timeout"
            )
        read_s = min(self._timeout_s, self._deadline.wait_s)
        return trouble_of(error, connect_s=self._connect_s, read_s=read_s)

    def _prepare(self, method: str, path: str, headers: dict[str, str]) -> _Prepared:
        url = self._settings.url + path
        prepared = self._session.prepare_request(
            requests.Request(method, url, _OUR_HEADERS | headers)
        )
        return prepared, self._from_environment(url)

    def _from_environment(self, url: str) -> Any:
        options = self._session.merge_environment_settings(url, {}, True, True, None)
        # The context decides what to trust; settings in the environment are ignored.
        options["verify"] = True
        return options

    def _prepare_post(self, api_key: Secret) -> tuple[_Prepared, Redaction]:
        headers = self._dialect.headers(api_key)
        is_long = len(api_key.reveal()) >= SHORTEST_SECRET
        return (
            self._prepare("POST", self._dialect.path, headers),
            Redaction([api_key] if is_long else []),
        )

    def _post(self, body: bytes, api_key: Secret) -> Reply:
        if api_key not in self._prepared:
            if len(self._prepared) >= MOST_KEYS:
                self._prepared.clear()
            self._prepared[api_key] = self._prepare_post(api_key)
        (request, options), redaction = self._prepared[api_key]
        request.prepare_body(body, None)
        with self._send(request, options) as response:
            answer = _whole_body(response)
            if self._deadline.is_over:
                raise urllib3.exceptions.ProtocolError
            log.debug("POST of %d bytes: %d", len(body), response.status_code)
            answer = _without(redaction, answer)
            location = _location(redaction, response)
            return Reply(response.status_code, answer, _retry_after_s(response), location=location)

    def _head(self) -> Reply:
        request, options = self._prepare("HEAD", "/", {})
        with self._send(request, options) as response:
            response.raw.read()  # It is empty; reading it keeps the connection.
            location = _location(Redaction(), response)
            return Reply(response.status_code, date=_date(response), location=location)

    def _send(self, request: requests.PreparedRequest, options: Any) -> requests.Response:
        timeout_s = (self._connect_s, self._timeout_s)
        response = self._session.send(request, timeout=timeout_s, allow_redirects=False, **options)
        self._link.keep_time.told(_keep_alive_s(response))
        return response


class _Session(requests.Session):
    """Follows no redirect. requests can do that too, but would read the whole body of one."""

    def get_redirect_target(self, resp: requests.Response) -> None:  # noqa: ARG002
        return None


class _NoAuth(AuthBase):
    """Keeps requests from sending a login that it finds in a .netrc file."""

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        return request


def _whole_body(response: requests.Response) -> bytes:
    """Returns the body up to MAX_ANSWER_BYTES. Raises urllib3's HTTPError if it broke off."""
    body = b""
    while len(body) < MAX_ANSWER_BYTES:
        chunk = response.raw.read(MAX_ANSWER_BYTES - len(body), decode_content=False)
        if not chunk:
            break
        body += chunk
    # If the server breaks off within the headers, it looks like an answer without a body, and so
    # like a success.
    if not body and not _is_meant_to_be_empty(response):
        raise urllib3.exceptions.ProtocolError
    return body


def _is_meant_to_be_empty(response: requests.Response) -> bool:
    length, coding = map(response.headers.get, ("Content-Length", "Transfer-Encoding"))
    return response.status_code == 204 or length == "0" or coding == "chunked"


def _without(redaction: Redaction, answer: bytes) -> bytes:
    """Removes the key from an answer that repeats it: parts of answers are logged and stored."""
    # A key is ASCII, so the other bytes stay as they are.
    return redaction.without_secrets(answer.decode("latin-1")).encode("latin-1")


def _location(redaction: Redaction, response: requests.Response) -> str:
    """Returns the target of a redirect, shortened and without anything that may be secret."""
    target = redaction.without_secrets(response.headers.get("Location", ""))
    try:
        whole = urljoin(response.url or "", target) if target else ""
    except ValueError:
        whole = ""
    return shown_address(whole)[:LONGEST_LOCATION]


def shown_address(url: str) -> str:
    """Returns an address fit to be shown: without login, query and fragment; empty if none."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return ""
    text = urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))
    return "".join(c for c in text if c.isprintable())


def _retry_after_s(response: requests.Response) -> float | None:
    """Reads both forms in HTTP: seconds, or a moment, to be compared with the server's clock."""
    value = response.headers.get("Retry-After", "").strip()
    if value.isascii() and value.isdigit():
        return float(value)
    until, sent = _moment(value), _date(response)
    if until is None or sent is None:
        return None
    return max(0.0, (until - sent).total_seconds())


def _keep_alive_s(response: requests.Response) -> float | None:
    """Returns how many seconds the server keeps an idle connection, if it says so."""
    said = response.headers.get("Keep-Alive", "")
    found = re.search(_KEPT_FOR, said) if said else None
    return float(found[1]) if found else None


def _date(response: requests.Response) -> datetime | None:
    """Reads the time of the server's clock, to a second."""
    return _moment(response.headers.get("Date", ""))


def _moment(text: str) -> datetime | None:
    try:
        moment = parsedate_to_datetime(text)
        return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    except (ValueError, TypeError, OverflowError):
        return None
