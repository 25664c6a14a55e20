"""The worker's journal: one line for each step of a run that the store does not know yet.

    K pid start                     the keeper of this worker
    S job run time ticks offset mark about to start it (wall clock; clock ticks since boot; where its output begins; what
                                    its process will carry, see `mark`)
    N job run                       the system refused: nothing was started
    P job run pid start time offset it was started (pid and process start time name the process)
    T job run reason                its tree is being ended, and why
    E job run status time cpu mem   it ended with this wait status, and what it used; again where that is known once reaped
    C job run time offset           a call is about to be sent: from here on its target may have read it; again with
                                    the offset when its answer has begun and is long
    O job run bytes                 its answer so far is this, header and all, in hexadecimal, and stands nowhere else
    A job run said time final not-before offset end  how the call ended: a reason of `answers`, where its output is

Lines are written to a file as the steps happen. The page cache outlives a killed process, so that no flush is needed;
a power cut may lose lines, but then it has also ended every process. Whoever takes over from a dead worker reads its
journal and knows of each run whether it was started, is running, or how it ended. The one open `S` names the one
process that may exist without a name yet.

The file has room set aside, so that on a full disk what runs can still be recorded. A line is written whole or not at
all: the numbers of a torn one could mean another run.
"""

from __future__ import annotations

import fcntl
import os

from .. import files
from ..record import Record
from .room import reserve

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Container
    from typing import Any

RESERVE_BYTES = 256_000
EMPTY_BYTES = 128_000  # emptied when nothing is open and it is larger
ROTATE_BYTES = 1_000_000
REASONS = ("", "timeout", "cancelled", "stopped", "output limit", "store lost")
# Those that are no end of the job: it goes back, and the history says why.
GIVEN_BACK = {"stopped": "ended by 'worker stop --now'", "store lost": "ended, for its worker could not reach the store"}


class Trace(Record):
    """What a journal says of one run."""

    job: int
    run: int
    pid: int = 0
    pid_start: int = 0  # without a pid: the process did not begin before; 0: nothing was started
    started_us: int = 0
    log_start: int = 0
    status: int | None = None
    ended_us: int = 0
    cpu_us: int = 0
    memory_max: int = 0
    stopped_for: int = 0  # index of REASONS
    mark: int = 0  # what its process carries; 0: it could not be marked
    sent: int = 0  # a call that may have been sent
    said: int = -1  # how it ended, as `answers.said` has it; below zero: nobody knows
    final: int = 0
    not_before_us: int = 0
    log_end: int = 0
    kept: bytes = b""  # the log of an answered call, where that is not a file


class Book(Record):
    """What a journal says: of its worker's keeper, and of each run."""

    keeper: tuple[int, int]  # pid and start time; zeros: it had none
    traces: dict[tuple[int, int], Trace]


def journal_path(run_folder: str, worker: int) -> str:
    return os.path.join(run_folder, f"worker-{worker}.journal")


def commits_path(path: str) -> str:
    """Beside a journal: what is locked as long as a process of its own commits for its worker (`apart`)."""
    return path.removesuffix(".journal") + ".commits"


class Journal:
    """The writing side. Each line is one `write` to an append-only descriptor. Raises OSError when the disk is full."""

    def __init__(self, path: str, keeper: tuple[int, int] = (0, 0)) -> None:
        self.path = path
        self._fd = _open(path)
        os.ftruncate(self._fd, 0)  # a worker with this number wrote here before a backup was restored: that is not ours
        self._size = 0
        self._unwritten: list[str] = []
        self._live: dict[tuple[int, int], Trace] = {}
        self._head = f"K {keeper[0]} {keeper[1]}\n"
        self._append(self._head)

    def starting(self, trace: Trace) -> None:
        self._note(trace, _starting_line(trace))

    def not_started(self, job: int, run: int) -> None:
        self._note(Trace(job, run), f"N {job} {run}\n")

    def started(self, trace: Trace) -> None:
        self._note(trace, _started_line(trace) + _stopped_line(trace))

    def stopping(self, trace: Trace) -> None:
        self._note(trace, _stopped_line(trace))

    def ended(self, trace: Trace) -> None:
        """Written with the next line, or by `flush`: until then the process must not be reaped."""
        self._live[trace.job, trace.run] = trace
        self._unwritten.append(_ended_line(trace))

    def flush(self) -> None:
        if self._unwritten:
            self._append("")

    def calling(self, trace: Trace) -> Trace:
        """Written with the next line, or by `flush`: until then the call must not be sent."""
        trace = self._live[trace.job, trace.run] = trace if trace.sent else trace.but(sent=1)
        self._unwritten.append(_calling_line(trace))
        return trace

    def answered(self, trace: Trace) -> None:
        """Written with the next line, or by `flush`: until then the call counts as cut."""
        self._live[trace.job, trace.run] = trace
        self._unwritten.append(_answered_line(trace))

    def forget(self, job: int, run: int) -> None:
        """The store knows the end of this run: its lines mean nothing any more, for the job is not this worker's now.

        When nothing is open the file is emptied, when it is long it is rewritten.
        """
        if self._live.pop((job, run), None) is None:
            return
        if self._size > ROTATE_BYTES or (self._size > EMPTY_BYTES and not self._live):
            self._rewrite()

    def _note(self, trace: Trace, line: str) -> None:
        self._live[trace.job, trace.run] = trace
        self._append(line)

    def _append(self, line: str) -> None:
        text = "".join([*self._unwritten, line])
        written = os.write(self._fd, text.encode())
        if written < len(text):
            os.ftruncate(self._fd, self._size)
            raise OSError(28, os.strerror(28), self.path)
        self._size += written
        self._unwritten.clear()

    def _rewrite(self) -> None:
        """Only what is open, in a new file that is locked before it takes the old one's name."""
        new = self.path + ".new"
        content = (self._head + "".join([_lines(trace) for trace in self._live.values()])).encode()
        try:
            fd = _open(new, os.O_TRUNC)
        except OSError:
            return  # no room, no descriptor: the old one goes on
        try:
            whole = os.write(fd, content) == len(content)
            if whole:
                os.rename(new, self.path)
        except OSError:
            whole = False
        os.close(self._fd if whole else fd)
        if whole:
            self._fd, self._size = fd, len(content)
            self._unwritten.clear()  # they are in what was written

    def outlives_exec(self, yes: bool) -> None:
        """Whether its lock stays until the next program closes what it was given."""
        os.set_inheritable(self._fd, yes)

    def close(self, remove: bool) -> None:
        os.close(self._fd)
        if remove:
            os.unlink(self.path)


