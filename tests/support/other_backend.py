"""Defines a made-up backend unlike the real one: its dialect, and a stand-in for it.

The dialect is all that another backend would take: `core.delivery.dialect` tells what it is for.
"""

import threading
from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final, Self

from mqtt_http_bridge.core.delivery.answers import Answer, NotSent, Reply
from mqtt_http_bridge.core.delivery.dialect import Contents
from mqtt_http_bridge.core.delivery.refusal import Cause, Refusal
from mqtt_http_bridge.core.delivery.verdict import DeviceFate, Fate, Outcome, Verdict, all_owed
from mqtt_http_bridge.core.errors import MalformedMeasurement
from mqtt_http_bridge.core.measurement import Measurement
from mqtt_http_bridge.core.settings import Secret

NO_CONTRACT: Final = Cause("no contract", "have it added to the contract")
WRONG_TOKEN: Final = Cause("wrong token", "ask for another token")


class OtherBackend:
    """Takes a line of fields: time and GX, then each charger; answers in plain words."""

    path = "/ingest;v=7"
    causes = (NO_CONTRACT,)

    def headers(self, api_key: Secret) -> dict[str, str]:
        """A token, and what is sent."""
        return {"Authorization": f"Token {api_key.reveal()}", "Content-Type": "text/csv"}

    def body(self, measurement: Measurement) -> bytes:
        """Milliseconds and watts."""
        lines = [f"{measurement.timestamp.timestamp() * 1000:.0f};{measurement.cerbo_serial}"]
        lines += [f"{d.serial};{d.yield_power_w:.1f}" for d in measurement.devices]
        return "|".join(lines).encode()

    def read(self, body: bytes) -> Contents:
        """By lines."""
        try:
            head, *lines = body.decode().split("|")
            ms, gx = head.split(";")
            serials = tuple(line.split(";")[0] for line in lines)
            return Contents(serials, datetime.fromtimestamp(int(ms) / 1000, UTC), gx)
        except ValueError as error:
            raise MalformedMeasurement(f"expected lines, found {body!r}") from error

    def only(self, body: bytes, serials: Collection[str]) -> bytes:
        """Leaves lines out."""
        head, *lines = body.split(b"|")
        kept = [line for line in lines if line.split(b";")[0].decode() in serials]
        return b"|".join([head, *kept])

    def timestamp(self, body: bytes) -> str:
        """Reads it at the head."""
        return datetime.fromtimestamp(int(body.split(b";")[0]) / 1000, UTC).isoformat()

    def shifted(self, body: bytes, step_s: float) -> bytes:
        """Only the head has a time."""
        ms, rest = body.split(b";", 1)
        return b"%d;%s" % (int(ms) + round(step_s * 1000), rest)

    def judge(self, answer: Answer, serials: Sequence[str]) -> Verdict:
        """One word for each line, in order; a 202 is the only success."""
        if not isinstance(answer, Reply):
            is_away = isinstance(answer, NotSent)
            outcome = Outcome.UNREACHABLE if is_away else Outcome.UNAVAILABLE
            return all_owed(outcome, serials, answer.reason)
        if answer.status == 410:
            return all_owed(Outcome.KEY_REFUSED, serials, "the token is void", cause=WRONG_TOKEN)
        if answer.status != 202:
            return all_owed(Outcome.UNAVAILABLE, serials, f"it answered {answer.status}")
        fates: dict[str, DeviceFate] = {"+": Fate.STORED, "~": Fate.OWED}
        refusal = Refusal(NO_CONTRACT, "not in the contract")
        words = answer.body.decode().split(",")
        found = {s: fates.get(word, refusal) for s, word in zip(serials, words, strict=True)}
        return Verdict(Outcome.JUDGED, found, ", ".join(words) if set(words) != {"+"} else "")


class OtherServer:
    """A stand-in for it. Use it as a context."""

    def __init__(self) -> None:
        self.contract = {"A"}
        self.requests: list[tuple[str, dict[str, str], bytes]] = []
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                server.requests.append((self.path, dict(self.headers.items()), body))
                answer = server.answer(body)
                self.send_response(202)
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
                """Stays quiet."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def answer(self, body: bytes) -> bytes:
        """One word for each line."""
        serials = [line.split(";")[0] for line in body.decode().split("|")[1:]]
        return ",".join("+" if s in self.contract else "-" for s in serials).encode()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
