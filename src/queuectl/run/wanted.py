"""A worker's eye on work that is not its own, for a part that its keeper starts on demand (`parts.ON_DEMAND`)."""

from __future__ import annotations

import os
import signal
from time import monotonic

from .. import spools

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..queue import Queue

SPOOLS_SIGNAL = getattr(signal, "SIGUSR2", 0)
CALLER_SIGNAL = getattr(signal, "SIGUSR1", 0)
ASK_AGAIN_S = 1.0


class Wanted:
    """`fd` is readable when somebody has attached a spool, or done something to one."""

    def __init__(self, queue: Queue, keeper: int) -> None:
        self._queue = queue
        self._keeper = keeper
        self._ears = queue.listener(spools.BELL)
        self._asked = -ASK_AGAIN_S
        self.fd = self._ears.fd

    @property
    def may_ask(self) -> bool:
        """Whether there is a keeper, and it was not just asked."""
        return bool(self._keeper) and monotonic() - self._asked >= ASK_AGAIN_S

    def ask_for_caller(self) -> None:
        """Calls are ready. A parent's number is nobody else's."""
        self._asked = monotonic()
        if self._keeper == os.getppid():
            os.kill(self._keeper, CALLER_SIGNAL)

    def look(self) -> None:
        """Tell the keeper, if we have one and there is such work; to be told again does it no harm."""
        self._ears.drain()
        if self._keeper and self._keeper == os.getppid() and self._queue.store.run("select 1 from spools limit 1"):
            os.kill(self._keeper, SPOOLS_SIGNAL)

    def close(self) -> None:
        self._ears.close()
