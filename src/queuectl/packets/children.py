"""Child processes: started without a copy of this one, waited for with a limit, killed with all they started."""

from __future__ import annotations

import os

# The stub of `signal` is complete, but the module itself costs an enum and with it a start-up.
from _signal import SIGKILL, SIGPIPE, SIGSTOP, SIGXFSZ  # type: ignore[import-not-found]

from queuectl.packets.faults import FsplError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from queuectl.packets.environment import Environment


def start(
    argv: list[bytes],
    env: Environment,
    descriptors: list[tuple[int, int]],
    *,
    place: bytes = b"",
    own_group: bool = False,
) -> int:
    """Start argv[0], found at `place` or along PATH, with `descriptors` (from, to); no shell is tried in its stead."""
    actions = [(os.POSIX_SPAWN_DUP2, source, target) for source, target in descriptors if source != target]
    # Python ignores these two signals, and an ignored signal stays ignored in what it starts.
    options: dict[str, Any] = {"file_actions": actions, "setsigdef": (SIGPIPE, SIGXFSZ)}
    if own_group:
        options["setpgroup"] = 0
    try:
        if place:
            try:
                return os.posix_spawn(place, argv, env, **options)  # type: ignore[arg-type]
            except (FileNotFoundError, PermissionError):
                pass  # it was there a moment ago
        return os.posix_spawnp(argv[0], argv, env, **options)  # type: ignore[arg-type]
    except ValueError:
        raise FsplError("nul byte found in provided data") from None


def located(command: bytes) -> bytes:
    """Where along PATH a command is, so that a thousand jobs need not look for it; empty where that is not sure."""
    if not command or b"/" in command or b"\0" in command:
        return b""
    for folder in os.environb.get(b"PATH", b"").split(b":"):
        path = (folder or b".") + b"/" + command
        if os.access(path, os.X_OK) and os.path.isfile(path):
            return path
    return b""


def wait(pid: int) -> int:
    """The wait status of a child, once it has ended."""
    return os.waitpid(pid, 0)[1]


def wait_within(pid: int, timeout_s: int) -> int | None:
    """The wait status of a child; None where it has not ended after `timeout_s`."""
    from select import POLLIN, poll

    pidfd = os.pidfd_open(pid)
    ended = poll()
    ended.register(pidfd, POLLIN)
    try:
        return wait(pid) if ended.poll(min(timeout_s * 1000, (1 << 31) - 1)) else None
    finally:
        os.close(pidfd)


def kill(pid: int) -> None:
    """Kill one process that is certainly still ours."""
    os.kill(pid, SIGKILL)


def kill_tree(root: int) -> None:
    """Kill a process and its descendants; each is stopped first, so that none can start another meanwhile."""
    stopped = {root}
    os.kill(root, SIGSTOP)
    grown = True
    while grown:
        grown = False
        for pid, parent in _parents():
            if parent in stopped and pid not in stopped:
                stopped.add(pid)
                grown = True
                _signal_quietly(pid, SIGSTOP)
    for pid in stopped:
        _signal_quietly(pid, SIGKILL)


def kill_group(leader: int) -> None:
    try:
        os.killpg(leader, SIGKILL)
    except ProcessLookupError:
        pass  # all of it has ended


def _signal_quietly(pid: int, number: int) -> None:
    try:
        os.kill(pid, number)
    except (ProcessLookupError, PermissionError):
        pass  # gone, or another user's by now


def _parents() -> list[tuple[int, int]]:
    found = []
    try:
        names = os.listdir("/proc")
    except OSError:
        return []
    for name in names:
        if name.isdigit():
            try:
                with open(f"/proc/{name}/stat", "rb", buffering=0) as stat:
                    # The program's name comes before, in parentheses, and may hold anything.
                    found.append((int(name), int(stat.read().rpartition(b")")[2].split()[1])))
            except (OSError, IndexError):
                continue
    return found
