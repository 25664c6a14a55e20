"""A command line can be read by everybody on the machine (`ps`): what of ours is secret is struck out of it.

The kernel shows the very bytes in our memory where it put the arguments; written over, they are gone. For the moment until
then, the first hundredths of a second of a program, nothing helps but not to give a secret as an argument.
"""

from __future__ import annotations

import os

ARG_START, ARG_END = 45, 46  # of /proc/self/stat, counted from the field after the name


def hide(secret: str) -> bool:
    """Strike a secret out of this process's command line. False where the system does not say where it is."""
    if not secret:
        return True
    import ctypes

    try:
        with open("/proc/self/stat", "rb") as file:
            stat = file.read()
        fields = stat[stat.rindex(b")") + 2 :].split()
        start, end = int(fields[ARG_START]), int(fields[ARG_END])
    except (OSError, IndexError, ValueError):
        return False
    wanted, line = os.fsencode(secret), ctypes.string_at(start, end - start) if start else b""
    at = line.find(wanted)
    while at >= 0:
        ctypes.memset(start + at, ord("x"), len(wanted))
        at = line.find(wanted, at + len(wanted))
    return bool(start)
