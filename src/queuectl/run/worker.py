"""The worker: one loop that starts jobs, sees them end, and has it all recorded.

    wait (epoll) → reap what ended → start what is claimed → hand one turn to the committer → wait

The loop touches no database: the committer's thread does, one transaction per turn, while the loop goes on. What the
store does not know yet stands in the journal, so that a worker killed at any instant loses nothing.
"""

from __future__ import annotations

import os
import random
import sys
from time import monotonic

from .. import bell, clock, codec, files, limits, plan
from ..errors import StorageError, TryAgainLater
from ..lifecycle import Finished, GivenBack, Started
from ..model import CLAIMED, COMMAND, Job, Options, Outcome, Serving
from ..workers import own_row
from . import books, cgroup, holes, journal, recovery, spawn, system
from .committer import Committer, Report, Turn
from .journal import Trace
from .launcher import Launcher
from .running import Run, outcome_of
from .surroundings import Surroundings
from .terms import Terms
from .tree import ProcessTable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from ..lifecycle import Event
    from ..queue import Queue

SAY_AGAIN_S = 30.0
TREE_LOOK_S = 0.05  # how often runs that are being ended are looked for, when a look is cheap
SYSTEM_PAUSE_S = 0.5  # after the system refused a process


class Worker:
    """Runs the jobs of a queue, `slots` at a time. `run` blocks; use it from the main thread so that signals work.

    First SIGTERM or SIGINT: finish what runs, then return. Second: end what runs and put it back.
    """

    def __init__(
        self,
        queue: Queue,
        slots: int = 1,
        queues: tuple[str, ...] = (),
        offers: tuple[str, ...] = (COMMAND,),
        say: Callable[[str], None] | None = None,
    ) -> None:
        codec.whole(slots, "slots", 1, 10_000)
        self.queue = queue
        self.slots = slots
        self.serving = Serving(queues, offers)
        self._say = say or (lambda line: None)
        self.keeper_arguments: list[str] = []  # what to become a keeper with, when the keeper dies
        self.keeper = (0, 0)  # its pid and start time; zeros: there is none
        self.left = False  # ended with jobs still running
        self.renew = False  # ended in order to be started again with new code
        self._runs: dict[tuple[int, int], Run] = {}
        self._by_fd: dict[int, Run] = {}
        self._ahead: list[Job] = []
        self._ahead_since = 0.0
        self._events: list[tuple[Job, Event]] = []
        self._untold: list[Run] = []  # started, and the store does not know
        self._pace = plan.Pace()
        self._committing = False
        self._rung = True
        self._next_due_us: int | None = None
        self._next_tick = 0.0
        self._next_look = 0.0
        self._look_s = holes.LOOK_S
        self._next_tree_look = 0.0
        self._next_idle_look = 0.0
        self._not_before = 0.0
        self._signals = 0
        self._stopping = ""
        self._idle = False
        self._unreaped: dict[tuple[int, int], Run] = {}  # the journal had no room for their ends
        self._trouble, self._trouble_at = "", 0.0
        self.terms = Terms(queue, self._say)

    # ------------------------------------------------------------ life

    def run(self, until_idle: bool = False) -> None:
        """Work until told to stop; with `until_idle`, until nothing is left that would still run."""
        self._until_idle = until_idle
        self._surroundings = Surroundings(self._signalled, own_process=bool(self.keeper_arguments))
        try:
            self._open()
            try:
                while not self._finished():
                    self._tend()
                    self._start_ready()
                    self._hand_over()
                    self._wait()
            except BaseException:
                # Nothing is tidied up: what is claimed and what runs must look left to whoever takes over.
                self.journal.close(remove=False)
                raise
            self._close()
        finally:
            self._surroundings.give_back()

    def _open(self) -> None:
        place = self.queue.place
        files.own_folder(place.logs)  # refused now rather than at each job: another user's would be theirs to change
        self._ears = self.queue.listener(bell.WORK)
        self.store_id = self.queue.store.run("select value from meta where key = 'store_id'")[0][0]
        with self.queue.store.transaction():
            # The journal and its lock are there before anybody can see the worker.
            self.id = self.queue.store.add_worker(own_row(self.slots, self.serving))
            self.journal = journal.Journal(journal.journal_path(place.run, self.id), self.keeper)
        self._launcher = Launcher(self.queue, self.store_id, self.journal)
        self._committer = Committer(self.queue, self.id, self.serving)
        self._poll = system.Poll()
        self._groups = cgroup.delegated()
        self._books = books.KeeperBooks(place.run)
        self._wake_fd = self._surroundings.wake_fd
        self._parent = self._watch_keeper()
        for fd in (self._ears.fd, self._committer.fd, self._wake_fd, self._parent):
            if fd >= 0:
                self._poll.register(fd)
        self._say(f"worker {self.id} runs, {self.slots} slot{'s' if self.slots > 1 else ''}")
        self._recover()

    def _watch_keeper(self) -> int:
        """A descriptor that tells of the keeper's death. It may have died before we could look, and its number be another
        process's by now: our parent tells."""
        if not self.keeper_arguments:
            return -1
        try:
            fd = system.watch(self.keeper[0])
        except ProcessLookupError:
            fd = -1
        if os.getppid() != self.keeper[0]:
            self._parent = -1
            self._become_keeper()
        return fd

    def _recover(self) -> None:
        recovery.sweep(self)
        self._next_tick = monotonic() + plan.TICK_S

    def _signalled(self, number: int, frame: Any) -> None:
        self._signals += 1

    def _finished(self) -> bool:
        unwritten = self._events or self._committing or self._ahead
        busy = self._runs or unwritten
        if self._stopping in ("leave", "restart"):
            self.renew = self._stopping == "restart"
            self.left = bool(self._runs)
            return not unwritten
        if self._stopping:
            return not busy
        return self._until_idle and self._idle and not busy

    def _close(self) -> None:
        self._committer.close()
        clean = not self._runs and not self._ahead and not self._events
        if clean:
            with self.queue.store.transaction():
                self.queue.store.remove_worker(self.id)
        self.journal.close(remove=clean)
        self._ears.close()
        self._poll.close()
        if self._groups:
            cgroup.sweep(self._groups)
        if self._parent >= 0:
            os.close(self._parent)
        self.queue.store.checkpoint()
        self._say(f"worker {self.id} has stopped")

    # ------------------------------------------------------------ one turn of the loop

    def _wait(self) -> None:
        """Sleep until something happens, and take in what did."""
        for fd in self._poll.wait(plan.sleep_s(monotonic(), self._moments())):
            if fd in self._by_fd:
                self._ended(self._by_fd[fd])
            elif fd == self._ears.fd:
                self._rung |= self._ears.drain()
            elif fd == self._committer.fd:
                self._committer.drain()
            elif fd == self._parent:
                self._become_keeper()
            else:
                os.read(self._wake_fd, 4096)
        for report in self._committer.news():
            self._committed(report)
        if self._signals:
            self.stop("now" if self._signals > 1 else "finish")

    def _moments(self) -> list[float]:
        """The moments the loop must be awake at, on the monotonic clock."""
        now, moments = monotonic(), [self._next_tick]
        if self._runs:
            moments.append(self._next_look)
        if any(run.ending for run in self._runs.values()):
            moments.append(self._next_tree_look)
        for run in self._runs.values():
            moment = run.next_moment
            if moment is not None:
                moments.append(moment)
        if self._next_due_us is not None and not self._stopping:
            moments.append(now + (self._next_due_us - clock.now_us()) / 1e6)
        if self._ahead:
            moments.append(self._ahead_since + plan.AHEAD_KEPT_S)
        if self._untold and not self._committing:
            moments.append(self._untold[0].began + plan.TELL_AFTER_S)
        if self._until_idle and not self._runs and not self._committing:
            moments.append(self._next_idle_look)
        if self._not_before > now:
            moments.append(self._not_before)
        return moments

    def _tend(self) -> None:
        """Deadlines, trees that are being ended, jobs claimed in vain, the slow poll."""
        now = monotonic()
        for run in list(self._runs.values()):
            if run.deadline is not None and now >= run.deadline and not run.ending:
                self._stop_run(run, "timeout")
            if not run.over and (run.asked_since is not None or run.must_be_looked_at()):
                self._ended(run)
        self._tend_trees(now)
        if self._runs and now >= self._next_look:
            fast = [self._bound_output(run) for run in self._runs.values()]
            self._look_s = holes.LOOK_S if any(fast) else min(self._look_s * 1.5, holes.LOOK_S_MAX)
            self._next_look = now + self._look_s
        if self._ahead and now - self._ahead_since > plan.AHEAD_KEPT_S and len(self._runs) >= self.slots:
            self._give_back_ahead()
            self._pace = self._pace.but(run_s=plan.Pace().run_s)
        if self._next_due_us is not None and clock.now_us() >= self._next_due_us:
            self._rung, self._next_due_us = True, None
        if self._until_idle and not self._runs and now >= self._next_idle_look:
            self._rung, self._next_idle_look = True, now + plan.IDLE_LOOK_S
        if now >= self._next_tick:
            self._next_tick = now + plan.TICK_S
            self._rung = True
            self._look_around()

    def _tend_trees(self, now: float) -> None:
        """Runs that are being ended: one look at the system serves for all of them, and a dear one is not soon repeated."""
        ending = [run for run in self._runs.values() if run.ending]
        if not ending or now < self._next_tree_look:
            return
        table = ProcessTable()
        for run in ending:
            if run.tend(table):
                self._close_run(run)
        self._next_tree_look = monotonic() + max(TREE_LOOK_S, 4 * (monotonic() - now))

    def _bound_output(self, run: Run) -> bool:
        ending = run.ending
        fast = self.terms.bound_output(run)
        if run.ending and not ending:
            self._journal_stop(run.trace)
        return fast

    def _look_around(self) -> None:
        """The slow poll's own work, none of which is worth a worker's death: a full disk or a busy store passes."""
        try:
            recovery.sweep(self)
            self.terms.look_at_disk()
            if self._groups:
                cgroup.sweep(self._groups)
            self.terms.prune_old()
            limits.forget_past(self.queue)
            self.queue.store.checkpoint()
        except (StorageError, TryAgainLater, OSError) as trouble:
            self._say_trouble(str(trouble))

    def _say_trouble(self, trouble: str) -> None:
        """Say it, and again only after a while."""
        if trouble != self._trouble or monotonic() - self._trouble_at > SAY_AGAIN_S:
            self._say(f"{trouble}; trying again")
            self._trouble, self._trouble_at = trouble, monotonic()

    def _start_ready(self) -> None:
        if monotonic() < self._not_before:
            return
        while self._ahead and len(self._runs) < self.slots:
            self._start(self._ahead.pop(0))
            self._ahead_since = monotonic()

    def _hand_over(self) -> None:
        """Give the committer its next turn, when it is idle and there is something in it."""
        if self._committing:
            return
        free, wanted = self._claimable()
        untold = self._untold_runs()
        ended = len(self._events)
        if not (self._rung or untold or plan.turn_is_due(len(self._ahead), wanted, ended)):
            return
        self._untold = []
        for run in untold if self._groups else ():
            run.enclose(self._groups or "")
        events = self._events + [(run.job, Started(run.trace.started_us)) for run in untold if run.job.stage == CLAIMED]
        ahead = max(0, wanted - len(self._ahead)) if free + wanted else 0
        counting = self._until_idle and not self._runs
        turn = Turn(events, [run.trace for run in untold], max(0, free - len(self._ahead)), ahead, counting)
        self._events, self._rung, self._committing = [], False, True
        if self._runs or self._ahead or not self._committer.commit_here(turn):
            self._committer.put(turn)

    def _untold_runs(self) -> list[Run]:
        """Runs that the store should hear of now: those that were so short that they have ended are told by their end."""
        self._untold = [run for run in self._untold if not run.over]
        due = self._untold and monotonic() - self._untold[0].began >= plan.TELL_AFTER_S
        return self._untold if due else []

    def _claimable(self) -> tuple[int, int]:
        if self._stopping or self.terms.disk_is_low or monotonic() < self._not_before:
            return 0, 0
        return self.slots - len(self._runs), plan.ahead_wanted(self.slots, self._pace)

    def _committed(self, report: Report) -> None:
        self._committing = False
        self._pace = self._pace.after_commit(report.took_s)
        for job, event in report.turn.events:
            if not isinstance(event, Started):
                self.journal.forget(job.number, job.run)
                if (job.number, job.run) in self._unreaped:
                    self._unreaped.pop((job.number, job.run)).reap()
        if not self._ahead:
            self._ahead_since = monotonic()
        self._ahead += report.claimed
        self._next_due_us = report.next_due_us
        self._idle = report.turn.count_left and not report.left and not report.claimed
        if report.claimed and len(report.claimed) == report.turn.free + report.turn.ahead:
            self._rung = self._rung or len(self._runs) + len(self._ahead) < self.slots
        for number, run, what in report.stops:
            self._stop_one(number, run, what)
        if report.stopping:
            self.stop(report.stopping)

    # ------------------------------------------------------------ one job

    def _start(self, job: Job) -> None:
        options = self.terms.options_of(job)
        try:
            trace = self._launcher.launch(job, options)
        except spawn.CannotStart as fault:
            assert fault.trace is not None
            self._journal_end(fault.trace)
            outcome = outcome_of(fault.trace, fault.reason, self.terms.log_size(job))
            self._record_end(job, outcome, options)
        except OSError as fault:
            self._say_trouble(f"job {job.id} cannot be started now: {fault.strerror}")
            self._not_before = monotonic() + SYSTEM_PAUSE_S
            self._journal_not_started(job)
            self._events.append((job, GivenBack(f"the system refused: {fault.strerror}")))
        else:
            run = Run(job, trace, spawn.cookie_of(self.store_id, job), options, self.terms.timeout_of(job))
            self._untold.append(run)
            if self._look_s > holes.LOOK_S:  # nobody knows yet how fast the new one prints
                self._look_s = holes.LOOK_S
                self._next_look = min(self._next_look, monotonic() + holes.LOOK_S)
            self._watch(run)

    def _watch(self, run: Run) -> None:
        self._runs[run.key] = run
        try:
            run.pidfd = system.watch(run.trace.pid)
        except ProcessLookupError:  # adopted, and gone in this moment
            self._ended(run)
            return
        except OSError as fault:  # no descriptor left: it is looked at again and again instead
            self._say_trouble(f"jobs are watched by looking at them: {fault.strerror}")
        if not run.child and not run.exists:  # the number is another process's by now
            run.close()
            self._ended(run)
        elif run.pidfd >= 0:
            self._poll.register(run.pidfd)
            self._by_fd[run.pidfd] = run

    def adopt(self, job: Job, trace: Trace) -> None:
        """Watch a run that another worker started."""
        run = recovery.adopted_run(self, job, trace)
        if self._groups:
            run.enclose(self._groups)
        if trace.stopped_for:  # its worker was about to end it
            run.stop(journal.REASONS[trace.stopped_for], self.terms.grace_of(run))
        self._watch(run)

    def took_over(self, dead: int, adopted: int, decided: list[tuple[Job, Event]]) -> None:
        rest = f", {len(decided)} settled" if decided else ""
        self._say(f"took over from worker {dead}, which died: {adopted} running{rest}")
        self._rung = True
        bell.ring(self.queue.place.run, bell.DONE)

    def _ended(self, run: Run) -> None:
        """The leader has ended: journal first, then reap. A tree that is being ended may take longer."""
        if run.child:
            trace = run.collect()
            if trace is None:
                return
            if self._journal_end(trace):
                run.reap()
                self._journal_end(run.trace)  # again, with what it used
            else:
                self._unreaped[run.key] = run  # until the store knows its end, the zombie keeps it
        else:
            known = self._books.learn_end(run)
            if known is None:
                self._unregister(run)  # its descriptor stays ready; `next_moment` says when to ask again
                return
            if known:
                self._journal_end(run.trace)
        run.over = True
        self._unregister(run)
        run.close()
        run.settle_leftovers(self.terms.grace_of(run))
        if not run.ending:
            self._close_run(run)

    def _unregister(self, run: Run) -> None:
        if run.pidfd in self._by_fd:
            self._poll.unregister(run.pidfd)
            del self._by_fd[run.pidfd]

    def _close_run(self, run: Run) -> None:
        del self._runs[run.key]
        run.leave_group()
        self._pace = self._pace.after_run(monotonic() - run.began)
        if run.stop_reason == "stopped":
            self._events.append((run.job, GivenBack("ended by 'worker stop --now'")))
        elif run.trace.status is None:
            why = "worker and keeper died, and nobody saw how it ended"
            self._events.append((run.job, recovery.interrupted(self, run.job, why)))
        else:
            self._record_end(run.job, run.outcome(self.terms.final_log_size(run)), run.options)

    def _journal_end(self, trace: Trace) -> bool:
        """Whether there was room for it."""
        try:
            self.journal.ended(trace)
        except OSError as fault:
            self._say_trouble(f"the journal cannot be written: {fault.strerror}")
            return False
        return True

    def _journal_not_started(self, job: Job) -> None:
        try:
            self.journal.not_started(job.number, job.run)
        except OSError:
            pass  # its start was not written either, or whoever takes over looks for a process in vain

    def _record_end(self, job: Job, outcome: Outcome, options: Options) -> None:
        backoff = self.terms.config.backoff
        self._events.append((job, Finished(outcome, options, backoff, random.random() if backoff.jitter else 0.0)))

    # ------------------------------------------------------------ stopping

    def _stop_one(self, number: int, run_number: int, what: str) -> None:
        run = self._runs.get((number, run_number))
        if run:
            if what == "cancel":
                self._stop_run(run, "cancelled")
            return
        for job in self._ahead:
            if (job.number, job.run) == (number, run_number):
                self._ahead.remove(job)
                self._events.append((job, GivenBack()))
                return

    def _stop_run(self, run: Run, reason: str, table: ProcessTable | None = None) -> None:
        """Why goes into the journal first: killed now, the next worker would take the signal's work for the job's own."""
        if not run.ending:
            self._journal_stop(run.trace.but(stopped_for=journal.REASONS.index(reason)))
        run.stop(reason, self.terms.grace_of(run), table)

    def _journal_stop(self, trace: Trace) -> None:
        try:
            self.journal.stopping(trace)
        except OSError as fault:
            self._say_trouble(f"the journal cannot be written: {fault.strerror}")

    def _become_keeper(self) -> None:
        """The keeper was killed: take its place. Our children stay ours; the worker we start will adopt them.

        What the committer is at is lost or done, as if we had been killed: the journal tells.
        """
        self._say("the keeper died; taking its place")
        try:
            os.execv(sys.executable, [sys.executable, "-m", "queuectl.run.keeper", *self.keeper_arguments])
        except OSError as fault:
            self._say(f"that failed ({fault.strerror}): this worker goes on without a keeper")
            if self._parent >= 0:
                self._poll.unregister(self._parent)
                os.close(self._parent)
            self._parent = -1

    def _give_back_ahead(self) -> None:
        self._events += [(job, GivenBack()) for job in self._ahead]
        self._ahead = []

    def stop(self, how: str) -> None:
        """`finish`: claim no more, wait for what runs. `now`: end what runs and put it back. `leave`, `restart`: go,
        what runs is left to the keeper and the next worker."""
        if self._stopping == how:
            return
        if not self._stopping:
            waits = f", waiting for {len(self._runs)} running" if self._runs and how == "finish" else ""
            self._say("stopping" + waits)
        self._stopping = how
        self._give_back_ahead()
        if how == "now":
            table = ProcessTable()
            for run in self._runs.values():
                self._stop_run(run, "stopped", table)
