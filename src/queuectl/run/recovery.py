"""After a crash: what still runs is adopted, what ended meanwhile is recorded with its true status, what was never
started goes back, and only what nobody can know is called interrupted.

A worker is alive while it holds the lock on its journal: no pid is trusted. Whoever gets that lock may take over.
What the journal says of a run decides:

    journal                     same boot            another boot
    ended                       recorded             recorded
    started, process alive      adopted              -
    started, process gone       adopted: asks the    interrupted
                                keeper, the kernel,
                                else interrupted
    about to start              searched for; found: interrupted
                                adopted; not found
                                and the keeper has
                                lived on: goes back,
                                else interrupted
    nothing                     goes back            interrupted: the journal may have been lost
    call answered               recorded             recorded
    call sent, no answer        interrupted          interrupted

The run about to start is the last one of a journal. Its process carries the run's mark, ended or not; of several the
first is meant: what a job starts itself comes after it. Where nothing can be marked only what still carries the cookie
is found, and what is not found is interrupted.
"""

from __future__ import annotations

import fcntl
import os

from .. import answers, bell, bulk, clock
from ..errors import Doubtful, Moved, QueueError, Replaced
from ..lifecycle import Finished, GivenBack, Interrupted, Started
from ..model import CALL, CLAIMED, Job, Outcome, WorkerRow
from ..record import Record
from ..store import sql
from . import ends, journal, mark, rescue, spawn
from .books import NEVER, KeeperBooks, forget_old
from .journal import Trace
from .running import Run, outcome_of
from .tree import ProcessTable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Protocol

    from ..lifecycle import Event
    from ..queue import Queue
    from ..store.base import Store
    from .journal import Journal
    from .terms import Terms

    class Heir(Protocol):
        """Whoever takes over: a worker, which may adopt processes, or a caller, which has no children."""

        queue: Queue
        id: int
        keeper: tuple[int, int]
        journal: Journal
        terms: Terms
        store_id: str

        def adopt(self, job: Job, trace: Trace) -> None: ...
        def took_over(self, dead: int, adopted: int, decided: list[tuple[Job, Event]]) -> None: ...
        def stop(self, how: str) -> None: ...


FAR_APART = 10_000  # process numbers of the same hundredth of a second, the higher one of which came before the lower


class Machine(Record):
    """This boot of this machine, as one container sees it."""

    boot_id: str
    pid_ns: int

    def is_of(self, row: WorkerRow) -> bool:
        return (row.boot_id, row.pid_ns) == (self.boot_id, self.pid_ns)


def sweep(worker: Heir, only_callers: bool = False) -> None:
    """Take over from every worker that has died (`only_callers`: of those that run no processes), and take out what bulk
    adds left behind that did not finish."""
    store = worker.queue.store
    bulk.sweep(store)
    machine = Machine(clock.boot_id(), clock.pid_namespace())
    for row in store.workers():
        if row.id == worker.id or (only_callers and CALL not in row.offers.split()):
            continue
        path = journal.journal_path(worker.queue.place.run, row.id)
        if store.shared and not os.path.exists(path):
            continue  # of another machine: `rescue` judges it by its lease
        fd = lock(path)
        if fd is None:
            continue
        try:
            if ends.is_held(journal.commits_path(path)):
                continue  # its committer, where that is a process of its own, may still be at its last turn
            if take_over(worker, row, machine):
                unlink(path)
                unlink(journal.commits_path(path))
        finally:
            os.close(fd)
    if store.shared and not only_callers:
        rescue.end_nameless(worker, {row.id for row in store.workers()})
    forget_old(worker.queue.place.run)
    bell.clear_dead(worker.queue.place.run)


def lock(path: str) -> int | None:
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


def unlink(path: str) -> None:
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass  # another worker swept it


def take_over(worker: Heir, row: WorkerRow, machine: Machine) -> bool:
    """Whether it was ours to take over."""
    while True:
        what = TakeOver(worker, row, machine)
        if what.is_for_its_keeper():
            return False
        if what.run():
            return True


