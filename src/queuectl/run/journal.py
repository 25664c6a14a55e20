"""The worker's journal: one line for each step of a run that the store does not know yet.

    S job run time ticks log      about to start it; ticks since boot: a process of this run began no earlier
    P job run pid start time …    it was started (pid and process start time name the process; then log offset)
    E job run status time cpu mem it ended with this wait status

Lines are written to a file as the steps happen. The page cache outlives a killed process, so that no flush is needed;
a power cut may lose lines, but then it has also ended every process. Whoever takes over from a dead worker reads its
journal and knows of each run whether it was started, is running, or how it ended. The one open `S` names the one
process that may exist without a name yet.
"""

from __future__ import annotations

import fcntl
import os
import time

from .. import files
from ..record import Record

ROTATE_BYTES = 1_000_000
TICKS_PER_S = os.sysconf("SC_CLK_TCK")


class Trace(Record):
    """What a journal says of one run."""

    job: int
    run: int
    pid: int = 0
    pid_start: int = 0  # without a pid: the process, if there is one, began no earlier
    started_us: int = 0
    log_start: int = 0
    status: int | None = None
    ended_us: int = 0
    cpu_us: int = 0
    memory_max: int = 0


def journal_path(run_folder: str, worker: int) -> str:
    return os.path.join(run_folder, f"worker-{worker}.journal")


class Journal:
    """The writing side. Each line is one `write` to an append-only descriptor."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._fd = _open(path)
        self._size = 0
        self._live: dict[tuple[int, int], Trace] = {}

    def starting(self, trace: Trace) -> None:
        trace = trace.but(pid_start=boot_ticks())
        self._note(trace, _starting_line(trace))

    def started(self, trace: Trace) -> None:
        self._note(trace, _started_line(trace))

    def ended(self, trace: Trace) -> None:
        self._note(trace, _ended_line(trace))

    def forget(self, job: int, run: int) -> None:
        """The store knows the end of this run: its lines mean nothing any more, for the job is not this worker's now.

        When nothing is open the file is emptied, when it is long it is rewritten.
        """
        if self._live.pop((job, run), None) is None:
            return
        if not self._live and self._size:
            os.ftruncate(self._fd, 0)
            self._size = 0
        elif self._size > ROTATE_BYTES:
            self._rewrite()

    def _note(self, trace: Trace, line: str) -> None:
        self._live[trace.job, trace.run] = trace
        self._append(line)

    def _append(self, line: str) -> None:
        self._size += os.write(self._fd, line.encode())

    def _rewrite(self) -> None:
        """Only what is open, in a new file that is locked before it takes the old one's name."""
        new = self.path + ".new"
        fd = _open(new, os.O_TRUNC)
        self._size = os.write(fd, "".join([_lines(trace) for trace in self._live.values()]).encode())
        os.rename(new, self.path)
        os.close(self._fd)
        self._fd = fd

    def close(self, remove: bool) -> None:
        os.close(self._fd)
        if remove:
            os.unlink(self.path)


def _open(path: str, flags: int = 0) -> int:
    """Open and lock: the lock says that the worker lives, and goes with it however it dies."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | flags, files.FILE_MODE)
    fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    return fd


def boot_ticks() -> int:
    """Now, in the unit of process start times; 0 where the system has no such clock."""
    clock = getattr(time, "CLOCK_BOOTTIME", None)
    return 0 if clock is None else int(time.clock_gettime_ns(clock) * TICKS_PER_S // 1_000_000_000)


def _starting_line(t: Trace) -> str:
    return f"S {t.job} {t.run} {t.started_us} {t.pid_start} {t.log_start}\n"


def _started_line(t: Trace) -> str:
    return f"P {t.job} {t.run} {t.pid} {t.pid_start} {t.started_us} {t.log_start}\n"


def _ended_line(t: Trace) -> str:
    return f"E {t.job} {t.run} {t.status} {t.ended_us} {t.cpu_us} {t.memory_max}\n"


def _lines(trace: Trace) -> str:
    if not trace.pid:
        return _starting_line(trace)
    return _started_line(trace) + (_ended_line(trace) if trace.status is not None else "")


def read(path: str) -> dict[tuple[int, int], Trace]:
    """What a journal says of each run that is still open in it. A torn last line says nothing."""
    try:
        with open(path, "rb") as file:
            content = file.read()
    except FileNotFoundError:
        return {}
    traces: dict[tuple[int, int], Trace] = {}
    for line in content.split(b"\n")[:-1]:
        _take(traces, line.decode("ascii", "replace").split(" "))
    return traces


def _take(traces: dict[tuple[int, int], Trace], words: list[str]) -> None:
    try:
        letter, (job, run, *numbers) = words[0], [int(word) for word in words[1:]]
    except ValueError:
        return  # not a line of ours: a damaged disk; the run counts as one that nothing is known of
    known = traces.get((job, run), Trace(job, run))
    if letter == "S" and len(numbers) == 3:
        traces[job, run] = known.but(started_us=numbers[0], pid_start=numbers[1], log_start=numbers[2])
    elif letter == "P" and len(numbers) == 4:
        traces[job, run] = known.but(pid=numbers[0], pid_start=numbers[1], started_us=numbers[2], log_start=numbers[3])
    elif letter == "E" and len(numbers) == 4:
        traces[job, run] = known.but(status=numbers[0], ended_us=numbers[1], cpu_us=numbers[2], memory_max=numbers[3])
