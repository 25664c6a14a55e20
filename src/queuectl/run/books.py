"""What keepers have written about the ends of processes whose worker died, as those read it who take over.

The writing side, and what a line says, is in `ends`.
"""

from __future__ import annotations

import os
import signal
from time import monotonic, time

from .. import clock
from . import pidfd
from .ends import End, EndsRead
from .journal import Trace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .running import Run

BOOK_KEPT_S = 86400.0
NEVER = 1 << 62
ZOMBIE_S = 30.0  # some container's first process never reaps: then nobody will tell


class KeeperBooks:
    """What all keepers of this store have written about processes whose worker died: of those that began at `since` (in
    clock ticks since boot) or later. Books are long, and hardly anything in them is asked for."""

    def __init__(self, run_folder: str, since: int = NEVER) -> None:
        self._folder = run_folder
        self._since = since
        self._books: dict[str, EndsRead] = {}
        self._ends: dict[tuple[int, int], End] = {}

    def cover(self, start: int) -> None:
        """From here on a process that began then is asked for: the books are read again from their beginning."""
        if start < self._since:
            self._since = start
            self._books.clear()

    def refresh(self) -> None:
        for name in os.listdir(self._folder):
            if name.startswith("keeper-") and name.endswith(".journal"):
                book = self._books.get(name)
                if book is None:
                    book = self._books[name] = EndsRead(os.path.join(self._folder, name))
                self._ends.update(book.news(self._since))

    def complete(self, trace: Trace) -> Trace:
        """The trace with its end, when a keeper has seen it."""
        end = self._ends.get((trace.pid, trace.pid_start))
        if end is None:
            return trace
        return trace.but(status=end.status, ended_us=end.ended_us, cpu_us=end.cpu_us, memory_max=end.memory_max)

    def marked(self, mark: int) -> set[tuple[int, int]]:
        """The ended processes of a run that were left to a keeper."""
        return {key for key, end in self._ends.items() if end.mark == mark}

    def learn_end(self, run: Run) -> bool | None:
        """Fill in how an adopted run ended: by a keeper's word, else by the kernel's. None: ask again in a moment;
        False: nobody has seen it."""
        self.cover(run.trace.pid_start)
        gone = not run.exists  # looked at before the books: a keeper writes before it reaps
        self.refresh()
        run.trace = self.complete(run.trace)
        if run.trace.status is not None:
            return True
        if run.asked_since is None:
            run.asked_since = monotonic()
        status = pidfd.exit_status(run.pidfd) if gone and run.pidfd >= 0 else None
        if status == signal.SIGKILL and run.found_ended:
            return False  # killed with its worker and its keeper, as when a container ends: that is what cut it
        if status is not None:
            run.trace = run.trace.but(status=status, ended_us=clock.now_us())
            return True
        return False if gone or monotonic() - run.asked_since > ZOMBIE_S else None


def forget_old(folder: str) -> None:
    """Remove what keepers that are gone have left for whoever takes over, once everybody has had a day to read it."""
    for name in os.listdir(folder):
        path = os.path.join(folder, name)
        if name.startswith("keeper-") and name.endswith(".journal") and time() - _mtime(path) > BOOK_KEPT_S:
            pid, start = name.removesuffix(".journal").split("-")[1:]
            if not clock.is_alive(int(pid), int(start)):
                os.unlink(path)


def _mtime(path: str) -> float:
    try:
        return os.stat(path).st_mtime
    except FileNotFoundError:
        return time()  # another worker removed it
