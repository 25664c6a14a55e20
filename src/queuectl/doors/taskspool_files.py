"""`job-<n>.out` and `job-<n>.err`: what each TaskSpooler job wrote, without the header lines of the queue's own logs.

The logs are the truth, these files are copies that grow while the job runs. How far a copy has come is its size, so
that a killed server goes on where it stopped. A copy that somebody removed is not made again; none is made or
continued through a link.
"""

from __future__ import annotations

import mmap
import os

from .. import files, output
from ..errors import QueueError
from ..model import CLAIMED, RUNNING
from ..store import sql
from .taskspool_words import QUEUE, id_of, number_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..model import Job
    from ..queue import Queue

PIECE = 1 << 20
PIECES_AT_ONCE = 16  # then others have their turn
STREAMS = (("", ".out"), (".err", ".err"))  # of the log, of the copy
HEADER_MAX = 64

# Whatever happened to jobs that were there: a run's first line may be that of its end.
HAPPENED = """
select distinct jobs.name from history join jobs on jobs.number = history.job
where history.id > ? and history.event <> 'add' and jobs.queue = ?"""


class Outputs:
    def __init__(self, folder: str, logs: str) -> None:
        self.folder = folder
        self._logs = logs
        self._run: dict[int, int] = {}  # number → the run whose output is being copied

    def path(self, number: int, stream: str) -> str:
        return os.path.join(self.folder, f"job-{number}{stream}")

    def begin(self, number: int) -> None:
        """Empty files for a new job. What an earlier server or anybody else left under their names is removed."""
        for _, stream in STREAMS:
            try:
                self._create(self.path(number, stream))
            except FileNotFoundError:
                files.private_folders(self.folder)  # cleaned up while the server lives
                self._create(self.path(number, stream))

    def _create(self, path: str) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
        try:
            fd = os.open(path, flags, files.FILE_MODE)
        except FileExistsError:
            os.unlink(path)
            fd = os.open(path, flags, files.FILE_MODE)
        os.close(fd)

    def numbers(self) -> Iterator[int]:
        """The jobs that have files."""
        for name in os.listdir(self.folder):
            digits = name.removeprefix("job-").removesuffix(".out")
            if name == f"job-{digits}.out" and digits.isascii() and digits.isdigit() and len(digits) < 19:
                yield int(digits)

    def copy(self, number: int, job: Job) -> bool:
        """Copy what the job has written since; True when nothing is left to copy now, or nobody wants the copy."""
        anew = job.run > 1 and self._run.get(number) != job.run
        self._run[number] = job.run
        streams = [(output.log_path(self._logs, job, log), self.path(number, copy)) for log, copy in STREAMS]
        done = [_copy(log, copy, job.run, anew) for log, copy in streams]
        return all(done)

    def forget(self, number: int) -> None:
        self._run.pop(number, None)

    def size(self, job: Job) -> int:
        """An upper bound of what the job has written, in bytes."""
        return sum(_size(output.log_path(self._logs, job, log)) for log, _ in STREAMS)

    def text(self, job: Job, stream: str) -> str:
        """What the job's latest run has written so far; bytes that are not UTF-8 are replaced."""
        path = output.log_path(self._logs, job, stream)
        return b"".join(output.read_range(path, _start_in(path, job.run), None)).decode("utf-8", "replace")


class Copies:
    """Which jobs may still write, and the copies of what they have written brought up to date."""

    def __init__(self, queue: Queue, outputs: Outputs) -> None:
        self._queue = queue
        self._outputs = outputs
        self._seen = 0  # the last line of the history that need not be read again
        self._growing: dict[int, str] = {}  # number → id

    def open(self) -> None:
        """Find the copies that an earlier server did not finish."""
        self._seen = self._newest()
        self._growing = {number: id_of(number) for number in self._outputs.numbers()}

    @property
    def are_growing(self) -> bool:
        return bool(self._growing)

    def follow(self) -> None:
        """Copy what was written since. When the store fails, later."""
        try:
            self._follow()
        except (QueueError, OSError):
            pass  # whoever asks for something is told; the copies are made up for

    def _follow(self) -> None:
        store, newest = self._queue.store, self._newest()
        for (name,) in store.run(HAPPENED, (self._seen, QUEUE)):
            number = number_of(name)
            if number is not None:
                self._growing[number] = name
        self._seen = max(self._seen, newest)
        for number, name in list(self._growing.items()):
            job = store.job_by_id(name)
            if job is None or self._is_done(number, job):
                del self._growing[number]
                self._outputs.forget(number)

    def _newest(self) -> int:
        [(newest,)] = self._queue.store.run(sql.NEWEST_LINE)
        return int(newest or 0)

    def _is_done(self, number: int, job: Job) -> bool:
        """True when nothing more will come: what waits will be met again at its start."""
        try:
            return self._outputs.copy(number, job) and job.stage not in (RUNNING, CLAIMED)
        except OSError:
            return False  # no space: it may come back


def _size(path: str) -> int:
    try:
        return os.stat(path).st_size
    except OSError:
        return 0


def _start_in(path: str, run: int) -> int:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    except OSError:
        return 0
    try:
        return start_of(fd, run)
    finally:
        os.close(fd)


def start_of(log: int, run: int) -> int:
    """Where the output of a run begins in a log: after its header line; the end of the log when it has none yet."""
    header = b"--- run %d started " % run
    beginning = os.pread(log, HEADER_MAX, 0)
    if beginning.startswith(header):
        return beginning.find(b"\n") + 1
    size = os.fstat(log).st_size
    if run < 2 or not size:
        return size
    with mmap.mmap(log, size, prot=mmap.PROT_READ) as content:
        at = content.rfind(b"\n" + header)
        return size if at < 0 else content.find(b"\n", at + 1) + 1


def _copy(log: str, copy: str, run: int, anew: bool) -> bool:
    try:
        source = os.open(log, os.O_RDONLY | os.O_NOFOLLOW)
    except FileNotFoundError:
        return True  # it has not run
    try:
        # Not to be opened at all: removed, or a link; a FIFO does not hold us up.
        target = os.open(copy, os.O_WRONLY | os.O_APPEND | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        os.close(source)
        return True
    try:
        return _append(source, target, start_of(source, run), anew)
    finally:
        os.close(source)
        os.close(target)


def _append(source: int, target: int, start: int, anew: bool) -> bool:
    if anew or os.fstat(target).st_size > os.fstat(source).st_size - start:
        os.ftruncate(target, 0)  # another run's output
    at = start + os.fstat(target).st_size
    for _ in range(PIECES_AT_ONCE):
        piece = os.pread(source, PIECE, at)
        if not piece:
            return True
        at += os.write(target, piece)
    return False
