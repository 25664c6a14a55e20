"""What the kernel still knows of a process that somebody else has reaped (Linux 6.15 and later: PIDFD_GET_INFO)."""

from __future__ import annotations

import fcntl
import struct

INFO_EXIT = 1 << 3
# struct pidfd_info of its first version: mask, cgroup id, eleven ids, exit code; 64 bytes.
LAYOUT = struct.Struct("=QQ11Ii")
GET_INFO = (3 << 30) | (LAYOUT.size << 16) | (0xFF << 8) | 11


def exit_status(pidfd: int) -> int | None:
    """The wait status of an ended process, from a descriptor opened while it lived; None when the kernel cannot tell."""
    answer = bytearray(LAYOUT.pack(INFO_EXIT, 0, *[0] * 11, 0))
    try:
        fcntl.ioctl(pidfd, GET_INFO, answer)
    except OSError:
        return None  # an older kernel, or it is not reaped yet
    mask, *_, code = LAYOUT.unpack(answer)
    return int(code) if mask & INFO_EXIT else None
