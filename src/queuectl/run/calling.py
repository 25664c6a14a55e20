"""The caller's loop: makes the jobs which are HTTP calls, many at once, with asyncio.

    wait → take in the committer's report → start calls that are claimed → hand the ends over as one turn → wait

It is a worker like any other to the store and to whoever takes over from it: a row, a journal with a lock, claims and ends
through the committer's thread. It has no children: a connection dies with it. So its journal says which calls may have
been sent; those that have no answer there were cut, all others go back uncharged.
"""

from __future__ import annotations

import asyncio
import os
import signal
from concurrent.futures import ThreadPoolExecutor
from time import monotonic

from .. import bell, clock, files, plan
from ..errors import Replaced, StorageError, TryAgainLater
from ..lifecycle import GivenBack, Started
from ..model import CALL, CLAIMED, Job, Serving
from ..store import pages, sql
from ..workers import own_row
from . import flight, journal, recovery, system
from .ahead import Ahead
from .committer import Committer
from .flight import Flight, Flights
from .leased import Leased
from .terms import Terms
from .turn import Report, Turn

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from ..lifecycle import Event
    from ..queue import Queue
    from .apart import Apart
    from .journal import Trace

SOON_S = 5.0  # what becomes due so soon is waited for when draining
RESOLVERS = 256  # names looked up at once: threads, made when they are needed
SAY_AGAIN_S = 30.0
FORGET_S = 60.0  # how often limits that have passed are removed
SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class Caller:
    """Makes the calls of the queues it serves. `slots` is how many at once, of all targets or of one; 0: as is set."""

    def __init__(
        self,
        queue: Queue,
        queues: tuple[str, ...] = (),
        slots: int = 0,
        tags: tuple[str, ...] = (),
        say: Callable[[str], None] = lambda line: None,
    ) -> None:
        self.queue = queue
        self.keeper = (0, 0)  # its pid and start time; zeros: there is none
        self.idle_s = 0.0  # end after so long without a call; 0: stay
        self.apart = False  # it has a processor for itself: turns are committed by a process beside it
        self.until_idle = False  # end when there is nothing to call now
        self.renew = False  # ended in order to be started again with new code
        self.terms = Terms(queue, say)
        self._slots = slots
        self._serving = Serving(queues, (CALL, *tags))
        self._say = say
        self._ahead = Ahead(self._serving.busy)
        self._untold: list[Flight] = []
        self._pace = plan.Pace()
        self._committing = False
        self._rung = True
        self._next_due_us: int | None = None
        self._next_tick = 0.0
        self._forgot = 0.0
        self._used = monotonic()
        self._stopping = ""
        self._draining = False
        self._trouble, self._trouble_at = "", -SAY_AGAIN_S

    # ------------------------------------------------------------ life

    async def run(self) -> None:
        """Work until told to stop. The first signal lets the calls under way end, the second ends them."""
        self._begin()
        try:
            self._open()
            while not self._finished():
                self._tend()
                self._start_ready()
                self._hand_over()
                self._write_down()
                await self._wait()
        except BaseException:
            # As if killed: what is claimed and what is under way must look left to whoever takes over.
            self._committer.abandon()
            self.journal.close(remove=False)
            self._leased.close()
            raise
        await self._close()

    def _begin(self) -> None:
        """From here on there is such a caller."""
        queue, place = self.queue, self.queue.place
        files.own_folder(place.logs)
        self._loop = asyncio.get_running_loop()
        self._loop.set_default_executor(ThreadPoolExecutor(RESOLVERS, "resolver"))
        self._woken = asyncio.Event()
        self._ears = queue.listener(bell.WORK)
        self.store_id = str(queue.store.run(sql.META, ("store_id",))[0][0])
        with queue.store.transaction():
            # The journal and its lock are there before anybody can see the caller.
            self.id = queue.store.add_worker(own_row(self._slots or self.terms.config.call_slots, self._serving))
            self.journal = journal.Journal(journal.journal_path(place.run, self.id), self.keeper)
        self._flights = flights = Flights(self, self._landed)
        self._leased = Leased(queue.store, self.terms, self._say, flights.under_way, flights.end_elsewhere)
        self._committer = self._new_committer()

    def _open(self) -> None:
        for fd, taken in ((self._ears.fd, self._hear), (self._committer.fd, self._committer.drain)):
            self._loop.add_reader(fd, self._wake, taken)
        self._watch_keeper()
        self._say(f"caller {self.id} runs")
        self._tick()

    def _new_committer(self) -> Apart | Committer:
        if self.apart and not self.queue.store.shared:  # a server does the work by itself, a thread but waits for it
            from .apart import Apart

            return Apart(self.queue, self.id, self._serving, self.journal.path)
        return Committer(self.queue, self.id, self._serving)

    def mind_signals(self) -> None:
        """For a caller that has its process to itself: those that came while it started are taken in now."""
        loop = asyncio.get_running_loop()
        for number in SIGNALS:
            loop.add_signal_handler(number, self.signalled, number)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)

    def _watch_keeper(self) -> None:
        """When the keeper dies, whoever takes its place starts another caller: this one finishes."""
        if not self.keeper[0]:
            return
        try:
            fd = system.watch(self.keeper[0])
        except OSError:
            fd = -1
        if os.getppid() != self.keeper[0]:
            self.stop("finish")
        elif fd >= 0:
            self._loop.add_reader(fd, self._keeper_died, fd)

    def _keeper_died(self, fd: int) -> None:
        self._loop.remove_reader(fd)
        os.close(fd)
        self.stop("finish")

    def _wake(self, taken: Callable[[], object]) -> None:
        taken()
        self._woken.set()

    def _hear(self) -> None:
        self._rung |= self._ears.drain()

    def signalled(self, number: int) -> None:
        """A hang-up says only that somebody else will go on."""
        self.stop("now" if self._stopping and number != signal.SIGHUP else "finish")

    def _finished(self) -> bool:
        flights = self._flights
        if flights.under_way or flights.events or flights.rests or self._committing or self._ahead.waiting:
            return False
        if self._stopping:
            self.renew = self._stopping == "restart"
            return True
        if self.until_idle and not self._rung:
            return not (self._draining and self._next_due_us and self._next_due_us < clock.now_us() + SOON_S * 1e6)
        return bool(self.idle_s) and monotonic() - self._used > self.idle_s

    async def _close(self) -> None:
        for fd in (self._ears.fd, self._committer.fd):
            self._loop.remove_reader(fd)
        self._committer.close()
        self._leased.close()
        with self.queue.store.transaction():
            self.queue.store.remove_worker(self.id)
        self.journal.close(remove=True)
        self._ears.close()
        await self._flights.close()
        self.queue.ring(bell.DONE)
        self._say(f"caller {self.id} has stopped")

    # ------------------------------------------------------------ one turn of the loop

    async def _wait(self) -> None:
        """Sleep until something happens: a ring, a report, the end of a call, a moment that has come."""
        if self._finished():
            return
        try:
            async with asyncio.timeout(plan.sleep_s(monotonic(), self._moments())):
                await self._woken.wait()
        except TimeoutError:
            pass
        self._woken.clear()
        for report in self._committer.news():
            self._committed(report)

    def _write_down(self) -> None:
        """What ended since the last turn, in one write; before anything else can happen."""
        try:
            self.journal.flush()
        except OSError as fault:
            self.complain(f"the journal cannot be written: {fault.strerror}")

    def _moments(self) -> list[float]:
        now = monotonic()
        moments = [self._next_tick, self._flights.first_ends, *self._leased.moments(now)]
        if self._next_due_us is not None and not self._stopping:
            moments.append(now + (self._next_due_us - clock.now_us()) / 1e6)
        if self._untold and not self._committing:
            moments.append(self._untold[0].began + plan.TELL_AFTER_S)
        if self._ahead.waiting:
            moments.append(self._ahead.since + plan.AHEAD_KEPT_S)
        if self.idle_s and not self._flights.under_way:
            moments.append(self._used + self.idle_s + 0.01)
        return moments

    def _tend(self) -> None:
        if self._next_due_us is not None and clock.now_us() >= self._next_due_us:
            self._rung, self._next_due_us = True, None
        self._flights.end_late(monotonic())
        if self._leased.tend():
            self._give_back_ahead()  # another may have them by now
        if self._ahead.waiting and monotonic() - self._ahead.since > plan.AHEAD_KEPT_S:
            self._give_back_ahead()
            self._pace = self._pace.but(run_s=plan.Pace().run_s)
        if monotonic() >= self._next_tick:
            self._tick()

    def _tick(self) -> None:
        """The slow poll: lost rings, callers that have died, a disk that is full."""
        self._next_tick, self._rung = monotonic() + self._leased.tick_s, True
        if self.queue.store.shared and self._committing:
            return  # a server that does not answer would hold the loop up
        try:
            recovery.sweep(self, only_callers=True)
            self.terms.look_at_disk()
            self.terms.prune_old()
            if monotonic() - self._forgot > FORGET_S:
                self._forgot = monotonic()
                with self.queue.store.transaction():
                    self.queue.store.run(sql.FORGET_LIMITS, (clock.now_us(),))
            self.queue.store.checkpoint()
        except Replaced:
            raise
        except (StorageError, TryAgainLater) as trouble:
            self.complain(trouble.plain)
        except OSError as trouble:
            self.complain(str(trouble))

    def complain(self, trouble: str) -> None:
        if trouble != self._trouble or monotonic() - self._trouble_at > SAY_AGAIN_S:
            self._say(f"{trouble}; trying again")
            self._trouble, self._trouble_at = trouble, monotonic()

    def _hand_over(self) -> None:
        """Give the committer its next turn, when it is idle and there is something in it."""
        if self._committing:
            return
        flights, waiting = self._flights, self._ahead.waiting
        free, wanted = self._claimable()
        untold, parallel = self._to_be_told(), self._bounds()[1]
        due = plan.turn_is_due(waiting, wanted, len(flights.events), parallel, self._pace)
        if not (self._rung or untold or flights.rests or due):
            return
        started: list[tuple[Job, Event]] = [(f.job, Started(f.trace.started_us)) for f in untold if f.job.stage == CLAIMED]
        turn = Turn(
            events=[*flights.events, *started],
            traces=[told.trace.but(pid=os.getpid()) for told in untold],
            free=max(0, free - waiting),
            ahead=max(0, wanted - waiting) if free else 0,
            rests=tuple(flights.rests.items()),
            kept=tuple(flights.kept),
        )
        flights.events, flights.rests, flights.kept = [], {}, []
        self._rung, self._committing = False, True
        self._committer.put(turn)

    def _to_be_told(self) -> list[Flight]:
        """Calls that the store should hear of now: those that were so short that they have ended are told by their end."""
        self._untold = [flight for flight in self._untold if not flight.over]
        if not self._untold or monotonic() - self._untold[0].began < plan.TELL_AFTER_S:
            return []
        found, self._untold = self._untold, []
        return found

    def _claimable(self) -> tuple[int, int]:
        """How many calls may start now, and how many to hold claimed so that short ones need not wait for a commit."""
        if self._stopping or self.terms.disk_is_low:
            return 0, 0
        slots, parallel = self._bounds()
        ahead = 0 if self._slots else plan.ahead_wanted(parallel, self._pace)
        self._serving.at_once, self._serving.short = parallel + ahead, ahead > 0
        return max(0, slots - len(self._flights.under_way)), ahead

    def _bounds(self) -> tuple[int, int]:
        """How many calls at once, of all targets and of one."""
        config = self.terms.config
        return (self._slots, self._slots) if self._slots else (config.call_slots, min(config.call_slots, config.call_parallel))

    def _committed(self, report: Report) -> None:
        self._committing = False
        self._next_tick = min(self._next_tick, monotonic() + self._leased.tick_s)
        self._pace = self._pace.after_commit(report.took_s)
        for job, event in report.turn.events:
            if not isinstance(event, Started):
                self.journal.forget(job.number, job.run)
        self._ahead.take_in(report.claimed, monotonic())
        self._next_due_us = report.next_due_us
        if report.claimed:
            self._used = monotonic()
            self._rung |= len(report.claimed) == report.turn.free + report.turn.ahead
        for number, run, what in report.stops:
            if what == "cancel":
                self._cancel(number, run)
        if report.stopping:
            self.stop(report.stopping)

    # ------------------------------------------------------------ calls

    def _start_ready(self) -> None:
        """Start what is claimed, of each target no more than may run at once."""
        if not self._ahead.waiting:
            return
        slots, parallel = self._bounds()
        jobs = self._ahead.start(slots - len(self._flights.under_way), parallel, monotonic())
        if not jobs:
            return
        try:
            self._untold += self._flights.start(jobs)
        except OSError as fault:
            self.complain(f"the journal cannot be written: {fault.strerror}")
            for job in jobs:
                self._ahead.landed(job)
                self._flights.events.append((job, GivenBack(f"the system refused: {fault.strerror}")))

    def _landed(self, landed: Flight) -> None:
        self._ahead.landed(landed.job)
        self._used = monotonic()
        self._pace = self._pace.after_run(self._used - landed.began)
        self._woken.set()

    # ------------------------------------------------------------ stopping

    def _cancel(self, number: int, run: int) -> None:
        under_way = self._flights.under_way.get((number, run))
        if under_way:
            under_way.stop(flight.CANCEL)
        self._give_back_ahead((number, run))

    def _give_back_ahead(self, run: tuple[int, int] | None = None) -> None:
        self._flights.events += [(job, GivenBack()) for job in self._ahead.give_back(run)]

    def stop(self, how: str) -> None:
        """`now` ends what is under way; all else lets it end, and starts no more."""
        if self._stopping in (how, "now"):
            return
        if not self._stopping:
            n = len(self._flights.under_way)
            self._say("the caller is stopping" + (f", waiting for {n} calls" if n and how != "now" else ""))
        self._stopping = how
        self._woken.set()
        self._give_back_ahead()
        if how == "now":
            for under_way in [*self._flights.under_way.values()]:
                under_way.stop(flight.NOW)

    def drain(self) -> None:
        """Make the calls that were accepted until now and are due, then end; what comes meanwhile is for the next."""
        self._serving.newest = pages.newest(self.queue.store)
        self._draining = self.until_idle = self._rung = True
        self._say("the caller is draining")
        self._woken.set()

    # ------------------------------------------------------------ as an heir

    def adopt(self, job: Job, trace: Trace) -> None:
        raise AssertionError("a caller takes over from callers alone, which have no processes")

    def took_over(self, dead: int, adopted: int, decided: list[tuple[Job, Event]]) -> None:
        self._say(f"took over from caller {dead}: {len(decided)} settled")
        self._rung = True
        self.queue.ring(bell.DONE)
