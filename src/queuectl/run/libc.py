"""posix_spawn and waitid through ctypes: the one lets other threads run while the child comes up, the other tells a
zombie's usage before it is reaped. `os` has both without.

On a busy worker the committer's thread lives from what a spawn waits: it takes longer than all else of a short job.
Every other call here is over in a microsecond and keeps the interpreter's lock: to give it up costs more.
"""

from __future__ import annotations

import ctypes
import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .spawn import Launch

SETSIGDEF, SETSIGMASK, SETSID = 0x04, 0x08, 0x80  # glibc and musl
OPAQUE_BYTES = 512  # more than any libc's attribute, action list or signal set takes
ACTIONS_MAX = 64
WAITID = {"x86_64": 247, "aarch64": 95, "riscv64": 95}.get(os.uname().machine)  # the system call's number

_waiting = ctypes.CDLL(None, use_errno=True)
_quick = ctypes.PyDLL(None, use_errno=True)


class _Seen(ctypes.Structure):
    """siginfo_t as waitid fills it on 64-bit machines."""

    _fields_ = (
        *(("signo", ctypes.c_int), ("fault", ctypes.c_int), ("code", ctypes.c_int), ("gap", ctypes.c_int)),
        *(("pid", ctypes.c_int), ("uid", ctypes.c_int), ("status", ctypes.c_int), ("rest", ctypes.c_char * 100)),
    )


class _Usage(ctypes.Structure):
    """The beginning of struct rusage."""

    _fields_ = (
        *(("user_s", ctypes.c_long), ("user_us", ctypes.c_long), ("system_s", ctypes.c_long), ("system_us", ctypes.c_long)),
        *(("maxrss_kb", ctypes.c_long), ("rest", ctypes.c_long * 13)),
    )


def _attributes() -> ctypes.Array[ctypes.c_char]:
    """A session of its own, no signal blocked, none ignored."""
    attributes, none, every = (ctypes.create_string_buffer(OPAQUE_BYTES) for _ in range(3))
    _quick.posix_spawnattr_init(attributes)
    _quick.posix_spawnattr_setflags(attributes, ctypes.c_short(SETSID | SETSIGMASK | SETSIGDEF))
    _quick.sigemptyset(none)
    _quick.sigfillset(every)
    _quick.posix_spawnattr_setsigmask(attributes, none)
    _quick.posix_spawnattr_setsigdefault(attributes, every)
    return attributes


_ATTRIBUTES = _attributes()
_actions: dict[tuple[str, int, int], ctypes.Array[ctypes.c_char]] = {}
_seen, _usage, _pid = _Seen(), _Usage(), ctypes.c_int()
_seen_at, _usage_at, _pid_at = ctypes.byref(_seen), ctypes.byref(_usage), ctypes.byref(_pid)


def posix_spawn(path: bytes, argv: tuple[bytes, ...], launch: Launch) -> int:
    """Start the program; returns its pid. Raises OSError: glibc reports a failed exec as the call's own error."""
    actions = _actions_for(launch.stdin, launch.stdout, launch.stderr)
    arguments = (ctypes.c_char_p * (len(argv) + 1))(*argv, None)
    fault = _waiting.posix_spawn(_pid_at, path, actions, _ATTRIBUTES, arguments, _environment(launch))
    if fault:
        raise OSError(fault, os.strerror(fault), os.fsdecode(path))
    return _pid.value


def _environment(launch: Launch) -> ctypes.Array[ctypes.c_char_p]:
    """The array that execve takes: made once for all jobs that share an environment, but for its last places. Jobs have more
    or fewer entries of their own, by their kind."""
    shared = launch.env
    array: ctypes.Array[ctypes.c_char_p] | None = shared.array
    end = len(shared.entries) + len(launch.own)
    if array is None or len(array) <= end:
        array = shared.array = (ctypes.c_char_p * (end + 1))(*shared.entries)
    for place, entry in enumerate(launch.own, len(shared.entries)):
        array[place] = entry
    array[end] = None
    return array


def _actions_for(stdin: str, out: int, err: int) -> ctypes.Array[ctypes.c_char]:
    """What the child does with its descriptors. The same few come again and again."""
    key = (stdin, out, err)
    known = _actions.get(key)
    if known is not None:
        return known
    if len(_actions) >= ACTIONS_MAX:
        for old in _actions.values():
            _quick.posix_spawn_file_actions_destroy(old)
        _actions.clear()
    actions = _actions[key] = ctypes.create_string_buffer(OPAQUE_BYTES)
    _quick.posix_spawn_file_actions_init(actions)
    _quick.posix_spawn_file_actions_addopen(actions, 0, os.fsencode(stdin), os.O_RDONLY, 0)
    _quick.posix_spawn_file_actions_adddup2(actions, out, 1)
    _quick.posix_spawn_file_actions_adddup2(actions, err, 2)
    return actions


def look_at_end(pid: int) -> tuple[int, int, int, int] | None:
    """(si_code, si_status, processor time in microseconds, largest size in bytes) of a child that has ended and stays a
    zombie; None while it runs. Raises OSError, also where the system call is not known."""
    if WAITID is None:
        raise OSError(38, os.strerror(38))
    _seen.pid = 0
    flags = os.WEXITED | os.WNOHANG | os.WNOWAIT
    if _quick.syscall(WAITID, os.P_PID, pid, _seen_at, flags, _usage_at) < 0:
        fault = ctypes.get_errno()
        raise OSError(fault, os.strerror(fault))
    if not _seen.pid:
        return None
    cpu_us = (_usage.user_s + _usage.system_s) * 1_000_000 + _usage.user_us + _usage.system_us
    return _seen.code, _seen.status, cpu_us, _usage.maxrss_kb * 1024
