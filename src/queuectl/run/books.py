"""What keepers have written about the ends of processes whose worker died, as those read it who take over.

The writing side, and what a line says, is in `ends`.
"""

from __future__ import annotations

import os
import signal
from time import monotonic, time

from .. import clock
from . import pidfd
from .ends import End, EndsRead, is_held
from .journal import Trace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .running import Run

BOOK_KEPT_S = 86400.0
NEVER = 1 << 62
ZOMBIE_S = 30.0  # some container's first process never reaps: then nobody will tell


class KeeperBooks:
    """What all keepers of this store have written about processes whose worker died: of those that began at `since` (in
    clock ticks since boot) or later, and of what is asked for with `want`. Books are long, and of most that they tell nobody
    wants to know: it is not kept."""

    def __init__(self, run_folder: str, since: int = NEVER) -> None:
        self._folder = run_folder
        self._since = since
        self._wanted: set[tuple[int, int]] = set()
        self._books: dict[str, EndsRead] = {}
        self._ends: dict[tuple[int, int], End] = {}

    def want(self, trace: Trace) -> None:
        """From here on the end of this process is asked for, until it is learned: the books are read again from their
        beginning, once for all that are wanted by then."""
        self._wanted.add((trace.pid, trace.pid_start))
        self._books.clear()

    def _is_asked_for(self, process: tuple[int, int]) -> bool:
        return process[1] >= self._since or process in self._wanted

    def refresh(self) -> None:
        for name in os.listdir(self._folder):
            if name.startswith("keeper-") and name.endswith(".journal"):
                book = self._books.get(name)
                if book is None:
                    book = self._books[name] = EndsRead(os.path.join(self._folder, name))
                self._ends.update(book.news(self._is_asked_for))

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
        known = self._learn_end(run)
        if known is not None:
            process = (run.trace.pid, run.trace.pid_start)
            self._wanted.discard(process)
            self._ends.pop(process, None)
        return known

    def _learn_end(self, run: Run) -> bool | None:
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
            if clock.is_alive(int(pid), int(start)) or is_held(path):
                continue  # its number says nothing in another container, its lock does
            try:
                os.unlink(path)
            except FileNotFoundError:
                pass  # another worker removed it


def _mtime(path: str) -> float:
    try:
        return os.stat(path).st_mtime
    except FileNotFoundError:
        return time()  # another worker removed it
