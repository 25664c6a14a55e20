"""The queue's lock held by two processes at once: whoever keeps the order, and the run of the packet itself.

The original asks for `nextseq.lock` alone (exclusive, at once or not at all), so that it is refused while anybody holds a
share. Who keeps the order takes the lock alone first and turns it into a share; the packet's own process then takes a
second one. Killed singly or together, they leave the lock behind only when the last of them has ended: nothing else of
Filespooler's starts a packet beside itself.
"""

from __future__ import annotations

import fcntl
import os

from queuectl.packets.faults import FsplError, quoted, system_words


def claim(queuedir: bytes) -> int | None:
    """A share of the lock (a descriptor), where nobody else had one; None while somebody has."""
    fd = _opened(queuedir)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)  # not one step for the kernel: another may slip in between
        return fd
    except BlockingIOError:
        os.close(fd)
        return None


def share(queuedir: bytes, *, wait: bool = False) -> int | None:
    """A share beside others' shares; None while somebody has the lock alone, unless told to wait for it."""
    fd = _opened(queuedir)
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | (0 if wait else fcntl.LOCK_NB))
        return fd
    except BlockingIOError:
        os.close(fd)
        return None


def _opened(queuedir: bytes) -> int:
    path = queuedir + b"/nextseq.lock"
    try:
        return os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError as error:
        message = f"Opening lock file at {quoted(path)}; if missing, this may be an append-only queue"
        raise FsplError(message, system_words(error)) from None