def _open(path: str, flags: int = 0) -> int:
    """Open and lock: the lock says that the worker lives, and goes with it however it dies. A child that is not yet
    through its `exec` holds it too: whoever gets the lock finds no process that still looks like the worker."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | flags, files.FILE_MODE)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(fd)
        raise
    reserve(fd, RESERVE_BYTES)
    return fd


def _starting_line(t: Trace) -> str:
    return f"S {t.job} {t.run} {t.started_us} {t.pid_start} {t.log_start} {t.mark}\n"


def _started_line(t: Trace) -> str:
    return f"P {t.job} {t.run} {t.pid} {t.pid_start} {t.started_us} {t.log_start}\n"


def _stopped_line(t: Trace) -> str:
    return f"T {t.job} {t.run} {t.stopped_for}\n" if t.stopped_for else ""


def _ended_line(t: Trace) -> str:
    return f"E {t.job} {t.run} {t.status} {t.ended_us} {t.cpu_us} {t.memory_max}\n"


def _calling_line(t: Trace) -> str:
    return f"C {t.job} {t.run} {t.started_us} {t.log_start}\n"


def _answered_line(t: Trace) -> str:
    kept = f"O {t.job} {t.run} {t.kept.hex()}\n" if t.kept else ""
    return f"{kept}A {t.job} {t.run} {t.said} {t.ended_us} {t.final} {t.not_before_us} {t.log_start} {t.log_end}\n"


def _lines(trace: Trace) -> str:
    if trace.sent:
        return _calling_line(trace) + (_answered_line(trace) if trace.said >= 0 else "")
    began = _started_line(trace) if trace.pid else _starting_line(trace)
    return began + _stopped_line(trace) + (_ended_line(trace) if trace.status is not None else "")


def read(path: str, wanted: Container[tuple[int, int]] | None = None) -> Book:
    """What a journal says; with `wanted`, of these runs and of those that are open. A torn last line says nothing.

    Line by line, and what nobody wants to know is not kept: of most runs a long journal tells that they ended.
    """
    book = Book((0, 0), {})
    try:
        file = open(path, "rb")  # noqa: SIM115 - closed below
    except FileNotFoundError:
        return book
    opened = (0, 0)
    with file:
        for line in files.whole_lines(file):
            try:
                letter, first, second, *numbers = line.decode("ascii", "replace").split()
                key, values = (int(first), int(second)), [bytes.fromhex(n) if letter == "O" else int(n) for n in numbers]
            except ValueError:
                continue  # not a line of ours: a damaged disk; the run counts as one that nothing is known of
            if letter == "K":
                book = book.but(keeper=key)
                continue
            asked = wanted is None or key in wanted
            if not asked and key not in book.traces and letter not in BEGINS:
                continue  # more of one that has ended
            trace = book.traces[key] = _taken(book.traces.get(key, Trace(*key)), letter, values)
            if letter == "S":
                # Starts do not overlap: one that no line has closed before the next led to nothing.
                before = book.traces.get(opened)
                if before is not None and opened != key and not before.pid and before.status is None:
                    book.traces[opened] = Trace(*opened)
                opened = key
            elif not asked and (trace.status is not None or trace.said >= 0 or letter == "N"):
                del book.traces[key]
    return book


BEGINS = frozenset("SPC")  # lines that begin a run

# What the numbers of a line are, after the job and the run.
FIELDS: dict[str, tuple[str, ...]] = {
    "S": ("started_us", "pid_start", "log_start", "mark"),
    "N": (),
    "P": ("pid", "pid_start", "started_us", "log_start"),
    "T": ("stopped_for",),
    "E": ("status", "ended_us", "cpu_us", "memory_max"),
    "C": ("started_us", "log_start"),
    "O": ("kept",),
    "A": ("said", "ended_us", "final", "not_before_us", "log_start", "log_end"),
}


def _taken(known: Trace, letter: str, numbers: list[Any]) -> Trace:
    """
    >>> _taken(Trace(7, 1), "P", [42, 99, 5, 0]).pid
    42
    """
    fields = FIELDS.get(letter)
    if fields is None or len(fields) != len(numbers):
        return known
    if letter == "N":
        return Trace(known.job, known.run)
    if letter == "C":
        known = known.but(sent=1)
    return known.but(**dict(zip(fields, numbers, strict=True)))
