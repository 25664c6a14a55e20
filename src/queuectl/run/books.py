"""What keepers have written about the ends of processes whose worker died, as those read it who take over.

A line is `pid start status ended cpu memory`; the keeper writes one when it sees an end, and the same with the usage
when it has reaped the process (`keeper.Keeper.keep`).
"""

from __future__ import annotations

import os
from time import monotonic, time

from .. import clock
from . import pidfd
from .journal import Trace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .running import Run

BOOK_KEPT_S = 86400.0
KERNEL_ANSWERS_S = 0.2  # a keeper knows more than the kernel (usage), so it is waited for so long
KEEPER_ANSWERS_S = 5.0


class KeeperBooks:
    """What all keepers of this store have written about processes whose worker died."""

    def __init__(self, run_folder: str) -> None:
        self._folder = run_folder
        self._read: dict[str, int] = {}
        self._ends: dict[tuple[int, int], tuple[int, int, int, int]] = {}

    def refresh(self) -> None:
        for name in os.listdir(self._folder):
            if name.startswith("keeper-") and name.endswith(".journal"):
                path = os.path.join(self._folder, name)
                if _size(path) < self._read.get(path, 0):
                    self._read[path] = 0  # it was rotated
                ends, self._read[path] = read_book(path, self._read.get(path, 0))
                self._ends.update(ends)

    def complete(self, trace: Trace) -> Trace:
        """The trace with its end, when a keeper has seen it."""
        end = self._ends.get((trace.pid, trace.pid_start))
        if end is None:
            return trace
        status, ended_us, cpu_us, memory = end
        return trace.but(status=status, ended_us=ended_us, cpu_us=cpu_us, memory_max=memory)

    def ended(self, pid: int, since_ticks: int) -> tuple[int, int] | None:
        """The process of this number that began after a moment and has ended."""
        return next((key for key in self._ends if key[0] == pid and key[1] >= since_ticks), None)

    def nameless(self, since_ticks: int, known: set[int]) -> tuple[int, int] | None:
        """The process that ended after a moment and is in nobody's journal: the one that an open `S` line started."""
        found = [key for key in self._ends if key[1] >= since_ticks and key[0] not in known]
        return found[0] if len(found) == 1 else None

    def learn_end(self, run: Run) -> bool | None:
        """Fill in how an adopted run ended: by a keeper's word, else by the kernel's. None: ask again in a moment;
        False: nobody has seen it."""
        self.refresh()
        run.trace = self.complete(run.trace)
        if run.trace.status is not None:
            return True
        if run.asked_since is None:
            run.asked_since = monotonic()
        waited = monotonic() - run.asked_since
        status = pidfd.exit_status(run.pidfd) if run.pidfd >= 0 and waited > KERNEL_ANSWERS_S else None
        if status is not None:
            run.trace = run.trace.but(status=status, ended_us=clock.now_us())
            return True
        return False if waited > KEEPER_ANSWERS_S else None


def read_book(path: str, offset: int) -> tuple[dict[tuple[int, int], tuple[int, int, int, int]], int]:
    """What a keeper has written from an offset on: (pid, start) → (status, ended_us, cpu_us, memory); and the new offset."""
    try:
        with open(path, "rb") as file:
            file.seek(offset)
            content = file.read()
    except FileNotFoundError:
        return {}, offset
    whole = content[: content.rfind(b"\n") + 1]
    ends = {}
    for line in whole.splitlines():
        pid, start, *rest = [int(word) for word in line.split()]
        ends[pid, start] = (rest[0], rest[1], rest[2], rest[3])
    return ends, offset + len(whole)


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


def _size(path: str) -> int:
    try:
        return os.stat(path).st_size
    except FileNotFoundError:
        return 0
