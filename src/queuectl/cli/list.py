"""queuectl list."""

from __future__ import annotations

from .. import codec, jsontext, shown
from ..model import ENDED, Job
from .command import JSON, SELECTION, Arguments, Command, Option
from .open import named, selection, the_queue
from .text import STATE_STYLES, out, short, table

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

PAGE = 50


def run(arguments: Arguments) -> int:
    limit = None if arguments.all else codec.whole(arguments.limit or str(PAGE), "limit", 1, 10**9)
    with the_queue() as queue:
        query = named(queue, selection(arguments))
        if arguments.json:
            if arguments.limit:
                query = query.but(limit=limit)
            print_array(map(shown.job_object, queue.stream(query)))
            return 0
        jobs = queue.find(query.but(limit=limit))
        rest = queue.count(query) - len(jobs) if limit is not None and len(jobs) == limit else 0
        if arguments.quiet:
            print_ids(jobs, as_json=False)
            return 0
        show(jobs)
        if rest > 0:
            out(f"… and {rest} more; --limit N or --all shows them\n")
    return 0


def show(jobs: list[Job]) -> None:
    headings = ("ID", "STATE", "PRI", "TRIES", "QUEUE", "NOTE", "COMMAND")
    table(headings, [_row(job) for job in jobs], STATE_STYLES)


def _row(job: Job) -> tuple[object, ...]:
    tries = f"{job.attempts}/{job.max_retries + 1}"
    return job.id, job.state, job.priority, tries, job.queue, _note(job), short(job.command, 200)


def _note(job: Job) -> str:
    """The one thing worth knowing of a job at a glance."""
    if job.stage in ENDED:
        if job.reason:
            return short(job.reason, 40)
        return "" if not job.exit_code else f"exit {job.exit_code}" if job.exit_code > 0 else f"signal {-job.exit_code}"
    if job.stage == "later":
        return f"until {shown.iso(job.due_us)}"
    return {"held": "held", "blocked": "waits for jobs"}.get(job.stage, "")


def print_ids(jobs: list[Job], as_json: bool) -> None:
    out(jsontext.dumps([job.id for job in jobs]) + "\n" if as_json else "".join([job.id + "\n" for job in jobs]))


def print_array(objects: Iterable[object]) -> None:
    """One JSON array, written as it is read: constant memory at any length."""
    begun = "["
    for one in objects:
        out(begun + jsontext.dumps(one))
        begun = ",\n "
    out("[]\n" if begun == "[" else "]\n")


COMMANDS = {
    "list": Command(
        run,
        options=(
            *SELECTION,
            JSON,
            Option(("--limit",), f"how many to show, default {PAGE}", "N"),
            Option(("--all",), "show all that match"),
            Option(("-q", "--quiet"), "ids only"),
        ),
        words="JOB",
        most=None,
        example="queuectl list --state failed --state dead",
        about="JOB is an id, a range 5-9, a list 1,3, last, last-3, all, %label or @queue.",
    )
}
