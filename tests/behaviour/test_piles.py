"""A pile that is being added disturbs nothing that runs, and what comes and goes meanwhile does not disturb it."""

from __future__ import annotations

from queuectl import Queue, clock, codec
from queuectl.bulk import BulkAdd
from queuectl.lifecycle import Finished
from queuectl.model import Job, Options, Outcome, Query, Serving, Shell
from queuectl.schedule import Backoff
from queuectl.workers import own_row


def claimed(queue: Queue, worker: int) -> Job:
    with queue.store.transaction():
        return queue.store.claim(worker, 1, 0, clock.now_us(), Serving()).jobs[0]


def test_the_end_of_a_job_of_an_earlier_pile_is_recorded_while_another_is_being_added(queue: Queue) -> None:
    worker = queue.store.add_worker(own_row(1, Serving()))
    for _ in range(3):  # the lane of a pile goes when it is empty; the next pile's is a new one
        queue.add_many(["true"])
        job = claimed(queue, worker)
        with BulkAdd(queue, codec.spec(Shell("-"), {})) as adding:
            for _ in range(100):  # the smallest chunk: written, not yet open
                adding.add(Shell("false"))
            outcome = Outcome(exit_code=0, started_us=clock.now_us(), ended_us=clock.now_us())
            with queue.store.transaction():
                queue.store.apply_all([(job, Finished(outcome, Options(), Backoff()))], clock.now_us(), "worker 1")
            assert queue.get(job.id).state == "completed"
        queue.cancel(Query(states=("pending",)))
