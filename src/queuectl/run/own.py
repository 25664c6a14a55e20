"""A worker that a server keeps for itself: one queue, a number of slots, as long as the server lives.

The server may die at any instant: its jobs run on, its worker finishes (see `tied`), and the next server's worker
takes over whatever it finds.
"""

from __future__ import annotations

import os
import resource
import signal
import sys
from time import monotonic, sleep

from .. import clock, files, workers
from . import start

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..model import WorkerRow
    from ..queue import Queue

PATIENCE_S = 5.0
POLL_S = 0.02
GOOD_RUN_S = 10.0  # a worker that lived so long did not die of its start
PAUSE_S_MAX = 60.0


class OwnWorker:
    """Start it, look after it now and then, let it finish. What it has to say goes to the file `log`."""

    def __init__(self, queue: Queue, name: str, slots: int, log: str) -> None:
        self._queue = queue
        self._name = name
        self._slots = slots
        self._log = log
        self._keeper = 0
        self._started = 0.0
        self._pause = 0.0
        self._files_max = resource.getrlimit(resource.RLIMIT_NOFILE)[0]  # for its jobs, whatever the server needs

    def start(self) -> None:
        """Take the queue over from earlier workers of it, whose jobs run on and are adopted, and start."""
        earlier = self._living()
        if earlier:
            workers.ask(self._queue, earlier, "leave")
            workers.wait_until_gone(self._queue, earlier, PATIENCE_S)
        files.private_folder(self._queue.place.run)
        self._spawn()

    def tend(self) -> None:
        """Start it again if keeper and worker have both died; with growing pauses if it keeps dying."""
        if self._keeper_lives() or self._living():
            if monotonic() - self._started > GOOD_RUN_S:
                self._pause = 0.0
        elif monotonic() - self._started >= self._pause:
            self._pause = min(PAUSE_S_MAX, self._pause * 2 or 1.0)
            self._spawn()

    def finish(self) -> None:
        """Start no more jobs. Returns when the worker has ended, or at once while jobs run: they end in their own time,
        and their worker sees to that they are recorded."""
        deadline = monotonic() + PATIENCE_S
        if self._keeper_lives():
            os.kill(self._keeper, signal.SIGHUP)  # not reaped yet, so the number is still its own
        if rows := self._living():
            workers.ask(self._queue, rows, "finish")  # for one that has become its own keeper
        while (self._keeper_lives() or self._living()) and not self._is_busy() and monotonic() < deadline:
            sleep(POLL_S)

    def _spawn(self) -> None:
        log = os.open(self._log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW, files.FILE_MODE)
        command = start.keeper_command(self._queue.place, self._slots, [self._name])
        argv = [sys.executable, "-m", "queuectl.run.tied", str(os.getpid()), str(self._files_max), *command]
        null = (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0)
        actions = [null, (os.POSIX_SPAWN_DUP2, log, 1), (os.POSIX_SPAWN_DUP2, log, 2)]
        try:
            self._keeper = os.posix_spawn(sys.executable, argv, start.environ(), file_actions=actions, setsid=True)
        finally:
            os.close(log)
        self._started = monotonic()

    def _keeper_lives(self) -> bool:
        if self._keeper and os.waitpid(self._keeper, os.WNOHANG)[0]:
            self._keeper = 0
        return self._keeper > 0

    def _living(self) -> list[WorkerRow]:
        here = [row for row in workers.living(self._queue.store) if row.host == clock.host() or not self._queue.store.shared]
        return [row for row in here if row.queues == self._name]

    def _is_busy(self) -> bool:
        return any(queue == self._name and stage == "running" for queue, _, stage, _ in self._queue.store.counts())
