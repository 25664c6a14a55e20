"""What the worker needs of the operating system, in two kinds.

Linux: a pidfd for each process, epoll, posix_spawn that lets other threads run. Elsewhere, or with QUEUECTL_PORTABLE
set: `subprocess`, poll, and a look at each child every some hundredths of a second. The same tests run over both.
"""

from __future__ import annotations

import os
import resource
import select
import sys

from ..record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .spawn import Launch

PORTABLE = bool(os.environ.get("QUEUECTL_PORTABLE")) or not (hasattr(os, "pidfd_open") and hasattr(select, "epoll"))
libc: Any = None
if not PORTABLE:
    from . import libc
MAXRSS_UNIT = 1 if sys.platform == "darwin" else 1024
LOOK_S = 0.02  # how often children are looked at that have no descriptor


def spawn(path: bytes, argv: tuple[bytes, ...], launch: Launch) -> int:
    """Start the program in a session of its own; returns its pid. Raises OSError, also for a failed exec."""
    return _portable_spawn(path, argv, launch) if libc is None else libc.posix_spawn(path, argv, launch)


def _portable_spawn(path: bytes, argv: tuple[bytes, ...], launch: Launch) -> int:
    import subprocess

    environment = dict(entry.split(b"=", 1) for entry in (*launch.env.entries, *launch.own))
    with open(launch.stdin, "rb") as stdin:
        child = subprocess.Popen(
            argv,
            executable=path,
            env=environment,
            stdin=stdin,
            stdout=launch.stdout,
            stderr=launch.stderr,
            start_new_session=True,
        )
    child.returncode = 0  # its end is collected by pid; the object has nothing left to do
    return child.pid


def watch(pid: int) -> int:
    """A descriptor that is readable when the process has ended; -1 where it must be looked at. Raises ProcessLookupError."""
    return -1 if PORTABLE else os.pidfd_open(pid)


class Poll:
    """Descriptors to wait on."""

    def __init__(self) -> None:
        self._poll = select.poll() if PORTABLE else select.epoll()

    def register(self, fd: int) -> None:
        self._poll.register(fd, select.POLLIN)

    def unregister(self, fd: int) -> None:
        self._poll.unregister(fd)

    def wait(self, timeout_s: float) -> list[int]:
        """The descriptors that are ready, after at most so many seconds."""
        # poll counts milliseconds, epoll seconds; both must not wake before the moment.
        found = self._poll.poll(timeout_s * 1000 + 1 if PORTABLE else timeout_s)
        return [fd for fd, _ in found]

    def close(self) -> None:
        if not PORTABLE:
            self._poll.close()  # type: ignore[union-attr]


def pipe() -> tuple[int, int]:
    """Both ends close-on-exec and never blocking."""
    ends = os.pipe()
    for end in ends:
        os.set_blocking(end, False)
    return ends


class Seen(Record):
    """The end of a child. Where the system can, it stays a zombie, so that its end can be written down before it is gone."""

    status: int  # as wait tells it
    used: tuple[int, int] | None  # processor time in microseconds, largest size in bytes; None: `reap` will tell
    is_zombie: bool


def look_at_end(pid: int) -> Seen | None:
    """How a child has ended; None while it runs."""
    if libc is not None:
        try:
            told = libc.look_at_end(pid)
            return None if told is None else Seen(wait_status(told[0], told[1]), told[2:], True)
        except OSError:
            pass  # another kind of machine, a sandbox
    if hasattr(os, "waitid"):
        found = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        return None if found is None else Seen(wait_status(found.si_code, found.si_status), None, True)
    gone, status, usage = os.wait4(pid, os.WNOHANG)
    return Seen(status, _used(usage), False) if gone else None


def reap(pid: int) -> tuple[int, int]:
    """Give a zombie's number back; returns its processor time in microseconds and its largest size in bytes."""
    _, _, usage = os.wait4(pid, 0)
    return _used(usage)


def _used(usage: resource.struct_rusage) -> tuple[int, int]:
    return round((usage.ru_utime + usage.ru_stime) * 1e6), usage.ru_maxrss * MAXRSS_UNIT


def wait_status(code: int, status: int) -> int:
    """A wait status from what waitid tells."""
    return status << 8 if code == os.CLD_EXITED else status
