"""All that a run has started: its session, the descendants of those, and whoever carries its cookie or its mark.

A ProcessTable is one look at the system. Whoever ends many runs at once takes one look for all of them.
"""

from __future__ import annotations

import os
import signal

from ..record import Record
from . import mark
from .spawn import COOKIE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


# Any other refusal of /proc is raised: no descriptor left, no memory. It says nothing of the process, and one that was
# taken for gone would be started a second time.
GONE = (FileNotFoundError, ProcessLookupError)


class ProcessRow(Record):
    parent: int
    session: int
    start: int
    alive: bool


class ProcessTable:
    """Processes as /proc showed them."""

    def __init__(self, since: int) -> None:
        """Those that began at this clock tick since boot, or later: none that was there before a run began is of that run. So
        what a look keeps, and whom it asks more of, does not grow with what else the machine does."""
        self._sees = os.path.isdir("/proc/self")
        self.rows: dict[int, ProcessRow] = {}
        for pid in _pids() if self._sees else ():
            try:
                with open(f"/proc/{pid}/stat", "rb") as file:
                    row = _row(file.read(), since)
            except GONE:
                continue  # it ended meanwhile
            if row is not None:
                self.rows[pid] = row
        self._sessions: dict[int, list[int]] = {}
        self._children: dict[int, list[int]] = {}
        for pid, row in self.rows.items():
            self._sessions.setdefault(row.session, []).append(pid)
            self._children.setdefault(row.parent, []).append(pid)
        self._carriers: dict[bytes | int, list[int]] | None = None

    def members(self, leader: int, leader_start: int, cookie: bytes) -> list[int]:
        """The living processes of a run. The leader counts only while it is the process that was started: its number
        may have been given away since."""
        if not self._sees:  # the process group is all that can be seen, named by its negative number
            return [-leader] if group_lives(leader) else []
        own = self.rows.get(leader)
        found = {os.getpid()}  # we carry the mark of what we started last; and our children are other runs too
        new = list(self._sessions.get(leader, ())) if own is None or own.start == leader_start else []
        new += self.carriers(cookie)
        while new:
            pid = new.pop()
            if pid not in found:
                found.add(pid)
                new += self._children.get(pid, ())
        found.discard(os.getpid())
        return [pid for pid in found if self.rows[pid].alive]

    def carriers(self, cookie: bytes) -> list[int]:
        """The processes that carry a run's cookie in their environment, or its mark. Each process is asked once."""
        if self._carriers is None:
            self._carriers = {}
            for pid in self.rows:
                names: list[bytes | int] = [*cookies(pid), mark.on(pid)]
                for carried in names:
                    self._carriers.setdefault(carried, []).append(pid)
        return [*self._carriers.get(cookie, ()), *self._carriers.get(mark.of(cookie), ())]

    def leaders(self, cookie: bytes) -> set[tuple[int, int]]:
        """(pid, start time) of the session leaders of this run, ended ones too while they are not reaped."""
        return {(pid, self.rows[pid].start) for pid in self.carriers(cookie) if self.rows[pid].session == pid}


def _pids() -> Iterator[int]:
    """One after the other: a list of all would be the largest thing that a worker ever holds, and its memory stays."""
    with os.scandir("/proc") as entries:
        for entry in entries:
            if entry.name.isdigit():
                yield int(entry.name)


def _row(stat: bytes, since: int) -> ProcessRow | None:
    # The name, in parentheses, may hold anything, ")" too: count from the last one.
    fields = stat[stat.rindex(b")") + 2 :].split(None, 20)
    start = int(fields[19])
    return ProcessRow(int(fields[1]), int(fields[3]), start, fields[0] not in (b"Z", b"X")) if start >= since else None


def cookies(pid: int) -> list[bytes]:
    """The runs a process says it belongs to: one or, when its environment is odd, several; none for strangers."""
    try:
        with open(f"/proc/{pid}/environ", "rb") as file:
            parts = (b"\0" + file.read()).split(b"\0" + COOKIE + b"=")[1:]
    except (*GONE, PermissionError):
        return []  # another user's, or gone
    return [part.partition(b"\0")[0] for part in parts]


def group_lives(leader: int) -> bool:
    try:
        os.killpg(leader, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass  # something of another user: it lives
    return True


def send(pids: Iterable[int], number: int) -> None:
    for pid in pids:
        try:
            os.kill(pid, number)
            if number == signal.SIGTERM:
                os.kill(pid, signal.SIGCONT)  # a stopped process would never see it
        except (ProcessLookupError, PermissionError):
            pass  # it ended meanwhile, or changed its user: then it is not ours to end
