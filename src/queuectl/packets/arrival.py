"""Whether a file is whole: a packet does not say how long it is, so what is known of its writer decides.

It was renamed into place or closed; or nothing about it has changed for SETTLED_S. In any case nobody on this machine
has it open for writing, as far as the system can tell.
"""

from __future__ import annotations

import errno
import fcntl
import os

SETTLED_S = 2.0

Facts = tuple[int, int, int, int]


def facts_of(found: os.stat_result) -> Facts:
    """What changes when a file does."""
    return found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


def is_being_written(fd: int) -> bool:
    """Whether somebody here has the file open for writing: only where nobody has may it be leased for reading.

    False too where the system cannot say (another owner's file, a network). Who opens the file for writing while it is
    leased is told to wait by a signal to us, SIGIO, for the microsecond that this takes.
    """
    try:
        fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_RDLCK)
    except OSError as fault:
        return fault.errno == errno.EAGAIN
    fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    return False
