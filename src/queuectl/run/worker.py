"""The worker: one loop that starts jobs, sees them end, and has it all recorded.

    wait (epoll) → see what ended → start what is claimed → settle what ended → hand one turn to the committer → wait

The loop touches no database: the committer's thread does, one transaction per turn, while the loop goes on. What the
store does not know yet stands in the journal, so that a worker killed at any instant loses nothing.
"""

from __future__ import annotations

import os
from time import monotonic

from .. import bell, clock, codec, files, limits, plan
from ..errors import Replaced, StorageError, TryAgainLater
from ..lifecycle import GivenBack, Started
from ..model import CLAIMED, COMMAND, HOST, Job, Serving
from ..workers import own_row
from . import cgroup, journal, mark, recovery, rescue, system
from .committer import Committer
from .keeper import become
from .leased import Leased, end_runs
from .slots import Slots
from .surroundings import Surroundings
from .terms import Terms
from .turn import Report, Turn
from .wanted import Wanted

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from ..lifecycle import Event
    from ..queue import Queue
    from .journal import Trace

SAY_AGAIN_S = 30.0
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
        here = [HOST + clock.host()] if queue.store.shared and COMMAND in offers else []  # packets that lie on this machine
        self.serving = Serving(queues, (*offers, *here))
        self._say = say or (lambda line: None)
        self.keeper_arguments: list[str] = []  # what to become a keeper with, when the keeper dies
        self.keeper = (0, 0)  # its pid and start time; zeros: there is none
        self.left = False  # ended with jobs still running
        self.renew = False  # ended in order to be started again with new code
        self._ahead: list[Job] = []
        self._ahead_since = 0.0
        self._pace = plan.Pace()
        self._committing, self._rung = False, True
        self._next_due_us: int | None = None
        self._next_tick = 0.0
        self._next_idle_look = 0.0
        self._not_before = 0.0
        self._stopping, self._idle = "", False
        self._trouble, self._trouble_at = "", 0.0
        self.terms = Terms(queue, self._say)

    # ------------------------------------------------------------ life

    def run(self, until_idle: bool = False) -> None:
        """Work until told to stop; with `until_idle`, until nothing is left that would still run."""
        self._until_idle = until_idle
        self._surroundings = Surroundings(own_process=bool(self.keeper_arguments))
        try:
            self._begin()
            try:
                self._open()
                while not self._finished():
                    self._tend()
                    self._start_ready()
                    self._settle()
                    self._hand_over()
                    self._wait()
            except BaseException:
                # Nothing is tidied up: what is claimed and what runs must look left to whoever takes over.
                self.journal.close(remove=False)
                self._leased.close()
                raise
            self._close()
        finally:
            self._surroundings.give_back()

    def _begin(self) -> None:
        """From here on there is such a worker."""
        place = self.queue.place
        files.own_folder(place.logs)  # refused now rather than at each job: another user's would be theirs to change
        self._ears = self.queue.listener(bell.WORK)
        self.store_id = self.queue.store.run("select value from meta where key = 'store_id'")[0][0]
        with self.queue.store.transaction():
            # The journal and its lock are there before anybody can see the worker.
            self.id = self.queue.store.add_worker(own_row(self.slots, self.serving))
            self.journal = journal.Journal(journal.journal_path(place.run, self.id), self.keeper)
        self._slots = Slots(self.queue, self.store_id, self.journal, self.terms, self._say_trouble)
        self._leased = Leased(self.queue.store, self.terms, self._say, self._slots.runs, lambda: end_runs(self._slots))

    def _open(self) -> None:
        self._committer = Committer(self.queue, self.id, self.serving, lambda: self._slots.runs.values())
        self._wake_fd = self._surroundings.wake_fd
        self._parent = self._watch_keeper()
        self._wanted = Wanted(self.queue, self.keeper[0], self.serving, self._say_trouble)
        self._committer.writer.calls_elsewhere = self._wanted.may_ask
        for fd in (self._ears.fd, self._committer.fd, self._wake_fd, self._parent, self._wanted.fd):
            if fd >= 0:
                self._slots.poll.register(fd)
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
        try:
            recovery.sweep(self)
        except Replaced:
            raise
        except StorageError:  # a disk may fail once; one that does so twice is told to whoever starts the worker
            recovery.sweep(self)
        self._wanted.look()
        try:
            self.terms.look_at_disk()  # before anything is claimed
        except OSError as trouble:
            self._say_trouble(str(trouble))
        self._next_tick = monotonic() + self._leased.tick_s

    def _finished(self) -> bool:
        unwritten = self._slots.events or self._slots.collected or self._committing or self._ahead
        busy = self._slots.runs or unwritten
        if self._stopping in ("leave", "restart"):
            self.renew = self._stopping == "restart"
            self.left = bool(self._slots.runs)
            return not unwritten
        if self._stopping:
            return not busy
        return self._until_idle and self._idle and not busy

    def _close(self) -> None:
        self._committer.close()
        clean = not (self._slots.runs or self._ahead or self._slots.events)
        if clean:
            with self.queue.store.transaction():
                self.queue.store.remove_worker(self.id)
        self.journal.close(remove=clean)
        self._ears.close()
        self._wanted.close(lambda: self._surroundings.stops > 1)
        self._slots.close()
        self._leased.close()
        if self._parent >= 0:
            os.close(self._parent)
        try:
            self.queue.store.checkpoint()
        except (StorageError, TryAgainLater) as trouble:  # the row has gone: who waited for that may have taken the store away
            self._say_trouble(trouble.plain)
        self._say(f"worker {self.id} has stopped")

    # ------------------------------------------------------------ one turn of the loop

    def _wait(self) -> None:
        """Sleep until something happens, and take in what did."""
        for fd in self._slots.poll.wait(plan.sleep_s(monotonic(), self._moments())):
            if self._slots.collect(fd):
                continue
            if fd == self._ears.fd:
                self._rung |= self._ears.drain()
            elif fd == self._committer.fd:
                self._committer.drain()
            elif fd == self._parent:
                self._become_keeper()
            elif fd == self._wake_fd:
                os.read(self._wake_fd, 4096)
            elif fd == self._wanted.fd:
                self._look_around()
        for report in self._committer.news():
            self._committed(report)
        asked = self._surroundings.asks()
        if asked and not (asked == "restart" and self._stopping):
            self.stop(asked)

    def _moments(self) -> list[float]:
        """The moments the loop must be awake at, on the monotonic clock."""
        now = monotonic()
        moments = [self._next_tick, *self._slots.moments(), *self._leased.moments(now)]
        if self._next_due_us is not None and not self._stopping:
            moments.append(now + (self._next_due_us - clock.now_us()) / 1e6)
        if self._ahead:
            moments.append(self._ahead_since + plan.AHEAD_KEPT_S)
        if self._slots.untold and not self._committing:
            moments.append(self._slots.untold[0].began + plan.TELL_AFTER_S)
        if self._until_idle and not self._slots.runs and not self._committing:
            moments.append(self._next_idle_look)
        if self._not_before > now:
            moments.append(self._not_before)
        return moments

    def _tend(self) -> None:
        """What runs, jobs claimed in vain, the slow poll."""
        now = monotonic()
        if self._leased.tend():
            self._give_back_ahead()  # another may have them by now
        self._slots.tend(now)
        if self._ahead and now - self._ahead_since > plan.AHEAD_KEPT_S and len(self._slots.runs) >= self.slots:
            self._give_back_ahead()
            self._pace = self._pace.but(run_s=plan.Pace().run_s)
        if self._next_due_us is not None and clock.now_us() >= self._next_due_us:
            self._rung, self._next_due_us = True, None
        if self._until_idle and not self._slots.runs and now >= self._next_idle_look:
            self._rung, self._next_idle_look = True, now + plan.IDLE_LOOK_S
        if now >= self._next_tick:
            self._next_tick = now + self._leased.tick_s
            self._rung = True
            if not (self.queue.store.shared and self._committing):  # a server that does not answer would hold the loop up
                self._look_around()

    def _look_around(self) -> None:
        """The slow poll's own work, none of which is worth a worker's death: a full disk or a busy store passes."""
        try:
            self._wanted.look()
            recovery.sweep(self)
            if self.queue.store.shared:
                rescue.rescue(self)
            self.terms.look_at_disk()
            if self._slots.groups:
                cgroup.sweep(self._slots.groups)
            self.terms.prune_old()
            limits.forget_past(self.queue)
            self.queue.store.checkpoint()
        except Replaced:
            raise
        except (StorageError, TryAgainLater) as trouble:
            self._say_trouble(trouble.plain)
        except OSError as trouble:
            self._say_trouble(str(trouble))

    def _say_trouble(self, trouble: str) -> None:
        """Say it, and again only after a while."""
        if trouble != self._trouble or monotonic() - self._trouble_at > SAY_AGAIN_S:
            self._say(f"{trouble}; trying again")
            self._trouble, self._trouble_at = trouble, monotonic()

    def _start_ready(self) -> None:
        if monotonic() < self._not_before:
            return
        while self._ahead and len(self._slots.runs) < self.slots:
            job = self._ahead.pop(0)
            try:
                self._slots.start(job)
            except OSError as fault:
                self._say_trouble(f"job {job.id} cannot be started now: {fault.strerror}")
                self._not_before = monotonic() + SYSTEM_PAUSE_S
                self._slots.events.append((job, GivenBack(f"the system refused: {fault.strerror}")))
                return
            self._ahead_since = monotonic()

    def _settle(self) -> None:
        self._slots.settle()
        for seconds in self._slots.run_s:
            self._pace = self._pace.after_run(seconds)
        self._slots.run_s.clear()

    def _hand_over(self) -> None:
        """Give the committer its next turn, when it is idle and there is something in it."""
        if self._committing:
            return
        free, wanted = self._claimable()
        untold = self._slots.tell() if self._must_tell() else []
        ended = self._slots.events
        if not (self._rung or untold or plan.turn_is_due(len(self._ahead), wanted, len(ended), self.slots, self._pace)):
            return
        started: list[tuple[Job, Event]] = [(r.job, Started(r.trace.started_us)) for r in untold if r.job.stage == CLAIMED]
        ahead = max(0, wanted - len(self._ahead)) if free + wanted else 0
        counting = self._until_idle and not self._slots.runs
        look = self._rung and self._wanted.may_ask
        traces = [run.trace for run in untold]
        turn = Turn(ended + started, traces, max(0, free - len(self._ahead)), ahead, counting, look_for_calls=look)
        self._slots.events, self._rung, self._committing = [], False, True
        if self._slots.runs or self._ahead or not self._committer.commit_here(turn):
            self._committer.put(turn)

    def _must_tell(self) -> bool:
        """Whether something has run for so long that the store should hear of it."""
        slots = self._slots
        slots.untold = [run for run in slots.untold if not run.over]
        return bool(slots.untold) and monotonic() - slots.untold[0].began >= plan.TELL_AFTER_S

    def _claimable(self) -> tuple[int, int]:
        if self._stopping or self.terms.disk_is_low or monotonic() < self._not_before:
            return 0, 0
        return self.slots - len(self._slots.runs), plan.ahead_wanted(self.slots, self._pace)

    def _committed(self, report: Report) -> None:
        self._committing = False
        self._next_tick = min(self._next_tick, monotonic() + self._leased.tick_s)
        self._pace = self._pace.after_commit(report.took_s)
        self._slots.committed(report.turn.events)
        if not self._ahead:
            self._ahead_since = monotonic()
        self._ahead += report.claimed
        self._next_due_us = report.next_due_us
        self._idle = report.turn.count_left and not report.left and not report.claimed
        if report.claimed and len(report.claimed) == report.turn.free + report.turn.ahead:
            self._rung = self._rung or len(self._slots.runs) + len(self._ahead) < self.slots
        for number, run, what in report.stops:
            self._stop_one(number, run, what)
        if report.calls_wait:
            self._wanted.ask_for_caller()
        if report.stopping:
            self.stop(report.stopping)
        if self._stopping:
            self._give_back_ahead()  # what was being claimed when that came

    # ------------------------------------------------------------ taking over

    def adopt(self, job: Job, trace: Trace) -> None:
        """Watch a run that another worker started."""
        self._slots.adopt(recovery.adopted_run(self, job, trace))

    def took_over(self, dead: int, adopted: int, decided: list[tuple[Job, Event]]) -> None:
        rest = f", {len(decided)} settled" if decided else ""
        self._say(f"took over from worker {dead}: {adopted} running{rest}")
        self._rung = True
        self.queue.ring(bell.DONE)

    # ------------------------------------------------------------ stopping

    def _stop_one(self, number: int, run_number: int, what: str) -> None:
        run = self._slots.runs.get((number, run_number))
        if run:
            if what == "cancel":
                self._slots.stop(run, "cancelled")
            return
        for job in self._ahead:
            if (job.number, job.run) == (number, run_number):
                self._ahead.remove(job)
                self._slots.events.append((job, GivenBack()))
                return

    def _become_keeper(self) -> None:
        """The keeper was killed: take its place. Our children stay ours; the worker we start will adopt them.

        What the committer is at is lost or done, as if we had been killed: the journal tells.
        """
        self._say("the keeper died; taking its place")
        mark.clear()
        self.journal.outlives_exec(True)
        try:
            become(self.keeper_arguments, lambda: bool(self._surroundings.stops or self._stopping in ("finish", "now")))
        except OSError as fault:
            self._say(f"that failed ({fault.strerror}): this worker goes on without a keeper")
            self.journal.outlives_exec(False)
            if self._parent >= 0:
                self._slots.poll.unregister(self._parent)
                os.close(self._parent)
            self._parent = -1

    def _give_back_ahead(self) -> None:
        self._slots.events += [(job, GivenBack()) for job in self._ahead]
        self._ahead = []

    def stop(self, how: str) -> None:
        """`finish`: claim no more, wait for what runs. `now`: end what runs and put it back. `leave`, `restart`: go,
        what runs is left to the keeper and the next worker."""
        if self._stopping == how:
            return
        if not self._stopping:
            waits = f", waiting for {len(self._slots.runs)} running" if self._slots.runs and how == "finish" else ""
            self._say("stopping" + waits)
        self._stopping = how
        self._give_back_ahead()
        if how == "now":
            self._slots.stop_all("stopped")
