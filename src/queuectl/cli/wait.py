"""queuectl wait."""

from __future__ import annotations

import sys

from .. import codec, signals
from ..errors import InvalidInput, NotFound
from ..workers import living
from .command import SELECTION, Arguments, Command, Option
from .open import NO_WORKER, selection, the_queue
from .text import note

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..model import Job


def run(arguments: Arguments) -> int:
    timeout = None if arguments.timeout is None else codec.seconds(arguments.timeout, "timeout")
    if not arguments.words and not arguments.given("state", "queue", "label"):
        raise InvalidInput("say which jobs to wait for", hint="queuectl wait 5 7-9, or last, or all")
    with the_queue(create=False) as queue:
        query = selection(arguments)
        jobs = queue.find(query)
        if not jobs and (query.ids or query.ranges):
            raise NotFound("no job matches", why="words and options narrow each other", hint="'queuectl list' with the same")
        if any(not job.ended for job in jobs) and not living(queue.store):
            note(NO_WORKER)
        progress = _progress if sys.stderr.isatty() else None
        jobs = queue.wait(*[job.id for job in jobs], timeout=timeout, any=bool(arguments.any), watch=progress)
    if progress:
        print("\r\x1b[K", end="", file=sys.stderr, flush=True)
    ended = [job for job in jobs if job.ended]
    if len(jobs) == 1:
        return signals.exit_status(jobs[0])
    return 0 if all(job.state == "completed" for job in ended) else 1


def _progress(jobs: list[Job]) -> None:
    ended = sum(job.ended for job in jobs)
    running = sum(job.state == "processing" for job in jobs)
    print(f"\r\x1b[K{ended} of {len(jobs)} ended, {running} running", end="", file=sys.stderr, flush=True)


COMMANDS = {
    "wait": Command(
        run,
        options=(
            *SELECTION,
            Option(("--any",), "until one of them has ended"),
            Option(("--timeout",), "give up after this long, with exit status 124", "TIME"),
        ),
        words="JOB",
        most=None,
        example="queuectl wait 5 7-9 --timeout 10m",
        about="Ends with the job's own exit status for one job; for several 0 if all completed, else 1.",
    )
}
