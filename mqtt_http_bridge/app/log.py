"""Sends the log lines of our own loggers to a stream and to the system's log.

Libraries are left out: they log a traceback for every failed request, and quote what a server sent,
which may repeat a key.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, TextIO

from mqtt_http_bridge.adapters.log_stream import LineWriter
from mqtt_http_bridge.core.log import Log
from mqtt_http_bridge.core.log_limit import LogLimit
from mqtt_http_bridge.core.log_line import log_lines
from mqtt_http_bridge.core.redaction import Redaction
from mqtt_http_bridge.core.settings import Secret
from mqtt_http_bridge.core.words import counted, visible

if TYPE_CHECKING:
    from mqtt_http_bridge.adapters.syslog import SystemLog

OURS: Final = "mqtt_http_bridge"
LOCK_S: Final = 1.0
"""Seconds to wait while another thread writes a line; the watchdog also logs, and must not hang."""
END_S: Final = 0.5
"""Seconds that the end waits for lines that are not written yet: the service has 5 s in all."""

log = logging.getLogger(__name__)
_hiding = threading.Lock()


@contextmanager
def log_to(
    stream: TextIO, level: str, redaction: Redaction, *, syslog: str | None = None
) -> Iterator[None]:
    """Sends our log to `stream`, and to the socket `syslog` if one is named, while this is open."""
    handler = _Handler(stream, redaction)
    ours = logging.getLogger(OURS)
    nobody = logging.NullHandler()
    logging.getLogger().addHandler(nobody)  # Or Python would print warnings of libraries.
    ours.addHandler(handler)
    ours.setLevel(level)
    try:
        if syslog is not None:
            _add_system_log(handler, syslog)
        yield
    finally:
        ours.removeHandler(handler)
        logging.getLogger().removeHandler(nobody)
        handler.close()


def write_log(line: Log) -> None:
    """Writes a line to the log, whatever devices have said in it."""
    level = logging.getLevelNamesMapping()[line.level]
    log.log(level, "%s", visible(line.text), extra={"line": line})


def tell_what_is_due() -> None:
    """Writes lines that are due even though nothing happens."""
    for handler in list(logging.getLogger(OURS).handlers):
        if isinstance(handler, _Handler):
            handler.tell_what_is_due()


def hide(secret: Secret) -> None:
    """Keeps a secret out of all that is logged from now on."""
    with _hiding:
        for handler in list(logging.getLogger(OURS).handlers):
            if isinstance(handler, RedactingHandler):
                handler.redaction.add(secret)


def finish() -> None:
    """Writes what is left within END_S: the process is about to end."""
    for handler in list(logging.getLogger(OURS).handlers):
        handler.close()


def _add_system_log(handler: "_Handler", path: str) -> None:
    """Adds the system's log; if there is none, says so once and waits for one."""
    from mqtt_http_bridge.adapters.syslog import SystemLog  # Rarely needed.

    if not Path(path).exists():
        log.warning(
            "logging.syslog: expected the system's log at %s, found none:"
            " start one, or set logging.syslog to false",
            path,
        )
    handler.system_log = SystemLog(path)


class RedactingHandler(logging.Handler):
    """Shows our log to somebody, without the secrets that `redaction` knows."""

    def __init__(self, redaction: Redaction, level: int = logging.NOTSET) -> None:
        super().__init__(level)
        self.redaction: Final = redaction


class _Handler(RedactingHandler):
    """Passes lines on; `logging` makes the threads take turns. It never waits."""

    def __init__(
        self, stream: TextIO, redaction: Redaction, now_s: Callable[[], float] = time.monotonic
    ) -> None:
        # Supervisors add the time themselves.
        self._is_watched = stream.isatty()
        # This may fail, and Python closes every handler at exit: it must not find half of one.
        self._writer = LineWriter(stream, gap=self._gap)
        super().__init__(redaction)
        self._limit = LogLimit()
        self._now_s = now_s
        self.system_log: SystemLog | None = None

    def emit(self, record: logging.LogRecord) -> None:
        if record.exc_info or record.levelno in (logging.DEBUG, logging.CRITICAL):
            self._write(record)
            return
        for line in self._limit.pass_on(_line(record), self._now_s()):
            self._write(_record(line))

    def tell_what_is_due(self) -> None:
        """Writes the counts of lines left out that are due now, or at the end of a day."""
        lock = self.lock
        if lock is None or not lock.acquire(timeout=LOCK_S):
            return
        try:
            for line in self._limit.due(self._now_s()):
                self._write(_record(line))
        finally:
            lock.release()

    def _write(self, record: logging.LogRecord) -> None:
        message, traceback = _texts(record)
        lines = log_lines(f"{record.levelname} ", message, traceback, self.redaction)
        for line in lines:
            self._writer.put(self._stamp(record.created) + line)
            if self.system_log is not None:
                self.system_log.send(record.levelno, line)

    def close(self) -> None:
        self._writer.close(END_S)
        if self.system_log is not None:
            self.system_log.close()
        super().close()

    def _stamp(self, created_s: float) -> str:
        return time.strftime("%H:%M:%S ", time.localtime(created_s)) if self._is_watched else ""

    def _gap(self, count: int) -> str:
        one = "line of the log was dropped here: nobody read it"
        several = "lines of the log were dropped here: nobody read them"
        return f"{self._stamp(time.time())}WARNING {counted(count, one, several)}"


def _line(record: logging.LogRecord) -> Log:
    """Reads a record; if nobody has set its kind, its format string is the kind."""
    known = getattr(record, "line", None)
    if isinstance(known, Log):
        return known._replace(text=_texts(record)[0])
    level: Literal["INFO", "WARNING", "ERROR"] = "INFO"
    if record.levelno >= logging.WARNING:
        level = "ERROR" if record.levelno >= logging.ERROR else "WARNING"
    return Log(level, _texts(record)[0], kind=str(record.msg))


def _record(line: Log) -> logging.LogRecord:
    return logging.makeLogRecord(
        {
            "levelname": line.level,
            "levelno": logging.getLevelNamesMapping()[line.level],
            "msg": line.text,
        }
    )


def _texts(record: logging.LogRecord) -> tuple[str, str]:
    """Returns the message of a record, and its traceback if it has one."""
    try:
        message = record.getMessage()
    except (TypeError, ValueError, KeyError):
        message = str(record.msg)
    traceback = logging.Formatter().formatException(record.exc_info) if record.exc_info else ""
    return message, traceback
