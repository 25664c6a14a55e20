"""The packets that lie in one folder: which are whole, what numbers they have, what is wrong with the rest.

A file is looked at when something is heard of it and when it may have settled, never on a beat. Files that are whole
and no packets go to `rejected`: at once if they were renamed into place, else when they have not changed for REJECT_S,
for a copy that has stopped half-way may go on.
"""

from __future__ import annotations

import os
from time import monotonic, time_ns

from queuectl.packet import PacketError
from queuectl.packets.arrival import SETTLED_S, facts_of, is_being_written
from queuectl.packets.descriptors import open_regular
from queuectl.packets.faults import system_words
from queuectl.packets.names import is_job_name
from queuectl.packets.rejecting import set_aside

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from queuectl.packet import Packet
    from queuectl.packets.arrival import Facts
    from queuectl.packets.stored import Stored

REJECT_S = 10.0
CLOSED, RENAMED = 1, 2  # what is known of how a file came


class File:
    """One file, as it was when it was last looked at."""

    __slots__ = ("came", "facts", "packet", "since", "why")

    def __init__(self, facts: Facts, since: float, came: int) -> None:
        self.facts = facts
        self.since = since  # when it was first seen like this
        self.came = came
        self.packet: tuple[int, int, int] | None = None  # number, seconds, nanoseconds
        self.why = ""  # it is no packet


class Index:
    """The files of `queuedir`/jobs. `read` turns an open file into its header, or says that it will come later: None."""

    def __init__(self, queuedir: bytes, stored: Stored, later: Callable[[bytes, int], None], say: Callable[[str], None]) -> None:
        self.queuedir = queuedir
        self.jobs = queuedir + b"/jobs"
        self.files: dict[bytes, File] = {}
        self.numbers: dict[int, list[bytes]] = {}
        self._due: dict[bytes, float] = {}
        self._stored = stored
        self._later = later
        self._say = say

    @property
    def next_moment(self) -> float | None:
        return min(self._due.values()) if self._due else None

    def rescan(self) -> None:
        """Look at the whole folder: at the start, when news was lost, and now and then where there is none."""
        with os.scandir(self.jobs) as entries:
            found = {entry.name for entry in entries if is_job_name(entry.name) and entry.is_file()}
        for name in self.files.keys() - found:
            self._forget(name)
        for name in found:
            self.look(name)

    def heard(self, name: bytes, came: int) -> None:
        if is_job_name(name):
            self.look(name, came)

    def tick(self, now: float) -> None:
        for name in [name for name, moment in self._due.items() if moment <= now]:
            self.look(name)

    def look(self, name: bytes, came: int = 0) -> None:
        """Look at one file; whatever is wrong with it is its own affair."""
        self._due.pop(name, None)
        try:
            fd, found = open_regular(self.jobs + b"/" + name)
        except FileNotFoundError:
            self._forget(name)
            return
        except OSError as fault:
            self._unreadable(name, system_words(fault))
            return
        file = self._seen(name, found, came)
        if file.packet is not None or not self._is_whole(name, file, fd):
            os.close(fd)
        elif self._stored.is_plain:
            try:
                self.learnt(name, file.facts, header_of(self._stored, fd))
            finally:
                os.close(fd)
        else:
            self._later(name, fd)

    def learnt(self, name: bytes, facts: Facts, header: Packet | str) -> None:
        """What a look into the file has found: its header, or what is wrong with it. Old news is no news."""
        file = self.files.get(name)
        if file is None or file.facts != facts or file.packet is not None:
            return
        if isinstance(header, str):
            file.why = header
            self._reject_when_settled(name, file)
            return
        file.packet, file.why = (header.seq, header.secs, header.nanos), ""
        twin = next((n for n in self.numbers.get(header.seq, ()) if self.files[n].packet == file.packet), None)
        if twin is not None and self.files[twin].facts[1] == facts[1]:
            self.reject(name, f"the same packet as {os.fsdecode(twin)}")
            return
        self.numbers.setdefault(header.seq, []).append(name)

    def reject(self, name: bytes, why: str) -> None:
        """Where that cannot be done, it stays, and is told of."""
        try:
            kept = set_aside(self.queuedir, name, why)
        except OSError as fault:
            self.files[name].why = f"{why}; it cannot be moved to 'rejected' either: {system_words(fault)}"
            return
        self._forget(name)
        if kept:
            self._say(f"{os.fsdecode(name)} was rejected: {why}")

    def ahead_of(self, number: int) -> list[int]:
        """The numbers that lie here and come after this one."""
        return sorted(n for n in self.numbers if n > number)

    def past(self, number: int) -> int:
        return sum(n < number for n in self.numbers)

    def troubled(self) -> list[bytes]:
        return sorted(name for name, file in self.files.items() if file.why)

    def _seen(self, name: bytes, found: os.stat_result, came: int) -> File:
        facts = facts_of(found)
        file = self.files.get(name)
        if file is None or file.facts != facts:
            self._forget(name)
            file = self.files[name] = File(facts, monotonic(), 0)
        file.came = max(file.came, came)
        return file

    def _is_whole(self, name: bytes, file: File, fd: int) -> bool:
        """Else it is looked at again."""
        unchanged_s = max(monotonic() - file.since, (time_ns() - max(file.facts[2:])) / 1e9)
        left = 0.0 if file.came else SETTLED_S - unchanged_s
        if left <= 0 and is_being_written(fd):
            left = SETTLED_S
        if left > 0:
            self._due[name] = monotonic() + left + 0.01
        return left <= 0

    def _reject_when_settled(self, name: bytes, file: File) -> None:
        unchanged_s = max(monotonic() - file.since, (time_ns() - max(file.facts[2:])) / 1e9)
        if file.came == RENAMED or unchanged_s >= REJECT_S:
            self.reject(name, file.why)
        else:
            self._due[name] = monotonic() + REJECT_S - unchanged_s + 0.01

    def _unreadable(self, name: bytes, why: str) -> None:
        """It stays where it is, and is told of."""
        file = self.files.setdefault(name, File((0, 0, 0, 0), monotonic(), 0))
        file.why = why

    def _forget(self, name: bytes) -> None:
        file = self.files.pop(name, None)
        self._due.pop(name, None)
        if file is not None and file.packet is not None:
            names = self.numbers.get(file.packet[0], [])
            if name in names:
                names.remove(name)
            if not names:
                self.numbers.pop(file.packet[0], None)


def header_of(stored: Stored, fd: int) -> Packet | str:
    try:
        return stored.header(fd)
    except PacketError as fault:
        return str(fault)
    except OSError as fault:
        return system_words(fault)
