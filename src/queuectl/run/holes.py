"""Bounding a log that is being written: the middle of it is given back to the file system, head and tail stay.

The writer needs no pipe and notices nothing; offsets stay what they were, so that followers go on. Readers find the
hole (`output.read_range`) and say how much was cut.
"""

from __future__ import annotations

import ctypes
import os

KEEP_SIZE, PUNCH_HOLE = 0x01, 0x02
BLOCK = 4096
LOOK_S, LOOK_S_MAX = 0.2, 1.0  # how often logs are looked at that grow fast, and those that do not
FAST_BYTES = 1_000_000  # from one look to the next
HEAD_SHARE = 8  # an eighth of what is kept is the head: how it began; the rest is how it ended

_fallocate = getattr(ctypes.CDLL(None, use_errno=True), "fallocate", None)


def size_and_room(path: str) -> tuple[int, int]:
    """How long the log is, and how much of the disk it takes."""
    try:
        facts = os.stat(path)
    except FileNotFoundError:
        return 0, 0  # somebody removed it; its writer writes to nowhere
    return facts.st_size, facts.st_blocks * 512


def is_over(size: int, room: int, start: int, limit: int) -> bool:
    """Whether a log takes more room than the limit, by a quarter: each cut is then worth its call."""
    return size - start > limit and room > limit * 5 // 4 + start


def cut_middle(path: str, start: int, limit: int) -> bool:
    """Of all after `start` keep `limit` bytes and give back the rest. False where the file system cannot."""
    if _fallocate is None:
        return False
    fd = os.open(path, os.O_WRONLY | os.O_NOFOLLOW)
    try:
        head = limit // HEAD_SHARE
        first = -(-(start + head) // BLOCK) * BLOCK
        last = (os.fstat(fd).st_size - (limit - head)) // BLOCK * BLOCK
        if last <= first:
            return True
        offset, length = ctypes.c_longlong(first), ctypes.c_longlong(last - first)
        return bool(_fallocate(fd, KEEP_SIZE | PUNCH_HOLE, offset, length) == 0)
    finally:
        os.close(fd)
