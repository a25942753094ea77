"""Plays the web server of a GX with Venus OS v3.80: use it for whatever pairs with one.

From docs/gx.md, "Certificates" and "Pairing", line by line:

- 443 serves another certificate than 8883; both are self-signed, CN=venus.local, without a SAN.
- `POST /auth/generate-token/` takes the form fields `role` and `device_id`, both `^\\w+$`.
- A bad field or method gets 400 with a plain text, a refusal 403.
- Basic authentication: any user, and the password of the GX; none while pairing mode is on.
- The token works on 8883 a moment later. The same role and device id again replaces it.

Whether a request without a login gets 401 or 403 is not known, so `refusal_status` has either.
"""

import base64
import json
import re
import secrets
import ssl
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import parse_qs

from tests.support.mosquitto import Certificate, Login, Mosquitto

PATH = "/auth/generate-token/"


class GxWeb(ThreadingHTTPServer):
    """The HTTPS side of a GX; use it as a context manager. Tests set what it does by attributes."""

    daemon_threads = True

    def __init__(self, certificate: Certificate, password: str, broker: Mosquitto | None) -> None:
        """`broker` is the one that learns of each token `delay_s` later."""
        self.password = password
        self.is_pairing = False
        self.refusal_status = 403
        self.has_pairing = True
        self.delay_s = 0.0
        self.answer: tuple[int, bytes] | None = None
        """The answer that it gives in place of all this."""
        self.tokens: dict[str, str] = {}
        self.requests: list[str] = []
        """The requests that have come: method and path."""
        self._broker = broker
        self._learning: list[threading.Thread] = []
        super().__init__(("127.0.0.1", 0), _Answer)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate.certificate_file, certificate.key_file)
        self.socket = context.wrap_socket(self.socket, server_side=True)
        self._thread = threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self.server_close()
        self._thread.join()
        for thread in self._learning:
            thread.join()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that do not trust us hang up."""

    def is_let_in(self, header: str | None) -> bool:
        """Tells whether this Authorization gets a token: any user, the right password."""
        if self.is_pairing:
            return True
        scheme, _, login = (header or "").partition(" ")
        _, _, password = base64.b64decode(login).decode().partition(":")
        return scheme == "Basic" and password == self.password

    def give(self, role: str, device_id: str) -> dict[str, str]:
        """Makes a token, and has the broker learn of it a moment later."""
        name, password = f"token/{role}/{device_id}", secrets.token_urlsafe(24)
        self.tokens[name] = password
        if self._broker is not None:
            login = Login(user=name, password=password)
            thread = threading.Thread(target=self._learn, args=(login,), daemon=True)
            self._learning.append(thread)
            thread.start()
        return {"token_name": name, "password": password}

    def _learn(self, login: Login) -> None:
        time.sleep(self.delay_s)
        if self._broker is not None:
            self._broker.add_login(login)


class _Answer(BaseHTTPRequestHandler):
    server: GxWeb

    def do_POST(self) -> None:
        self.server.requests.append(f"POST {self.path}")
        form = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
        self._say(*self._answer_to(form))

    def do_GET(self) -> None:
        self.server.requests.append(f"GET {self.path}")
        is_there = self.server.has_pairing and self.path == PATH
        self._say(*((400, b"Only POST is supported\n") if is_there else (404, b"")))

    def _answer_to(self, form: dict[str, list[str]]) -> tuple[int, bytes]:
        if self.server.answer:
            return self.server.answer
        if self.path != PATH or not self.server.has_pairing:
            return 404, b"<html>404 Not Found</html>"
        fields = [form.get(name, [""])[0] for name in ("role", "device_id")]
        for name, field in zip(("role", "device_id"), fields, strict=True):
            if not re.fullmatch(r"\w+", field):
                return 400, f"Invalid {name}\n".encode()
        if not self.server.is_let_in(self.headers.get("Authorization")):
            return self.server.refusal_status, b"Forbidden\n"
        return 200, json.dumps(self.server.give(*fields)).encode()

    def _say(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        """Stay quiet."""
