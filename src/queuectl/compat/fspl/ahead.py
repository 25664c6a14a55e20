"""The job after the one that runs, opened and read meanwhile: between two commands there is nothing else to wait for.

It counts only while its file is untouched, so that a job replaced during the run still runs as it is at its turn: same
inode, same time of change. A file changed within the last ticks of the clock could change again unnoticed, and is left
until its turn.
"""

from __future__ import annotations

import os
from time import time_ns

from queuectl.packet import PacketError
from queuectl.packets.queuedir import read_header

TYPE_CHECKING = False
if TYPE_CHECKING:
    from queuectl.packet import Packet
    from queuectl.packets.queuedir import Job, Queue

_SETTLED_NS = 50_000_000


class Ahead:
    """A job before its turn; `packet` is None where it has to be opened again."""

    __slots__ = ("_fd", "_path", "_seen", "job", "packet")

    def __init__(self, queue: Queue, job: Job) -> None:
        self.job = job
        self.packet: Packet | None = None
        self._path = queue.job_path(job.name)
        self._fd = -1
        try:
            self._fd, self._seen = queue.open(job)
            if self._seen.st_ctime_ns < time_ns() - _SETTLED_NS:
                self.packet = read_header(self._fd, job)
        except (OSError, PacketError):
            pass  # said at its turn, if it is still so

    def take(self) -> int:
        """Its descriptor, at the payload; -1 where the file is not as it was."""
        fd, self._fd = self._fd, -1
        if fd >= 0 and (self.packet is None or not self._untouched()):
            os.close(fd)
            return -1
        return fd

    def _untouched(self) -> bool:
        try:
            now = os.stat(self._path)
        except OSError:
            return False
        seen = self._seen
        return (now.st_ino, now.st_ctime_ns, now.st_dev) == (seen.st_ino, seen.st_ctime_ns, seen.st_dev)
