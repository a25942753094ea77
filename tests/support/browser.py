"""Drives the system's Chromium without a window: use it for what only a browser can show.

The DevTools protocol needs no library: JSON with a NUL behind it, on file descriptors 3 and 4.
"""

import base64
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
TIMEOUT_S = 60.0
POLL_MS = 50

FLAGS = (
    "--headless=new",
    "--remote-debugging-pipe",
    "--no-sandbox",  # CI and containers run as root
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--no-first-run",
    "--no-proxy-server",
    "--force-color-profile=srgb",
    "--hide-scrollbars",
)


ON_PIPES = """
import fcntl, os, sys
pipes = [fcntl.fcntl(int(fd), fcntl.F_DUPFD, 10) for fd in sys.argv[1:3]]
for number, fd in zip((3, 4), pipes):
    os.dup2(fd, number)
    os.close(fd)
os.execv(sys.argv[3], sys.argv[3:])
"""
"""Puts two pipes on descriptors 3 and 4 and becomes the browser. A process of its own does it, as
`preexec_fn` is not safe where there are threads."""


def find_program() -> str | None:
    """Returns where Chromium is; None if it is not installed."""
    return next((found for name in PROGRAMS if (found := shutil.which(name))), None)


class Browser:
    """One browser with one page; use it as a context manager. For one thread."""

    def __init__(self) -> None:
        self.problems: list[str] = []
        """The complaints of the browser: errors in the script, and breaches of the policy."""
        self.requests: list[str] = []
        """Every address that was asked for."""
        self._directory = tempfile.TemporaryDirectory(prefix="chromium-")
        self._changed = threading.Condition()
        self._answers: dict[int, dict[str, Any]] = {}
        self._is_closed = False
        self._last_id = 0
        self._session = ""

    def __enter__(self) -> Self:
        program = find_program()
        if program is None:
            raise RuntimeError("no Chromium: on Debian, apt-get install chromium")
        to_browser, self._write_fd = os.pipe()
        self._read_fd, from_browser = os.pipe()
        self._process = subprocess.Popen(
            [
                *(sys.executable, "-I", "-S", "-c", ON_PIPES, str(to_browser), str(from_browser)),
                program,
                *FLAGS,
                f"--user-data-dir={self._directory.name}",
            ],
            pass_fds=(to_browser, from_browser),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(to_browser)
        os.close(from_browser)
        self._reader = threading.Thread(target=self._read, name="browser", daemon=True)
        self._reader.start()
        try:
            self._open_page()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Ends the browser."""
        self._process.kill()
        self._process.wait()
        self._reader.join(TIMEOUT_S)
        os.close(self._write_fd)
        os.close(self._read_fd)
        shutil.rmtree(self._directory.name, ignore_errors=True)
        self._directory.cleanup()

    # --- what a person does ------------------------------------------------------------------

    def go(self, url: str) -> None:
        """Opens an address."""
        self.call("Page.navigate", url=url)

    def leave(self) -> None:
        """Leaves the page that is open, and forgets its complaints and what it asked for.

        A page goes on asking its service until another page is there, also when that service has
        ended: its complaints would count as those of the next page.
        """
        self.go("about:blank")
        self.wait_for("location.href === 'about:blank'")
        self.problems.clear()
        self.requests.clear()

    def size(self, width: int, height: int, *, scale: float = 1.0, mobile: bool = False) -> None:
        """Makes the window so large, in CSS pixels."""
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=scale,
            mobile=mobile,
        )

    def scheme(self, name: str) -> None:
        """Prefers `dark` or `light`."""
        feature = {"name": "prefers-color-scheme", "value": name}
        self.call("Emulation.setEmulatedMedia", features=[feature])

    def timezone(self, name: str) -> None:
        """Has the clock of the page go as people's in that zone."""
        self.call("Emulation.setTimezoneOverride", timezoneId=name)

    def point(self, x: float, y: float) -> None:
        """Moves the pointer there, in CSS pixels from the corner of the window."""
        self.call("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)

    def press(self, key: str) -> None:
        """Presses a key, and lets go of it."""
        text = {"Enter": "\r", "Space": " "}.get(key, key if len(key) == 1 else "")
        known = {"key": key, "code": key, "text": text} if text else {"key": key, "code": key}
        codes = {"Enter": 13, "ArrowLeft": 37, "ArrowRight": 39, "Home": 36, "Escape": 27}
        if key in codes:
            known["windowsVirtualKeyCode"] = codes[key]  # type: ignore[assignment]
        self.call("Input.dispatchKeyEvent", type="keyDown", **known)
        self.call("Input.dispatchKeyEvent", type="keyUp", key=key, code=key)

    def hurry(self, factor: float) -> None:
        """From the next page on, timers of the page run so many times as fast."""
        source = f"{{const t = setTimeout; window.setTimeout = (f, ms) => t(f, ms / {factor});}}"
        self.call("Page.addScriptToEvaluateOnNewDocument", source=source)

    def evaluate(self, expression: str) -> Any:
        """Returns what a JavaScript expression is worth; promises are waited for."""
        answer = self.call(
            "Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True
        )
        if "exceptionDetails" in answer:
            raise RuntimeError(f"{expression}: {answer['exceptionDetails']}")
        return answer["result"].get("value")

    def wait_for(self, condition: str, timeout_s: float = TIMEOUT_S) -> None:
        """Returns once the expression is true. Or TimeoutError, with what the page shows."""
        holds = self.evaluate(
            f"new Promise(done => {{ const end = Date.now() + {timeout_s * 1000};"
            f"const look = () => ({condition}) ? done(true) : Date.now() > end ? done(false)"
            f": setTimeout(look, {POLL_MS}); look(); }})"
        )
        if not holds:
            raise TimeoutError(f"expected {condition}, found:\n{self.text()}")

    def text(self, selector: str = "body") -> str:
        """Returns what is to be read in the first element that fits."""
        return str(self.evaluate(f"document.querySelector({json.dumps(selector)})?.innerText"))

    def screenshot(self, path: Path, *, whole: bool = True) -> None:
        """Writes a PNG of the page."""
        answer = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        path.write_bytes(base64.b64decode(answer["data"]))

    # --- the protocol ------------------------------------------------------------------------

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Calls a method of the page's session, or of the browser before there is one."""
        self._last_id += 1
        message = {"id": self._last_id, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._write_fd, json.dumps(message).encode() + b"\0")
        answer = self._wait(lambda: self._answers.pop(self._last_id, None), method)
        if "error" in answer:
            raise RuntimeError(f"{method}: {answer['error']}")
        result: dict[str, Any] = answer["result"]
        return result

    def _open_page(self) -> None:
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        answer = self.call("Target.attachToTarget", targetId=target, flatten=True)
        self._session = answer["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def _wait(self, take: Callable[[], dict[str, Any] | None], what: str) -> dict[str, Any]:
        found: dict[str, Any] | None = None

        def is_there() -> bool:
            nonlocal found
            found = take()
            return found is not None or self._is_closed

        with self._changed:
            self._changed.wait_for(is_there, TIMEOUT_S * 2)
        if found is None:
            raise TimeoutError(f"the browser does not answer {what}")
        return found

    def _read(self) -> None:
        rest = b""
        while chunk := os.read(self._read_fd, 1 << 16):
            *messages, rest = (rest + chunk).split(b"\0")
            for message in map(json.loads, messages):
                self._take(message)
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()

    def _take(self, message: dict[str, Any]) -> None:
        with self._changed:
            match message:
                case {"id": int(number)}:
                    self._answers[number] = message
                case {"method": "Runtime.exceptionThrown", "params": parameters}:
                    self.problems.append(str(parameters["exceptionDetails"]))
                case {"method": "Log.entryAdded", "params": {"entry": entry}}:
                    if entry["level"] == "error":
                        self.problems.append(f"{entry['text']} {entry.get('url', '')}")
                case {"method": "Network.requestWillBeSent", "params": parameters}:
                    self.requests.append(parameters["request"]["url"])
            self._changed.notify_all()
