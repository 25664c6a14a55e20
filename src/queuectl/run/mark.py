"""A number that every process of a run carries, whatever it does: how a process without a name is known for a run's.

The worker sets it on itself before each start, and what is started inherits it: through `fork` and `exec`, into another
session, with a cleaned environment, still as a zombie that only waits to be reaped. It stands in a limit that has meant
nothing since Linux 2.4, that of file locks, whose soft value everybody may set. Where a process is started that is no
job's, nothing is marked: see `begin`.
"""

from __future__ import annotations

import resource

LOCKS = 10  # RLIMIT_LOCKS, which Python does not name
LEAST = 1 << 62  # no limit that means something is so large
LINE = b"\nMax file locks "

_hard: int | None = None  # the limit's hard value, above which the soft one cannot be; None: this process marks nothing


def of(cookie: bytes) -> int:
    """The mark of a run; its cookie is "store:job:run".

    >>> hex(of(b"c0ffee1234567890:85:2"))
    '0x703ffb8000005502'
    """
    store, job, run = cookie.split(b":")
    return LEAST | int(store[:6], 16) << 38 | (int(job) & 0x3FFFFFFF) << 8 | (int(run) & 0xFF)


def begin() -> None:
    """From here on this process starts jobs and nothing else."""
    global _hard
    try:
        _hard = resource.getrlimit(LOCKS)[1]
    except (ValueError, OSError):
        _hard = None  # another system


def put(mark: int) -> int:
    """Whatever is started from here on carries it. Returns it, or 0 where that cannot be."""
    if _hard is None:
        return 0
    try:
        resource.setrlimit(LOCKS, (mark, _hard))
    except (ValueError, OSError):
        return 0  # a sandbox, or somebody has lowered the limit
    return mark


def clear() -> None:
    """Before this process becomes one that starts other things."""
    if _hard is not None:
        put(_hard)


def on(pid: int) -> int:
    """The mark that a process carries, ended or not; 0 when it has none or is gone."""
    try:
        with open(f"/proc/{pid}/limits", "rb") as file:
            word = file.read().partition(LINE)[2].split(None, 1)[0]
    except (FileNotFoundError, ProcessLookupError, PermissionError, IndexError):
        return 0
    return int(word) if word.isdigit() and int(word) >= LEAST else 0
