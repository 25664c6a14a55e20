"""queuectl logs: bytes as they were written to a pipe or file; on a terminal nothing that could act on it."""

from __future__ import annotations

import os

from .. import bell, codec, output, shown
from ..errors import NotFound
from .command import Arguments, Command, Option
from .open import the_queue
from .text import Cleaner, is_terminal, note

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ..model import Attempt, Job
    from ..queue import Queue

LOOK_S = 0.05  # how often a log that is being written is looked at
ELSEWHERE_S = 0.25  # the same when it may come from another machine


def run(arguments: Arguments) -> int:
    write = writer(bool(arguments.raw))
    lines = None if arguments.tail is None else codec.whole(arguments.tail, "tail", 0, 10**9)
    with the_queue() as queue:
        job = queue.get(arguments.words[0])
        if arguments.follow:
            follow(queue, job, write)
            return 0
        attempts = chosen(queue, job, arguments.attempt)
        if arguments.stderr:
            show(_stderr_path(queue, job), 0, None, lines, write)
            return 0
        for attempt in attempts:
            if len(attempts) > 1:
                note(f"run {attempt.run}, started {shown.iso(attempt.started_us)}")
            show(queue.log_path(job), *output.run_range(attempt), lines, write)
    return 0


def _stderr_path(queue: Queue, job: Job) -> str:
    path = queue.log_path(job, ".err")
    if not os.path.exists(path):
        raise NotFound(f"job {job.id} keeps no stderr of its own", hint="leave --stderr out: both are in one log")
    return path


def show(path: str, start: int, end: int | None, lines: int | None, write: Callable[[bytes], None]) -> None:
    """A range of a log, or its last lines. A log that somebody removed is empty."""
    if lines is not None and os.path.exists(path):
        start = output.tail_start(path, start, os.path.getsize(path) if end is None else end, lines)
    for piece in output.read_range(path, start, end):
        write(piece)


def chosen(queue: Queue, job: Job, wanted: str | None) -> list[Attempt]:
    """The runs that are meant. Raises NotFound when there is none."""
    attempts = queue.attempts(job)
    if wanted is not None:
        number = codec.whole(wanted, "attempt", 1, 10**9)
        attempts = [attempt for attempt in attempts if attempt.run == number]
        if not attempts:
            raise NotFound(f"job {job.id} has no run {number}", hint=f"'queuectl show {job.id}' lists its runs")
    if not attempts:
        note(f"job {job.id} {'ran before it was imported' if job.attempts else 'has not run yet'}; it has written nothing here")
    return attempts


def follow(queue: Queue, job: Job, write: Callable[[bytes], None]) -> Job:
    """Write what the job writes as it comes, over all its runs, until it has ended; returns it as it ended.

    Reads the file and the store alone, so that it outlives any worker.
    """
    shown: dict[int, int] = {}
    with queue.listener(bell.DONE) as ears:
        while True:
            job = queue.store.job(job.number) or job
            for piece in _new_pieces(queue, job, shown):
                write(piece)
            if job.ended:
                return job
            look_s = ELSEWHERE_S if queue.store.shared else LOOK_S
            ears.wait(look_s if job.state == "processing" else 1.0)


def _new_pieces(queue: Queue, job: Job, shown: dict[int, int]) -> Iterator[bytes]:
    path = queue.log_path(job)
    for attempt in queue.attempts(job):
        if attempt.log_start == 0:
            continue  # its worker has not told yet where its output begins
        start = shown.setdefault(attempt.run, attempt.log_start)
        for behind, piece in output.read_pieces(path, start, attempt.log_end):
            yield piece
            shown[attempt.run] = behind


def writer(raw: bool) -> Callable[[bytes], None]:
    """Where output goes: unbuffered, so that following shows each line at once."""
    clean = Cleaner() if is_terminal() and not raw else None

    def write(piece: bytes) -> None:
        view = memoryview(clean(piece) if clean else piece)
        while view:
            view = view[os.write(1, view) :]

    return write


COMMANDS = {
    "logs": Command(
        run,
        options=(
            Option(("-f", "--follow"), "go on until the job has ended, over its retries and over restarts of the worker"),
            Option(("--attempt",), "only this run", "N"),
            Option(("--tail",), "only the last lines", "N"),
            Option(("--stderr",), "the stderr of a job that keeps it apart"),
            Option(("--raw",), "the bytes as they are, also to a terminal"),
        ),
        words="JOB",
        least=1,
        most=1,
        example="queuectl logs -f 7",
    )
}
