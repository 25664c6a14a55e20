"""queuectl dlq: the dead-letter queue."""

from __future__ import annotations

from .. import shown
from ..errors import Conflict, InvalidInput
from ..model import DEAD, Query
from . import list as listing
from .command import JSON, Arguments, Command, Option
from .open import the_queue
from .text import note, out


def show(arguments: Arguments) -> int:
    with the_queue() as queue:
        query = Query(states=("dead",), queue=arguments.queue)
        if arguments.json:
            listing.print_array(map(shown.job_object, queue.stream(query)))
            return 0
        jobs = queue.find(query)
    if jobs:
        listing.show(jobs)
    else:
        out("the dead-letter queue is empty\n")
    return 0


def retry(arguments: Arguments) -> int:
    if bool(arguments.words) == bool(arguments.all):
        raise InvalidInput("say which job to retry", hint="queuectl dlq retry ID, or --all")
    with the_queue() as queue:
        if arguments.all:
            jobs = queue.retry(Query(states=("dead",)))
        else:
            for word in arguments.words:
                job = queue.get(word)
                if job.stage != DEAD:
                    what = f"job {job.id} is not in the dead-letter queue"
                    raise Conflict(what, why=f"it is {job.state}", hint="'queuectl dlq list' shows what is")
            jobs = queue.retry(Query(ids=tuple(arguments.words)))
    listing.print_ids(jobs, bool(arguments.json))
    note(f"{len(jobs)} job{'' if len(jobs) == 1 else 's'} will run again")
    return 0


COMMANDS = {
    "dlq list": Command(
        show,
        options=(JSON, Option(("--queue",), "only jobs of this queue", "QUEUE")),
        example="queuectl dlq list",
    ),
    "dlq retry": Command(
        retry,
        options=(Option(("--all",), "all dead jobs"), JSON),
        words="JOB",
        most=None,
        example="queuectl dlq retry 7",
        about="Pending again, with no attempts counted. JOB is an id. Prints the ids.",
    ),
}