class TakeOver:
    """Taking over from one dead worker: a decision for each of its jobs, all written in one transaction."""

    def __init__(self, worker: Heir, row: WorkerRow, machine: Machine) -> None:
        folder = worker.queue.place.run
        self._worker = worker
        self._row = row
        self._machine = machine
        self._jobs = worker.queue.store.jobs_of_worker(row.id)
        known = {(job.number, job.run) for job in self._jobs}
        self._book = journal.read(journal.journal_path(folder, row.id), known)
        open_runs = [trace for key, trace in self._book.traces.items() if key in known and trace.status is None]
        # A tick earlier: our clock and that of /proc may differ by one.
        self._books = KeeperBooks(folder, min([t.pid_start - 1 for t in open_runs if t.pid_start and not t.pid], default=NEVER))
        for trace in open_runs:
            if trace.pid:
                self._books.want(trace)

    def is_for_its_keeper(self) -> bool:
        """In another container its keeper starts the next worker, which can see the jobs; from here they look gone. A worker
        whose keeper died is one itself by now."""
        folder, row = self._worker.queue.place.run, self._row
        keepers = (self._book.keeper, (row.pid, row.pid_start))
        return not self._machine.is_of(row) and any(ends.is_held(ends.path_of(folder, keeper)) for keeper in keepers)

    def run(self) -> bool:
        """What is adopted stands in our own journal before: killed at any instant, the old or the new one tells of it.
        False when something has happened to the jobs meanwhile: then it begins again, from what is so now."""
        worker, row = self._worker, self._row
        self._books.refresh()
        adopted: list[tuple[Job, Trace]] = []
        decided: list[tuple[Job, Event]] = []
        if worker.queue.store.shared:
            rescue.end_given_away(worker, self._book)
        for job in self._jobs:
            found = self._found(job)
            if isinstance(found, Trace):
                adopted.append((job, found))
            else:
                decided.append((job, found))
        for _, trace in adopted:
            worker.journal.started(trace)
        try:
            jobs = self._recorded(decided, adopted)
        except Doubtful as doubt:
            why = f"{doubt.what}: that the jobs of worker {row.id} are ours"
            raise Replaced(f"worker {worker.id} begins anew", why=why, hint="the next one looks at what there is") from doubt
        except QueueError as trouble:
            for _, trace in adopted:
                worker.journal.forget(trace.job, trace.run)
            if isinstance(trouble, Moved):
                return False
            raise
        for job, (_, trace) in zip(jobs, adopted, strict=True):
            worker.adopt(job, trace)
        if row.stopping not in (None, "restart") and self._book.keeper == worker.keeper:
            worker.stop(row.stopping)  # asked of a worker that died before it had; its keeper's next one does it
        if adopted or decided:
            worker.took_over(row.id, len(adopted), decided)
        return True

    def _recorded(self, decided: list[tuple[Job, Event]], adopted: list[tuple[Job, Trace]]) -> list[Job]:
        """Write it all; returns the adopted jobs as they are now."""
        worker, row, store, now = self._worker, self._row, self._worker.queue.store, clock.now_us()
        traces = [self._book.traces.get((job.number, job.run)) for job, _ in decided]
        cut = [trace.but(pid=trace.pid or row.pid) for trace in traces if trace and (trace.pid or trace.sent)]
        with store.transaction():
            if store.settled(row.id) != [(job.number, job.version) for job in self._jobs]:
                raise Moved(f"the jobs of worker {row.id} were changed meanwhile", why="somebody has done something to them")
            store.follow_this_clock()
            store.run_many(sql.ATTEMPT_TOLD, [(t.pid, t.log_start, t.job, t.run) for t in cut])
            store.run_many(sql.PUT_OUTPUT, [output_row(trace) for trace in cut if trace.kept])
            for job, event in decided:
                store.apply(job, event, now, f"worker {worker.id}")
            jobs = store.hand_over([_shown_running(store, job, trace, now) for job, trace in adopted], worker.id)
            store.run_many(sql.ATTEMPT_TOLD, [(t.pid, t.log_start, t.job, t.run) for _, t in adopted])
            store.remove_worker(row.id)
        return jobs

    def _found(self, job: Job) -> Trace | Event:
        """The trace of a run to adopt, or what to record of it."""
        trace = self._book.traces.get((job.number, job.run))
        if trace is not None and trace.sent:
            return self._call(job, trace)
        if self._machine.is_of(self._row):
            return self._found_here(job, trace)
        return self._settled_elsewhere(job, trace)

    def _call(self, job: Job, trace: Trace) -> Event:
        """Nobody can take over a connection: what has no answer was cut, for its target may have read the request."""
        if trace.said < 0:
            return interrupted(self._worker.terms, job, "its caller died while it waited for the answer")
        options = self._worker.terms.options_of(job)
        return Finished(answer_of(trace), options, self._worker.terms.backoff)

    def _found_here(self, job: Job, trace: Trace | None) -> Trace | Event:
        if trace is not None and trace.status is None and trace.pid:
            trace = self._books.complete(trace)
        if trace is not None and trace.status is not None and not trace.stopped_for:
            return finished(self._worker, job, trace)
        if trace is not None and trace.pid:
            return trace  # also when its process is gone: it may have ended since, or left what was to be ended too
        if trace is None or not trace.pid_start:
            return GivenBack("its worker died before it was started")
        started = self._nameless(job, trace)
        if started is not None:
            return self._found_here(job, trace.but(pid=started[0], pid_start=started[1]))
        if trace.mark >= mark.LEAST and self._keeper_lived_on():
            return GivenBack("its worker died before it was started")
        return interrupted(self._worker.terms, job, "its worker died in the moment of starting it, and nobody saw whether it ran")

    def _nameless(self, job: Job, trace: Trace) -> tuple[int, int] | None:
        """The process that the open start has led to, if it has.

        Those that are there are listed before the books are read again: a keeper writes before it reaps.
        """
        cookie = spawn.cookie_of(self._worker.store_id, job)
        found = ProcessTable(0).leaders(cookie)  # all: our clock and that of /proc may differ by a tick
        self._books.refresh()
        return first_begun(found | self._books.marked(mark.of(cookie)))

    def _keeper_lived_on(self) -> bool:
        """Whoever has inherited the dead worker's children is still there: the keeper, or the worker itself, turned into
        one. Then no child of it ended unseen."""
        return any(pid and clock.is_alive(pid, start) for pid, start in (self._book.keeper, (self._row.pid, self._row.pid_start)))

    def _settled_elsewhere(self, job: Job, trace: Trace | None) -> Event:
        if trace is not None and trace.pid and trace.status is None:
            trace = self._books.complete(trace)
        if trace is not None and trace.status is not None:
            return finished(self._worker, job, trace)
        same_boot = self._row.boot_id == self._machine.boot_id  # another container: its journal is whole
        if same_boot and job.stage == CLAIMED and trace is None:
            return GivenBack("its worker is gone and had not started it")
        return interrupted(self._worker.terms, job, "the machine was restarted, or the worker's container is gone")


