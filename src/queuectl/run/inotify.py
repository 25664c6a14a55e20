"""Linux's news of folders, through ctypes: what was closed, renamed, made, removed; one descriptor for any number of them."""

from __future__ import annotations

import ctypes
import os
from struct import Struct

CLOSE_WRITE, MOVED_FROM, MOVED_TO, CREATE, DELETE = 0x08, 0x40, 0x80, 0x100, 0x200
DELETE_SELF, MOVE_SELF, OVERFLOW, IGNORED = 0x400, 0x800, 0x4000, 0x8000
_NONBLOCK, _CLOEXEC = os.O_NONBLOCK, os.O_CLOEXEC
_EVENT = Struct("iIII")
_READ_BYTES = 1 << 16

libc = ctypes.CDLL(None, use_errno=True)


class Inotify:
    """`fd` is readable when there is news. Raises OSError where the system has none to give."""

    def __init__(self) -> None:
        try:
            self.fd = _checked(libc.inotify_init1(_NONBLOCK | _CLOEXEC))
        except AttributeError:
            raise OSError(0, "this system has no inotify") from None

    def watch(self, path: bytes, mask: int) -> int:
        """The number under which events of this folder come. Raises OSError, also when there are too many."""
        return _checked(libc.inotify_add_watch(self.fd, path, mask))

    def forget(self, watch: int) -> None:
        libc.inotify_rm_watch(self.fd, watch)

    def news(self) -> list[tuple[int, int, bytes]]:
        """(watch, mask, name in the folder) of what has happened so far."""
        try:
            block = os.read(self.fd, _READ_BYTES)
        except BlockingIOError:
            return []
        found = []
        at = 0
        while at < len(block):
            watch, mask, _, length = _EVENT.unpack_from(block, at)
            at += _EVENT.size
            found.append((watch, mask, block[at : at + length].rstrip(b"\0")))
            at += length
        return found


def _checked(result: int) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result
