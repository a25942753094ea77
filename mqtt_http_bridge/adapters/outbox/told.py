"""What the log is told of an outbox: each trouble once, and each end of it."""

import logging
import time
from pathlib import Path
from typing import Final

from mqtt_http_bridge.adapters.outbox.losses import Losses

log = logging.getLogger(__name__)

LOSSES_EVERY_S: Final = 3600.0


class Told:
    """What has been said already. For an Outbox, which has the lock."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._faults: set[str] = set()
        self._losses_due_s = -float("inf")

    @property
    def is_faulty(self) -> bool:
        """Whether the disk has refused something and not healed since."""
        return bool(self._faults)

    def fault(self, error: Exception, most_in_memory: int) -> None:
        """The disk refuses."""
        fault = (error.strerror if isinstance(error, OSError) else None) or str(error)
        if fault not in self._faults:
            self._faults.add(fault)
            log.error(
                "the outbox cannot use its disk: %s: %s: keeping up to %d measurements in memory"
                " until it can",
                self._directory,
                fault,
                most_in_memory,
            )

    def healed(self) -> None:
        """The disk takes everything again."""
        if self._faults:
            self._faults.clear()
            log.info("the outbox uses its disk again: %s", self._directory)

    def losses(self, losses: Losses) -> None:
        """Tells what had to be given up, the first at once and then once an hour at most."""
        if time.monotonic() < self._losses_due_s:
            return
        if untold := losses.take_untold():
            self._losses_due_s = time.monotonic() + LOSSES_EVERY_S
            count = sum(loss.count for loss in untold)
            ranges = "; ".join(map(str, untold))
            log.error("the outbox had to give up %d measurements: %s", count, ranges)
