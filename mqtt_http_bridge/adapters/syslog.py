"""The system's log: the log of `run` once more, to /dev/log, under a name of ours."""

import logging
import logging.handlers
from pathlib import Path
from typing import Final

SOCKET: Final = "/dev/log"
NAME: Final = "mqtt-http-bridge"


class SystemLog(logging.handlers.SysLogHandler):
    """Loses a line that the system does not take, and tries again with the next one."""

    def __init__(self, socket: str) -> None:
        super().__init__(socket, logging.handlers.SysLogHandler.LOG_DAEMON)
        self.ident = f"{NAME}: "
        self.append_nul = False
        self.setFormatter(logging.Formatter("%(levelname)s %(message)s"))

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's name
        """Stays quiet: the line stands in the other log, and a complaint would come each time."""


def add_system_log(log: logging.Logger, socket: str = SOCKET) -> None:
    """Makes `log` write there, too; without a system log it says so once, and waits for one."""
    if not Path(socket).exists():
        log.warning(
            "logging.syslog: expected the system's log at %s, found none:"
            " start one, or set logging.syslog to false",
            socket,
        )
    log.addHandler(SystemLog(socket))
