"""queuectl cancel, hold, release, retry: one event each, applied to a selection."""

from __future__ import annotations

from ..errors import InvalidInput
from .command import JSON, SELECTION, Arguments, Command, Option
from .list import print_ids
from .open import selection, the_queue
from .text import note

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from ..model import Job, Query
    from ..queue import Queue

DRY_RUN = Option(("--dry-run",), "only say which jobs are meant")


def change(verb: Callable[[Queue, Query], list[Job]], done: str) -> Callable[[Arguments], int]:
    def run(arguments: Arguments) -> int:
        if not arguments.words and not arguments.given("state", "queue", "label"):
            raise InvalidInput("say which jobs are meant", hint="an id, a range 5-9, last, all, or --state STATE")
        with the_queue(create=False) as queue:
            query = selection(arguments)
            if arguments.dry_run:
                jobs = queue.find(query)
                note(f"{len(jobs)} jobs are meant")
            else:
                jobs = verb(queue, query)
                note(f"{len(jobs)} job{'' if len(jobs) == 1 else 's'} {done}")
        print_ids(jobs, bool(arguments.json))
        return 0

    return run


def command(name: str, verb: Callable[[Queue, Query], list[Job]], done: str) -> Command:
    return Command(
        change(verb, done),
        options=(*SELECTION, DRY_RUN, JSON),
        words="JOB",
        most=None,
        example=f"queuectl {name} 5-9",
        about="JOB is an id, a range 5-9, a list 1,3, last, last-3, all, %label or @queue. Prints the ids.",
    )


COMMANDS = {
    "cancel": command("cancel", lambda queue, query: queue.cancel(query), "cancelled, or told to stop"),
    "hold": command("hold", lambda queue, query: queue.hold(query), "held"),
    "release": command("release", lambda queue, query: queue.release(query), "released"),
    "retry": command("retry", lambda queue, query: queue.retry(query), "will run again"),
}
