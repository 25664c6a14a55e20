"""The jobs of a machine that has died start elsewhere: what one worker does for all, on a store that machines share.

A worker whose lease has run out is dead to everybody else: in one transaction its lease is taken away and its runs are
interrupted, each by its job's own choice. Those that must not run twice (`hold`) stay with it: they wait for the machine,
whose own recovery knows how they ended, or for `queuectl worker forget`.

Workers of this machine are never judged by their lease: the lock on their journal tells for certain (`recovery`). What a
worker of ours still runs of jobs that were given to others is ended.
"""

from __future__ import annotations

import os
import signal

from .. import bell, clock, codec
from ..lifecycle import Interrupted
from ..model import CLAIMED, HOLD, RUNNING
from . import journal, spawn
from .tree import ProcessTable, send

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..config import Config
    from ..model import Job, WorkerRow
    from ..queue import Queue
    from .journal import Book, Trace
    from .recovery import Heir

WHY = "its machine does not answer"
AT_ONCE = 20  # workers in one tick


def rescue(worker: Heir) -> None:
    """Give away the jobs of workers of other machines that have died."""
    store = worker.queue.store
    if not store.may_rescue():
        return
    ours = numbers_of(worker.queue.place.run)
    for _ in range(AT_ONCE):
        lost = give_away(worker.queue, worker.terms.config, [*ours, worker.id], f"worker {worker.id}")
        if lost is None:
            return
        number, given = lost
        worker.took_over(number, 0, [*given])


def give_away(queue: Queue, config: Config, but: list[int], actor: str) -> tuple[int, list[tuple[Job, Interrupted]]] | None:
    """One worker whose lease has run out, and what was decided of its jobs; None when there is none."""
    store, now = queue.store, clock.now_us()
    with store.transaction():
        number = store.lost_worker(but)
        if number is None:
            return None
        jobs = store.jobs_of_worker(number)
        given = [(job, _cut(job, config)) for job in jobs if _may_be_elsewhere(job)]
        store.apply_all(list(given), now, actor)
        store.take_lease(number)
        if len(given) == len(jobs):
            store.remove_worker(number)
    return number, given


def forget(queue: Queue, config: Config, rows: list[WorkerRow], actor: str) -> int:
    """A machine will not come back: what waits for it is interrupted too. Returns how many jobs that were."""
    store, now, settled = queue.store, clock.now_us(), 0
    for row in rows:
        with store.transaction():
            store.settled(row.id)
            store.take_lease(row.id)
            jobs = store.jobs_of_worker(row.id)
            settled += len(store.apply_all([(job, _cut(job, config, "its machine was given up")) for job in jobs], now, actor))
            store.remove_worker(row.id)
    queue.ring_work()
    queue.ring(bell.DONE)
    return settled


def _cut(job: Job, config: Config, why: str = WHY) -> Interrupted:
    return Interrupted(why, codec.options_from(job.options), config.backoff)


def _may_be_elsewhere(job: Job) -> bool:
    return codec.options_from(job.options).if_interrupted != HOLD


def numbers_of(folder: str) -> list[int]:
    """The workers whose journals are on this machine."""
    found = [name[7:-8] for name in os.listdir(folder) if name.startswith("worker-") and name.endswith(".journal")]
    return [int(number) for number in found if number.isdigit()]


def end_given_away(worker: Heir, book: Book) -> int:
    """End what a dead worker of this machine had running and another machine has now; returns how many processes."""
    runs = [t for t in book.traces.values() if t.pid and t.status is None and clock.is_alive(t.pid, t.pid_start)]
    table, ended = ProcessTable(min([trace.pid_start for trace in runs], default=0)), 0
    for trace in [trace for trace in runs if not _is_ours(worker, trace)]:
        members = table.members(trace.pid, trace.pid_start, spawn.cookie(worker.store_id, trace.job, trace.run))
        send(members, signal.SIGKILL)
        ended += len(members)
    return ended


def _is_ours(worker: Heir, trace: Trace) -> bool:
    """Whether this run goes on, by the store, and is of a worker of this machine: a dead worker's journal may name runs that
    others here have taken over since, or are about to."""
    job = worker.queue.store.job(trace.job)
    if job is None or job.run != trace.run or job.stage not in (CLAIMED, RUNNING):
        return False
    return job.worker in numbers_of(worker.queue.place.run)  # looked at last: a worker's journal is there before its row is


def end_nameless(worker: Heir, known: set[int]) -> None:
    """Journals of ours whose worker the store does not know: its jobs were given away, all of them."""
    from .recovery import lock, unlink

    for number in numbers_of(worker.queue.place.run):
        path = journal.journal_path(worker.queue.place.run, number)
        if number in known or number == worker.id or not os.path.exists(path):
            continue
        fd = lock(path)
        if fd is None:
            continue  # it lives, or has only just begun
        try:
            end_given_away(worker, journal.read(path, ()))
            unlink(path)
        finally:
            os.close(fd)
