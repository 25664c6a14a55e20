"""Control groups, where systemd or an administrator has delegated one to the worker: a group for each longer run, whose
processes cannot leave it and end all at once.

Moving a process into a group is slow, so a run gets one only when it has lived for some hundredths of a second. What it
started before, and what is not its direct child, is found by session and cookie as without groups.
"""

from __future__ import annotations

import os

UNIFIED = "/sys/fs/cgroup", "/sys/fs/cgroup/unified"


def delegated() -> str | None:
    """The folder of this process's own group when it may make groups there; None when it may not."""
    own = _of(os.getpid()).get("")
    for root in UNIFIED:
        folder = root + (own or "").rstrip("/")
        if own and os.path.exists(os.path.join(folder, "cgroup.kill")) and os.access(folder, os.W_OK):
            return folder
    return None


def _of(pid: int) -> dict[str, str]:
    """The groups of a process, as paths below the root of all, by who rules there: "" is version 2."""
    try:
        with open(f"/proc/{pid}/cgroup", encoding="utf-8", errors="surrogateescape") as file:
            return dict([line.rstrip("\n").split(":", 2)[1:] for line in file])
    except OSError:
        return {}


def service_of(pid: int) -> str | None:
    """The group that systemd has given to the service whose process this is; None when it is no service's."""
    groups = _of(pid)
    return next((path for path in map(groups.get, ("", "name=systemd")) if path and path.endswith(".service")), None)


def enclose(parent: str, name: str, pid: int) -> str | None:
    """A group with this process and its children in it; None when there is no room for one, or no right to it."""
    path = os.path.join(parent, name)
    try:
        os.mkdir(path)
        for member in (pid, *children(pid)):
            with open(os.path.join(path, "cgroup.procs"), "w", encoding="ascii") as file:
                file.write(str(member))
    except FileExistsError:
        pass  # of a run that was adopted
    except OSError:
        remove(path)  # the process has ended meanwhile
        return None
    return path


def children(pid: int) -> list[int]:
    try:
        with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as file:
            return [int(word) for word in file.read().split()]
    except OSError:
        return []


def kill(path: str) -> bool:
    """End every process of the group, at once and without a way out. False when the kernel cannot (before 5.14)."""
    try:
        with open(os.path.join(path, "cgroup.kill"), "w", encoding="ascii") as file:
            file.write("1")
    except OSError:
        return False
    return True


def members(path: str) -> list[int]:
    try:
        with open(os.path.join(path, "cgroup.procs"), encoding="ascii") as file:
            return [int(line) for line in file]
    except OSError:
        return []  # it is gone, and so are they


def remove(path: str) -> None:
    try:
        os.rmdir(path)
    except OSError:
        pass  # what the run has left still lives in it, or waits to be reaped


def sweep(parent: str) -> None:
    """Remove the groups of runs that are over and empty."""
    for name in os.listdir(parent):
        if name.startswith("queuectl-"):
            remove(os.path.join(parent, name))
