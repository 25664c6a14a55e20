"""Room set aside behind the end of a file, so that what must be written can be written on a full disk."""

from __future__ import annotations

import ctypes

KEEP_SIZE = 1
_libc = ctypes.CDLL(None)


def reserve(fd: int, size: int) -> None:
    """Best effort: a file system without it, or a full one, gives none."""
    if hasattr(_libc, "fallocate"):
        _libc.fallocate(fd, KEEP_SIZE, ctypes.c_longlong(0), ctypes.c_longlong(size))
