"""A worker's eye on work that is not its own, for a part that its keeper starts on demand (`parts.ON_DEMAND`)."""

from __future__ import annotations

import os
import signal

from .. import spools

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..queue import Queue

SPOOLS_SIGNAL = getattr(signal, "SIGUSR2", 0)


class Wanted:
    """`fd` is readable when somebody has attached a spool, or done something to one."""

    def __init__(self, queue: Queue, keeper: int) -> None:
        self._queue = queue
        self._keeper = keeper
        self._ears = queue.listener(spools.BELL)
        self.fd = self._ears.fd

    def look(self) -> None:
        """Tell the keeper, if we have one and there is such work; to be told again does it no harm."""
        self._ears.drain()
        if self._keeper and self._keeper == os.getppid() and self._queue.store.run("select 1 from spools limit 1"):
            os.kill(self._keeper, SPOOLS_SIGNAL)

    def close(self) -> None:
        self._ears.close()
