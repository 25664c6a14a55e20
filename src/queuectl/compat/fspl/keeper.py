"""The keeper holds the queue's lock for as long as a command runs, even when the process that started it is killed.

Without it a killed queue-process frees the lock at once while its command runs on, and the next queue-process
starts the same job a second time beside it. How it works:

1. before the first command the processor forks a keeper, which shares the lock's open file
2. the processor notes each command's pid in a page of shared memory, with STARTING before and IDLE after it
3. the keeper sleeps in a read of a pipe that only the processor can write to: its end is the processor's end
4. it then waits for the noted command and ends, and with it the lock
5. killed between STARTING and the pid, the keeper looks for the command by its variables in /proc

A processor that ends well says IDLE, and takes the keeper with it. QUEUECTL_FSPL_AFTER_KILL=release does without.
"""

from __future__ import annotations

import os
from mmap import mmap
from time import sleep

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

IDLE, STARTING = 0, 1
_LOOKS = 3
_PAGE_BYTES = 8192
_MARK = b"\0FSPL_JOB_FULLPATH="


class Keeper:
    """The processor's side of its keeper."""

    __slots__ = ("_page", "_pid", "_pipe")

    def __init__(self, lock: int) -> None:
        self._page = mmap(-1, _PAGE_BYTES)
        reading, self._pipe = os.pipe()
        self._pid = os.fork()
        if not self._pid:
            _keep(self._page, reading, lock)
        os.close(reading)

    def starting(self, job_path: bytes) -> None:
        """A command for this job is about to start."""
        self._page[8 : 10 + len(job_path)] = len(job_path).to_bytes(2, "little") + job_path
        self.running(STARTING)

    def running(self, pid: int) -> None:
        """This is the command; IDLE where there is none."""
        self._page[:8] = pid.to_bytes(8, "little")

    def idle(self) -> None:
        """No command runs."""
        self.running(IDLE)

    def dismiss(self) -> None:
        """Let the keeper end; returns when it has."""
        os.close(self._pipe)
        os.waitpid(self._pid, 0)


def _keep(page: mmap, processor: int, lock: int) -> NoReturn:
    try:
        _become_quiet({processor, lock})
        os.read(processor, 1)
        pid = int.from_bytes(page[:8], "little")
        if pid == STARTING:
            length = int.from_bytes(page[8:10], "little")
            for found in _running(page[10 : 10 + length]):
                _outlast(found)
        elif pid != IDLE:
            _outlast(pid)
    finally:
        os._exit(0)


def _become_quiet(keep: set[int]) -> None:
    """Outlive what ends the processor, and hold no descriptor that somebody may wait on."""
    from _signal import SIG_IGN, SIGHUP, SIGINT, SIGQUIT, SIGTERM, signal  # type: ignore[import-not-found]

    for number in (SIGHUP, SIGINT, SIGQUIT, SIGTERM):
        signal(number, SIG_IGN)
    null = os.open("/dev/null", os.O_RDWR)
    for fd in (0, 1, 2):
        os.dup2(null, fd)
    first = 3
    for fd in (*sorted(keep), os.sysconf("SC_OPEN_MAX")):
        os.closerange(first, fd)
        first = fd + 1
    try:
        # Not the processor's name, or `killall` of that would free the lock.
        with open("/proc/self/comm", "wb", buffering=0) as comm:
            comm.write(b"queue-lock")
    except OSError:
        pass  # only a name


def _outlast(pid: int) -> None:
    from select import POLLIN, poll

    try:
        pidfd = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    ended = poll()
    ended.register(pidfd, POLLIN)
    ended.poll()
    os.close(pidfd)


def _running(job_path: bytes) -> set[int]:
    """Processes that carry the job's path among their variables; looked for again, as one may be just about to start."""
    found: set[int] = set()
    for _ in range(_LOOKS):
        for name in os.listdir("/proc"):
            try:
                with open(f"/proc/{name}/environ", "rb", buffering=0) as block:
                    if _MARK + job_path + b"\0" in b"\0" + block.read():
                        found.add(int(name))
            except (OSError, ValueError):
                continue
        sleep(0.02)
    return found
