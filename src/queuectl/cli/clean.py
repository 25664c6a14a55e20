"""queuectl clean."""

from __future__ import annotations

from .. import clock, codec
from ..errors import Conflict, InvalidInput
from .command import SELECTION, Arguments, Command, Option
from .open import selection, the_queue
from .text import note, out


def run(arguments: Arguments) -> int:
    if not arguments.words and not arguments.given("state", "queue", "label", "older"):
        raise InvalidInput("say which jobs are meant", hint="ids, all, --state completed, --older 7d")
    with the_queue(create=False) as queue:
        query = selection(arguments)
        if arguments.older:
            query = query.but(ended_before_us=clock.now_us() - round(codec.seconds(arguments.older, "older") * 1e6))
        jobs = queue.find(query)
        for job in jobs:
            if job.id in query.ids and not job.ended:
                hint = f"'queuectl cancel {job.id}' first"
                raise Conflict(f"job {job.id} cannot be removed", why=f"it is {job.state}", hint=hint)
        jobs = [job for job in jobs if job.ended]
        if not arguments.dry_run:
            jobs = queue.prune(query)
    note(f"{len(jobs)} job{'' if len(jobs) == 1 else 's'} {'would be ' if arguments.dry_run else ''}removed")
    if arguments.dry_run:
        out("".join([job.id + "\n" for job in jobs]))
    return 0


COMMANDS = {
    "clean": Command(
        run,
        options=(
            *SELECTION,
            Option(("--older",), "only jobs that ended longer ago than this", "TIME"),
            Option(("--dry-run",), "only say what would be removed"),
        ),
        words="JOB",
        most=None,
        example="queuectl clean --state completed --older 7d --dry-run",
        about="Only jobs that have ended, with their logs and history. Numbers are never used again.",
    )
}
