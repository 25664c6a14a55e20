"""A worker's eye on work that is not its own: its keeper starts a part for it (`parts.ON_DEMAND`), or where there is no
keeper, in a program that runs a `Worker` itself, the worker has a caller of its own for as long as it runs."""

from __future__ import annotations

import os
import signal
import sys
from time import monotonic, sleep

from .. import clock, spool_rows, spools
from ..model import TAG
from . import start

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from ..model import Serving
    from ..queue import Queue

SPOOLS_SIGNAL = getattr(signal, "SIGUSR2", 0)
CALLER_SIGNAL = getattr(signal, "SIGUSR1", 0)
ASK_AGAIN_S = 1.0
LOOK_S = 0.02


class Wanted:
    """`fd` is readable when somebody has attached a spool, or done something to one."""

    def __init__(self, queue: Queue, keeper: int, serving: Serving, say: Callable[[str], None]) -> None:
        self._queue = queue
        self._keeper = keeper
        self._own = None if keeper or queue.only_here else OwnCaller(queue, serving, say)
        self._ears = queue.listener(spools.BELL)
        self._asked = -ASK_AGAIN_S
        self.fd = self._ears.fd

    @property
    def may_ask(self) -> bool:
        """Whether there is somebody to ask, who was not just asked."""
        return bool(self._keeper or self._own) and monotonic() - self._asked >= ASK_AGAIN_S

    def ask_for_caller(self) -> None:
        """Calls are ready. A parent's number is nobody else's."""
        self._asked = monotonic()
        if self._own:
            self._own.start()
        elif self._keeper == os.getppid():
            os.kill(self._keeper, CALLER_SIGNAL)

    def look(self) -> None:
        """Tell the keeper, if we have one and there is such work; to be told again does it no harm."""
        self._ears.drain()
        if self._keeper and self._keeper == os.getppid() and spool_rows.of_this_machine(self._queue.store):
            os.kill(self._keeper, SPOOLS_SIGNAL)

    def close(self, in_a_hurry: Callable[[], bool]) -> None:
        self._ears.close()
        if self._own:
            self._own.end(in_a_hurry)


class OwnCaller:
    """A caller that is this process's child. It ends when we do, or after a while without a call."""

    def __init__(self, queue: Queue, serving: Serving, say: Callable[[str], None]) -> None:
        tags = [word for word in serving.offers if word.startswith(TAG)]
        self._asked = f"queues={','.join(serving.queues)};flags={','.join(tags)};idle=60;quiet=1"
        self._database = queue.place.database
        self._say = say
        self._pid = 0

    def start(self) -> None:
        if self._lives():
            return
        us = [str(os.getpid()), str(clock.process_start(os.getpid()))]
        command = [sys.executable, "-m", "queuectl.run.caller", self._database, self._asked, *us]
        blocked = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)  # until it can act on them
        try:
            self._pid = os.posix_spawn(sys.executable, command, start.environ(), setpgroup=0, setsigmask=blocked)
        except OSError as fault:
            self._pid = 0
            self._say(f"the caller cannot be started: {fault.strerror}")

    def end(self, in_a_hurry: Callable[[], bool]) -> None:
        """Let its calls end; in a hurry it ends them."""
        told = 0
        while self._lives():
            if told <= in_a_hurry():
                os.kill(self._pid, (signal.SIGTERM, signal.SIGINT)[told])  # not reaped yet: the number is still its own
                told += 1
            sleep(LOOK_S)

    def _lives(self) -> bool:
        try:
            if self._pid and os.waitpid(self._pid, os.WNOHANG)[0]:
                self._pid = 0
        except ChildProcessError:  # the program we are part of reaps whatever ends
            self._pid = 0
        return self._pid > 0
