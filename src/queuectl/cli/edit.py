"""queuectl edit, queuectl rerun: a waiting job otherwise, a job once more."""

from __future__ import annotations

from .. import jsontext, shown
from ..errors import InvalidInput
from .command import JSON, Arguments, Command, Option
from .open import the_queue
from .text import note, out

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ..model import Job

FIELDS = ("queue", "priority", "max_retries", "delay", "run_at", "timeout", "label", "limit_key", "command")
OPTIONS = (
    Option(("--command",), "other shell text", "TEXT"),
    Option(("--queue",), "the queue it goes to", "QUEUE"),
    Option(("--priority",), "larger runs first", "N"),
    Option(("--max-retries",), "retries after the first run", "N"),
    Option(("--delay",), "not before this long from now: seconds, 10m, 2h30m", "TIME"),
    Option(("--run-at",), "not before this time, ISO-8601; without an offset UTC", "TIME"),
    Option(("--timeout",), "end the run and all it started after this long; 0: never", "TIME"),
    Option(("--label",), "a word to select jobs by", "LABEL"),
    Option(("--limit-key",), "what limits hang on that it shares with others", "KEY"),
)


def edit(arguments: Arguments) -> int:
    fields: dict[str, Any] = {name: getattr(arguments, name) for name in arguments.given(*FIELDS)}
    if arguments.rest is not None:
        fields["argv"] = arguments.rest
    if not fields:
        raise InvalidInput("nothing to change is given", hint="for example --priority 5; -- PROGRAM ARG … is another command")
    with the_queue(create=False) as queue:
        job = queue.edit(arguments.words[0], **fields)
    return _shown(job, arguments, "changed")


def rerun(arguments: Arguments) -> int:
    with the_queue(create=False) as queue:
        job = queue.rerun(arguments.words[0])
    return _shown(job, arguments, f"does the same as {arguments.words[0]}")


def _shown(job: Job, arguments: Arguments, done: str) -> int:
    if arguments.json:
        out(jsontext.dumps(shown.job_object(job)) + "\n")
    else:
        out(job.id + "\n")
        note(f"job {job.id} {done}")
    return 0


COMMANDS = {
    "edit": Command(
        edit,
        options=(*OPTIONS, JSON),
        words="JOB",
        least=1,
        most=1,
        takes_rest=True,
        example="queuectl edit 7 --priority 5",
        about="Only a job that waits. JOB is an id; after -- another program with its arguments.",
    ),
    "rerun": Command(
        rerun,
        options=(JSON,),
        words="JOB",
        least=1,
        most=1,
        example="queuectl rerun 7",
        about="A new job with a number of its own, to run now, whatever has become of the first.",
    ),
}
