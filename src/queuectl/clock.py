"""Where the time and the facts of this machine come from; everything pure gets them as arguments."""

from __future__ import annotations

import os
import time
from time import clock_gettime_ns, time_ns

LOOK_US = 50_000  # two clocks that were read further apart tell nothing of each other
CLOCK_BOOTTIME = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)  # Linux alone has a clock that counts sleep


_server_boot_us: int | None = None  # when this machine's boot was by the clock of the server we work with
TICKS_S = os.sysconf("SC_CLK_TCK")
FORKED_ONLY = 0x40  # in the flags of a process, since Linux has them


def now_us() -> int:
    """Wall-clock microseconds since 1970; the server's, once this process works on a store that machines share."""
    return time_ns() // 1000 if _server_boot_us is None else since_boot_us() + _server_boot_us


def since_boot_us() -> int:
    """Microseconds since boot, sleep included; whoever sets the clock does not change them."""
    return clock_gettime_ns(CLOCK_BOOTTIME) // 1000


def follow_server(server_us: int, boot_us: int) -> None:
    """From here on the time is the server's, which said so at that moment since boot: machines whose clocks differ agree."""
    global _server_boot_us
    _server_boot_us = server_us - boot_us


def boot_offset_us() -> int:
    """Wall clock less the clock that runs since boot, sleep included: it changes only when somebody sets the clock."""
    while True:
        before = since_boot_us()
        offset = time_ns() // 1000 - before
        if since_boot_us() - before < LOOK_US:  # else the machine slept, or we were kept waiting, between two looks
            return offset


def boot_id() -> str:
    """A text that changes with each boot; empty where the system has none."""
    try:
        with open("/proc/sys/kernel/random/boot_id", "rb") as file:
            return file.read().decode().strip()
    except FileNotFoundError:  # any other trouble is raised: "another boot" would end the watch over all that runs
        return ""


def host() -> str:
    """What this machine is called, in a store that several share."""
    return os.uname().nodename or "here"


def pid_namespace() -> int:
    """Containers may share a boot id; their process numbers mean nothing to each other."""
    try:
        return os.stat("/proc/self/ns/pid").st_ino
    except FileNotFoundError:
        return 0


def boot_ticks() -> int:
    """Now, in the unit of process start times: clock ticks since boot."""
    return clock_gettime_ns(CLOCK_BOOTTIME) * TICKS_S // 1_000_000_000


def process_start(pid: int) -> int:
    """When the process began, in clock ticks since boot: with the pid it names one process. 0 when there is none."""
    fields = _stat(pid)
    return int(fields[19]) if fields else 0


def has_run_nothing(pid: int) -> bool:
    """Whether a process has not come through an `exec`: it does, or did, what its parent was doing."""
    fields = _stat(pid)
    return bool(fields) and bool(int(fields[6]) & FORKED_ONLY)


def is_alive(pid: int, start: int) -> bool:
    """True while the very process that was recorded exists, zombies excepted."""
    fields = _stat(pid)
    if not fields and not os.path.isdir("/proc/self"):
        return _answers(pid)
    return bool(fields) and int(fields[19]) == start and fields[0] not in (b"Z", b"X")


def _answers(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass  # another user's
    return True


def _stat(pid: int) -> list[bytes]:
    """The fields after the name; empty when there is no such process. Raises OSError when the system cannot say (no
    descriptor left, no memory): taken for "it is dead", that would start a second run beside the first."""
    try:
        fd = os.open(f"/proc/{pid}/stat", os.O_RDONLY)
        try:
            stat = os.read(fd, 1024)
        finally:
            os.close(fd)
    except (FileNotFoundError, ProcessLookupError):
        return []
    # The name, in parentheses, may hold anything, ")" too: count from the last one. Field 22 is the start time.
    return stat[stat.rindex(b")") + 2 :].split(None, 20)
