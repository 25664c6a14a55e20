"""Where the time and the facts of this machine come from; everything pure gets them as arguments."""

from __future__ import annotations

import os
from time import CLOCK_BOOTTIME, clock_gettime_ns, time_ns


def now_us() -> int:
    """Wall-clock microseconds since 1970."""
    return time_ns() // 1000


def boot_offset_us() -> int:
    """Wall clock less the clock that runs since boot, sleep included: it changes only when somebody sets the clock."""
    return now_us() - clock_gettime_ns(CLOCK_BOOTTIME) // 1000


def boot_id() -> str:
    """A text that changes with each boot; empty where the system has none."""
    try:
        with open("/proc/sys/kernel/random/boot_id", "rb") as file:
            return file.read().decode().strip()
    except OSError:
        return ""


def pid_namespace() -> int:
    """Containers may share a boot id; their process numbers mean nothing to each other."""
    try:
        return os.stat("/proc/self/ns/pid").st_ino
    except OSError:
        return 0


def process_start(pid: int) -> int:
    """When the process began, in clock ticks since boot: with the pid it names one process. 0 when there is none."""
    try:
        fd = os.open(f"/proc/{pid}/stat", os.O_RDONLY)
    except OSError:
        return 0
    try:
        stat = os.read(fd, 1024)
    except OSError:
        return 0
    finally:
        os.close(fd)
    # The name, in parentheses, may hold anything, ")" too: count from the last one. Field 22 is the start time.
    return int(stat[stat.rindex(b")") + 2 :].split(None, 20)[19])


def is_alive(pid: int, start: int) -> bool:
    """True while the very process that was recorded exists, zombies excepted."""
    try:
        fd = os.open(f"/proc/{pid}/stat", os.O_RDONLY)
    except OSError:
        return False
    try:
        stat = os.read(fd, 1024)
    except OSError:
        return False
    finally:
        os.close(fd)
    fields = stat[stat.rindex(b")") + 2 :].split(None, 20)
    return int(fields[19]) == start and fields[0] not in (b"Z", b"X")
