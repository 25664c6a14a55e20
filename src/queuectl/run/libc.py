"""posix_spawn through ctypes: unlike `os.posix_spawn` it lets other threads run while the child comes up.

On a busy worker that is what the committer's thread lives from: a spawn takes longer than all else of a short job.
"""

from __future__ import annotations

import ctypes
import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .spawn import Launch

SETSIGDEF, SETSIGMASK, SETSID = 0x04, 0x08, 0x80  # glibc and musl
OPAQUE_BYTES = 512  # more than any libc's attribute, action list or signal set takes

_libc = ctypes.CDLL(None, use_errno=True)


def _attributes() -> ctypes.Array[ctypes.c_char]:
    """A session of its own, no signal blocked, none ignored."""
    attributes, none, every = (ctypes.create_string_buffer(OPAQUE_BYTES) for _ in range(3))
    _libc.posix_spawnattr_init(attributes)
    _libc.posix_spawnattr_setflags(attributes, ctypes.c_short(SETSID | SETSIGMASK | SETSIGDEF))
    _libc.sigemptyset(none)
    _libc.sigfillset(every)
    _libc.posix_spawnattr_setsigmask(attributes, none)
    _libc.posix_spawnattr_setsigdefault(attributes, every)
    return attributes


_ATTRIBUTES = _attributes()


def posix_spawn(path: bytes, argv: tuple[bytes, ...], launch: Launch) -> int:
    """Start the program; returns its pid. Raises OSError: glibc reports a failed exec as the call's own error."""
    actions = ctypes.create_string_buffer(OPAQUE_BYTES)
    _libc.posix_spawn_file_actions_init(actions)
    try:
        _libc.posix_spawn_file_actions_addopen(actions, 0, os.fsencode(launch.stdin), os.O_RDONLY, 0)
        _libc.posix_spawn_file_actions_adddup2(actions, launch.stdout, 1)
        _libc.posix_spawn_file_actions_adddup2(actions, launch.stderr, 2)
        pid = ctypes.c_int()
        fault = _libc.posix_spawn(ctypes.byref(pid), path, actions, _ATTRIBUTES, _texts(argv), _texts(launch.env))
    finally:
        _libc.posix_spawn_file_actions_destroy(actions)
    if fault:
        raise OSError(fault, os.strerror(fault), os.fsdecode(path))
    return pid.value


def _texts(values: tuple[bytes, ...] | list[bytes]) -> ctypes.Array[ctypes.c_char_p]:
    return (ctypes.c_char_p * (len(values) + 1))(*values, None)
