"""Callbacks: who asked to be told of a job's end is told by a call, which is a job too: durable, retried, shown like any.

It is added in the transaction that records the end, so that no end goes untold, whatever is killed. It carries the job as
`show --json` has it, and may come twice after a cut: its `Idempotency-Key` and `webhook-id` are the same then.
"""

from __future__ import annotations

from . import codec, jsontext, shown
from .config import Config
from .model import RERUN, Call, Options, Serving, Spec
from .newjob import Origin, new_job

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .model import Job
    from .store.base import Store

RETRIES = 6  # with the usual backoff two minutes


def tell(store: Store, ended: Job, now: int, actor: str) -> None:
    """Add the callback of a job that has ended, if it has one; inside the transaction that records the end."""
    job = callback_of(ended, now)
    if job is not None:
        number = store.take_numbers(1)
        while store.number_is_chosen(number):
            number = store.take_numbers(1)
        store.insert([job.but(number=number, lane=store.lane_for(job))], actor)


def callback_of(job: Job, now: int) -> Job | None:
    """The call that tells of this job's end, still without its number and lane; None when nobody asked for one.

    >>> from .lifecycle import a_job
    >>> ended = a_job(stage="completed", options='{"callback": "http://a/done"}')
    >>> callback_of(ended, now=0).command, callback_of(a_job(stage="dead"), now=0)
    ('POST http://a/done', None)
    """
    if job.options is None or '"callback"' not in job.options:
        return None
    options = codec.options_from(job.options)
    if options.callback is None:
        return None
    call = Call(
        options.callback,
        method="POST",
        headers=(("Content-Type", "application/json"),),
        body=jsontext.dumps(shown.job_object(job)),
        sign=options.callback_sign,
    )
    # The servers that keep a queue for themselves make no calls, but for one.
    queue = job.queue if job.queue == "tasker" or job.queue not in Serving.RESERVED else "default"
    label = f"callback of {job.id}"[:255]
    spec = Spec(
        work=call, queue=queue, priority=job.priority, max_retries=RETRIES, label=label, options=Options(if_interrupted=RERUN)
    )
    return new_job(spec, Origin("/", 0o077, job.env or 0), Config(), now)
