"""Ends what a test run has started and left behind, by pid: keepers, workers, jobs, browsers of this run alone.

Run as a program it is the run's guard: it waits at a pipe whose other end dies with the run, however that dies. A
PostgreSQL server has a guard of its own, because it must be stopped in order.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
import time
from pathlib import Path

ENOUGH_S = 10.0
# Where a person's own shell may stand, looking at what a test has written.
PLACES = (b"PWD=", b"OLDPWD=", b"_=")


def marked(*marks: bytes) -> list[int]:
    """The living processes in whose environment one of these texts stands; not this one."""
    pids = [int(name) for name in os.listdir("/proc") if name.isdigit() and int(name) != os.getpid()]
    return [pid for pid in pids if _is_marked(pid, marks)]


def _is_marked(pid: int, marks: tuple[bytes, ...]) -> bool:
    try:
        environ = Path(f"/proc/{pid}/environ").read_bytes()
        if not any(mark in environ for mark in marks) or Path(f"/proc/{pid}/comm").read_bytes() == b"postgres\n":
            return False
    except OSError:  # it has ended, or is another user's
        return False
    lines = [line + b"\0" for line in environ.split(b"\0") if not line.startswith(PLACES)]
    return any(mark in line for line in lines for mark in marks)


def end(*marks: bytes) -> list[str]:
    """Kill them, and whom they start meanwhile; returns the command lines of those that were there at first."""
    first = [_command(pid) for pid in marked(*marks)]
    until, quiet = time.monotonic() + ENOUGH_S, 0
    while quiet < 3 and time.monotonic() < until:  # who is just taking another's place cannot be seen
        left = marked(*marks)
        quiet = 0 if left else quiet + 1
        for pid in left:
            try:
                os.kill(pid, signal.SIGKILL)
            except OSError:
                pass
        time.sleep(0.01)
    return first


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ")[:200].decode(errors="replace")
    except OSError:
        return f"process {pid}"


def main() -> None:
    """The marks, a line each; then the end of the pipe. Folders of the run whose names begin with a mark go too."""
    marks = sys.stdin.buffer.read().splitlines()
    end(*marks)
    for mark in map(os.fsdecode, marks):
        for path in Path(mark).parent.glob(Path(mark).name + "*") if not mark.endswith("/") else ():
            shutil.rmtree(path, ignore_errors=True)


if __name__ == "__main__":
    main()
