"""After a crash: what still runs is adopted, what ended meanwhile is recorded with its true status, what was never
started goes back, and only what nobody can know is called interrupted.

A worker is alive while it holds the lock on its journal: no pid is trusted. Whoever gets that lock may take over.
What the journal says of a run decides:

    journal                     same boot            another boot
    ended                       recorded             recorded
    started, process alive      adopted              -
    started, process gone       the keeper's word,   interrupted
                                else interrupted
    about to start              searched for; not    interrupted
                                found: goes back
    nothing                     goes back            interrupted
"""

from __future__ import annotations

import fcntl
import os
from time import monotonic, sleep

from .. import bulk, clock
from ..lifecycle import Finished, GivenBack, Interrupted
from ..model import CLAIMED, Job, WorkerRow
from ..record import Record
from . import journal, spawn
from .books import KeeperBooks, forget_old
from .journal import Trace
from .running import Run, outcome_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..lifecycle import Event
    from .worker import Worker

KEEPER_ANSWERS_S = 2.0  # a zombie's keeper is about to write its end
LOOK_AGAIN_S = 0.005


class Machine(Record):
    """This boot of this machine, as one container sees it."""

    boot_id: str
    pid_ns: int

    def is_of(self, row: WorkerRow) -> bool:
        return (row.boot_id, row.pid_ns) == (self.boot_id, self.pid_ns)


def sweep(worker: Worker) -> None:
    """Take over from every worker that has died, and take out what bulk adds left behind that did not finish."""
    store = worker.queue.store
    bulk.sweep(store)
    machine = Machine(clock.boot_id(), clock.pid_namespace())
    for row in store.workers():
        if row.id == worker.id:
            continue
        path = journal.journal_path(worker.queue.place.run, row.id)
        fd = _lock(path)
        if fd is None:
            continue
        try:
            take_over(worker, row, journal.read(path), machine)
        finally:
            os.close(fd)
        _unlink(path)
    forget_old(worker.queue.place.run)


def _lock(path: str) -> int | None:
    """The lock of a dead worker's journal; None while the worker lives. A journal that is gone is made to be locked."""
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.fstat(fd).st_ino == os.stat(path).st_ino:
            return fd
    except (BlockingIOError, FileNotFoundError):
        pass
    # Held; or it was rewritten or swept after we opened it: that lock says nothing of the worker.
    os.close(fd)
    return None


def _unlink(path: str) -> None:
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass  # another worker swept it


def take_over(worker: Worker, row: WorkerRow, traces: dict[tuple[int, int], Trace], machine: Machine) -> None:
    """Decide for each job of a dead worker, and write it all in one transaction. What is adopted stands in our own
    journal before: killed at any instant, either the old or the new journal still tells of it."""
    store, books = worker.queue.store, KeeperBooks(worker.queue.place.run)
    books.refresh()
    adopted: list[tuple[Job, Trace]] = []
    decided: list[tuple[Job, Event]] = []
    for job in store.jobs_of_worker(row.id):
        trace = traces.get((job.number, job.run))
        if machine.is_of(row):
            trace = _identified(worker, job, trace, traces, books)
            event = _event_here(worker, job, trace)
        else:
            event = _event_elsewhere(worker, job, trace)
        if event is None:
            assert trace is not None
            adopted.append((job, trace))
        else:
            decided.append((job, event))
    for _, trace in adopted:
        worker.journal.started(trace)
    now = clock.now_us()
    with store.transaction():
        for job, event in decided:
            store.apply(job, event, now, f"worker {worker.id}")
        jobs = store.hand_over([job for job, _ in adopted], worker.id)
        store.remove_worker(row.id)
    for job, (_, trace) in zip(jobs, adopted, strict=True):
        worker.adopt(job, trace)
    if adopted or decided:
        worker.took_over(row.id, len(adopted), decided)


def _identified(
    worker: Worker, job: Job, trace: Trace | None, traces: dict[tuple[int, int], Trace], books: KeeperBooks
) -> Trace | None:
    """The trace with all that can be found out: the pid of a process whose `P` line is missing, the end a keeper saw."""
    if trace is None or trace.status is not None:
        return trace
    if not trace.pid:
        found = spawn.find(spawn.cookie_of(worker.store_id, job))
        books.refresh()
        if found is None:
            found = books.nameless(trace.pid_start, {t.pid for t in traces.values()})
        else:
            found = books.ended(found[0], trace.pid_start) or found
        if found is None:
            return trace
        trace = trace.but(pid=found[0], pid_start=found[1])
    return _with_its_end(trace, books)


def _with_its_end(trace: Trace, books: KeeperBooks) -> Trace:
    """The trace with its end, if it has ended and a keeper lives. A keeper writes an end before it reaps the process:
    only one that is gone without a word, zombie and all, was seen by nobody."""
    deadline = monotonic() + KEEPER_ANSWERS_S
    while not clock.is_alive(trace.pid, trace.pid_start):
        gone = clock.process_start(trace.pid) != trace.pid_start
        books.refresh()
        trace = books.complete(trace)
        if gone or trace.status is not None or monotonic() > deadline:
            return trace
        sleep(LOOK_AGAIN_S)
    return trace


def _event_here(worker: Worker, job: Job, trace: Trace | None) -> Event | None:
    """What to record of a dead worker's job on the same boot; None: it still runs and is adopted."""
    if trace is None or not trace.pid:
        return GivenBack("its worker died before it was started")
    if trace.status is not None:
        return finished(worker, job, trace)
    if clock.is_alive(trace.pid, trace.pid_start):
        return None
    return interrupted(worker, job, "worker and keeper died, and nobody saw how it ended")


def _event_elsewhere(worker: Worker, job: Job, trace: Trace | None) -> Event:
    if trace is not None and trace.status is not None:
        return finished(worker, job, trace)
    if job.stage == CLAIMED and trace is None:
        return GivenBack("its worker is gone and had not started it")
    return interrupted(worker, job, "the machine was restarted, or the worker's container is gone")


def finished(worker: Worker, job: Job, trace: Trace) -> Finished:
    options = worker.terms.options_of(job)
    outcome = outcome_of(trace, "cancelled" if job.stop == "cancel" else "", worker.terms.log_size(job))
    return Finished(outcome, options, worker.terms.config.backoff)


def interrupted(worker: Worker, job: Job, why: str) -> Interrupted:
    return Interrupted(why, worker.terms.options_of(job), worker.terms.config.backoff)


def adopted_run(worker: Worker, job: Job, trace: Trace) -> Run:
    """A run of a worker that died, watched from now on; its time so far counts."""
    run = Run(job, trace, spawn.cookie_of(worker.store_id, job), worker.terms.options_of(job), worker.terms.timeout_of(job))
    run.child = False
    lived = (clock.boot_ticks() - trace.pid_start) / os.sysconf("SC_CLK_TCK") if trace.pid_start else 0.0
    run.began -= lived
    if run.deadline is not None:
        run.deadline -= lived
    return run
