"""queuectl run: add, follow, end with the job's own exit status."""

from __future__ import annotations

from .. import signals
from .command import Arguments, Command, Option
from .enqueue import JOB_OPTIONS, asked_spec
from .logs import follow, writer
from .open import NO_WORKER, the_queue
from .text import note


def run(arguments: Arguments) -> int:
    with the_queue() as queue:
        spec = asked_spec(arguments, queue)
        if spec.max_retries is None:
            spec = spec.but(max_retries=0)
        job = queue.add(spec)
        if not queue.heard:
            note(NO_WORKER)
        try:
            job = follow(queue, job, writer(bool(arguments.raw)))
        except KeyboardInterrupt:
            note(f"job {job.id} goes on; 'queuectl logs -f {job.id}' follows it again, 'queuectl cancel {job.id}' ends it")
            return 130
        if job.reason:
            note(f"job {job.id} ended: {job.reason}")
    return signals.exit_status(job)


COMMANDS = {
    "run": Command(
        run,
        options=(
            *JOB_OPTIONS,
            Option(("--job-file",), "a file that holds the job as JSON", "FILE"),
            Option(("--raw",), "its output as it is, also to a terminal"),
        ),
        words="JSON",
        most=None,
        takes_rest=True,
        example="queuectl run -- make test",
        about="No retries unless asked. Ctrl-C leaves the job running.",
    )
}