def first_begun(processes: set[tuple[int, int]]) -> tuple[int, int] | None:
    """Of these (pid, start time): numbers go up, but for the one time that they begin anew.

    >>> first_begun({(501, 70), (480, 71), (502, 70)}), first_begun({(32760, 70), (301, 70)})
    ((501, 70), (32760, 70))
    """
    if not processes:
        return None
    first = min(start for _, start in processes)
    pids = [pid for pid, start in processes if start == first]
    return min((max(pids) - pid > FAR_APART, pid) for pid in pids)[1], first


def _shown_running(store: Store, job: Job, trace: Trace, now: int) -> Job:
    """A job claimed ahead whose worker died before it could tell that it runs: told now; inside a transaction."""
    if job.stage != CLAIMED:
        return job
    change = store.apply(job, Started(trace.started_us), now, f"worker {job.worker}")
    return change.after if change else job


def finished(worker: Heir, job: Job, trace: Trace) -> Finished | GivenBack:
    reason = journal.REASONS[trace.stopped_for]
    if reason in journal.GIVEN_BACK:
        return GivenBack(journal.GIVEN_BACK[reason])
    options = worker.terms.options_of(job)
    outcome = outcome_of(trace, reason or ("cancelled" if job.stop == "cancel" else ""), worker.terms.log_size(job))
    return Finished(outcome, options, worker.terms.backoff)


def answer_of(trace: Trace) -> Outcome:
    """The end of a call as the store records it."""
    reason = answers.reason_of(trace.said)
    return Outcome(
        exit_code=1 if reason else 0,
        started_us=trace.started_us,
        ended_us=max(trace.ended_us, trace.started_us),
        reason=reason,
        log_start=trace.log_start,
        log_end=trace.log_end,
        pid=trace.pid,
        note="the target said not to try again" if trace.final and reason.startswith("http") else "",
        final=bool(trace.final),
        not_before_us=trace.not_before_us,
    )


def output_row(trace: Trace) -> tuple[Any, ...]:
    """What was kept of an answer, for PUT_OUTPUT."""
    return (trace.job, "", 0, trace.kept, len(trace.kept), trace.job, trace.run)


def interrupted(terms: Terms, job: Job, why: str) -> Interrupted:
    return Interrupted(why, terms.options_of(job), terms.backoff)


def adopted_run(worker: Heir, job: Job, trace: Trace) -> Run:
    """A run of a worker that died, watched from now on; its time so far counts."""
    run = Run(job, trace, spawn.cookie_of(worker.store_id, job), worker.terms.options_of(job), worker.terms.timeout_of(job))
    run.child = False
    run.found_ended = not clock.is_alive(trace.pid, trace.pid_start)
    lived = (clock.boot_ticks() - trace.pid_start) / os.sysconf("SC_CLK_TCK") if trace.pid_start else 0.0
    run.began -= lived
    if run.deadline is not None:
        run.deadline -= lived
    return run
