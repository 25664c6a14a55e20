"""The runs of a worker: started, watched until they end, ended with all they have started, written down.

    collect (its end is seen, its process stays) → the next jobs start → settle (written, reaped, recorded)

A job that has ended gives its slot away before anything else is done about it: what follows happens while the next one
runs. Its process is not reaped before its end stands in the journal.
"""

from __future__ import annotations

import random
from time import monotonic

from ..lifecycle import Finished, GivenBack, Started
from ..model import Job
from . import cgroup, holes, journal, recovery, spawn, system
from .books import KeeperBooks
from .journal import Trace
from .launcher import Launcher
from .running import Run, outcome_of, processes_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any

    from ..lifecycle import Event
    from ..model import Options, Outcome
    from ..queue import Queue
    from .journal import Journal
    from .terms import Terms
    from .tree import ProcessTable

TREE_LOOK_S = 0.05  # how often runs that are being ended are looked for, when a look is cheap


class Slots:
    """What runs here; `events` are for the committer: how it ended."""

    def __init__(self, queue: Queue, store_id: str, journal_: Journal, terms: Terms, say: Callable[[str], None]) -> None:
        self.runs: dict[tuple[int, int], Run] = {}
        self.poll = system.Poll()
        self.events: list[tuple[Job, Event]] = []  # for the committer
        self.untold: list[Run] = []  # started, and the store does not know
        self.run_s: list[float] = []  # how long those took that have ended since somebody looked
        self.collected: list[Run] = []  # ended, and not settled yet
        self.groups = cgroup.delegated()
        self._store_id = store_id
        self._journal = journal_
        self._terms = terms
        self._say = say
        self._launcher = Launcher(queue, store_id, journal_)
        self._books = KeeperBooks(queue.place.run)
        self._by_fd: dict[int, Run] = {}
        self._unreaped: dict[tuple[int, int], Run] = {}  # the journal had no room for their ends
        self._next_look = 0.0
        self._look_s = holes.LOOK_S
        self._next_tree_look = 0.0

    def close(self) -> None:
        self.poll.close()
        if self.groups:
            cgroup.sweep(self.groups)

    # ------------------------------------------------------------ starting

    def start(self, job: Job) -> None:
        """Start a job. Raises OSError when the system refuses: nothing was started then. A job that cannot be started by
        its own fault has ended."""
        # Asked before: a refusal behind the start would be taken for one of the start.
        options, timeout_s = self._terms.options_of(job), self._terms.timeout_of(job)
        try:
            trace = self._launcher.launch(job, options)
        except spawn.CannotStart as fault:
            assert fault.trace is not None
            self._journal.ended(fault.trace)
            outcome = outcome_of(fault.trace, fault.reason, self._terms.log_size(job))
            self._record(job, outcome, options)
        except OSError:
            self._not_started(job)
            raise
        else:
            run = Run(job, trace, spawn.cookie_of(self._store_id, job), options, timeout_s)
            self.untold.append(run)
            if self._look_s > holes.LOOK_S:  # nobody knows yet how fast the new one prints
                self._look_s = holes.LOOK_S
                self._next_look = min(self._next_look, monotonic() + holes.LOOK_S)
            self._watch(run)

    def _not_started(self, job: Job) -> None:
        try:
            self._journal.not_started(job.number, job.run)
        except OSError:
            pass  # its start was not written either, or whoever takes over looks for a process in vain

    def adopt(self, run: Run) -> None:
        """Watch a run that another worker started."""
        if self.groups:
            run.enclose(self.groups)
        if run.trace.stopped_for:  # its worker was about to end it
            run.stop(journal.REASONS[run.trace.stopped_for], self._terms.grace_of(run))
        self._books.want(run.trace)
        self._watch(run)

    def _watch(self, run: Run) -> None:
        self.runs[run.key] = run
        try:
            run.pidfd = system.watch(run.trace.pid)
        except ProcessLookupError:
            return  # adopted, and gone in this moment: looked at in the next turn
        except OSError as fault:  # no descriptor left: it is looked at again and again instead
            self._say(f"jobs are watched by looking at them: {fault.strerror}")
        if not run.child and not run.exists:  # the number is another process's by now
            run.close()
        elif run.pidfd >= 0:
            try:
                self.poll.register(run.pidfd)
            except OSError as fault:  # it runs all the same: that it could not be started must not be believed
                self._say(f"jobs are watched by looking at them: {fault.strerror}")
                run.close()
            else:
                self._by_fd[run.pidfd] = run

    def tell(self) -> list[Run]:
        """Runs that the store should hear of now; those that were so short that they have ended are told by their end."""
        told, self.untold = self.untold, []
        for run in told if self.groups else ():
            run.enclose(self.groups or "")
        return told

    # ------------------------------------------------------------ ending

    def collect(self, fd: int) -> bool:
        """Take in what a descriptor tells: a run may have ended. False when the descriptor is not one of a run."""
        run = self._by_fd.get(fd)
        if run is not None:
            self._look_at(run)
        return run is not None

    def _look_at(self, run: Run) -> None:
        """Has it ended? Its slot is free from here on, unless its tree is still being ended."""
        if run.child:
            trace = run.collect()
            if trace is None:
                return
            self._journal.ended(trace)
        else:
            known = self._books.learn_end(run)
            if known is None:
                self._unregister(run)  # its descriptor stays ready; `next_moment` says when to ask again
                return
            if known:
                self._journal.ended(run.trace)
        run.over = True
        self._unregister(run)  # to close is not enough while a child that comes up holds a copy
        run.close()
        if not run.ending:
            del self.runs[run.key]
        self.collected.append(run)

    def _unregister(self, run: Run) -> None:
        if self._by_fd.pop(run.pidfd, None):
            self.poll.unregister(run.pidfd)

    def settle(self) -> None:
        """Write down the ends that were collected, reap, and close the runs that are over."""
        collected, self.collected = self.collected, []
        written = self.flush()
        for run in collected:
            if run.child and not written:
                self._unreaped[run.key] = run  # until the store knows its end, the zombie keeps it
            elif run.child and run.reap():
                self._journal.ended(run.trace)  # again, with what it used
            if not run.ending and run.leaves_something:
                run.settle_leftovers(self._terms.grace_of(run))
                if run.ending:
                    self.runs[run.key] = run
            if not run.ending:
                self._close(run)

    def flush(self) -> bool:
        """Whether there was room in the journal for what is to be written."""
        try:
            self._journal.flush()
        except OSError as fault:
            self._say(f"the journal cannot be written: {fault.strerror}")
            return False
        return True

    def _close(self, run: Run) -> None:
        self.runs.pop(run.key, None)
        run.leave_group()
        self.run_s.append(monotonic() - run.began)
        if run.stop_reason in journal.GIVEN_BACK:
            self.events.append((run.job, GivenBack(journal.GIVEN_BACK[run.stop_reason])))
        elif run.trace.status is None:
            why = "worker and keeper died, and nobody saw how it ended"
            self.events.append((run.job, recovery.interrupted(self._terms, run.job, why)))
        else:
            self._record(run.job, run.outcome(self._terms.final_log_size(run)), run.options)

    def _record(self, job: Job, outcome: Outcome, options: Options) -> None:
        backoff = self._terms.backoff
        self.events.append((job, Finished(outcome, options, backoff, random.random() if backoff.jitter else 0.0)))

    def committed(self, events: Iterable[tuple[Job, Any]]) -> None:
        """The store knows of these: the journal need not any more."""
        for job, event in events:
            if not isinstance(event, Started):
                self._journal.forget(job.number, job.run)
                if self._unreaped:
                    run = self._unreaped.pop((job.number, job.run), None)
                    if run is not None:
                        run.reap()

    # ------------------------------------------------------------ tending

    def tend(self, now: float) -> None:
        """Deadlines, trees that are being ended, output without end."""
        for run in list(self.runs.values()):
            if run.deadline is not None and now >= run.deadline and not run.ending:
                self.stop(run, "timeout")
            if not run.over and (run.asked_since is not None or run.must_be_looked_at()):
                self._look_at(run)
        self._tend_trees(now)
        if self.runs and now >= self._next_look:
            fast = [self._bound_output(run) for run in self.runs.values()]
            self._look_s = holes.LOOK_S if any(fast) else min(self._look_s * 1.5, holes.LOOK_S_MAX)
            self._next_look = now + self._look_s

    def _tend_trees(self, now: float) -> None:
        """Runs that are being ended: one look at the system serves for all of them, and a dear one is not soon repeated."""
        ending = [run for run in self.runs.values() if run.ending]
        if not ending or now < self._next_tree_look:
            return
        table = processes_of(ending)
        for run in ending:
            if run.tend(table) and run not in self.collected:
                self._close(run)
        self._next_tree_look = monotonic() + max(TREE_LOOK_S, 4 * (monotonic() - now))

    def _bound_output(self, run: Run) -> bool:
        ending = run.ending
        fast = self._terms.bound_output(run)
        if run.ending and not ending:
            self._note_stop(run.trace)
        return fast

    def moments(self) -> list[float]:
        """When something must be done about a run, on the monotonic clock."""
        moments = [self._next_look] if self.runs else []
        for run in self.runs.values():
            if run.ending:
                moments.append(self._next_tree_look)
            moment = run.next_moment
            if moment is not None:
                moments.append(moment)
        return moments

    # ------------------------------------------------------------ stopping

    def stop(self, run: Run, reason: str, table: ProcessTable | None = None) -> None:
        """Why goes into the journal first: killed now, the next worker would take the signal's work for the job's own."""
        if not run.ending:
            self._note_stop(run.trace.but(stopped_for=journal.REASONS.index(reason)))
        run.stop(reason, self._terms.grace_of(run), table)

    def stop_all(self, reason: str) -> None:
        table = processes_of(self.runs.values())
        for run in self.runs.values():
            self.stop(run, reason, table)

    def _note_stop(self, trace: Trace) -> None:
        try:
            self._journal.stopping(trace)
        except OSError as fault:
            self._say(f"the journal cannot be written: {fault.strerror}")
