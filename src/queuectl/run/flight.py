"""The calls under way: each is written into the journal before it is sent, and its end before anybody hears of it."""

from __future__ import annotations

import asyncio
import math
import os
import random
from time import monotonic

from .. import addresses, answers, clock, signing
from ..codec import call_from
from ..lifecycle import Finished, GivenBack, Interrupted
from ..model import HOLD, RERUN, Job
from . import call, recovery
from .answer_log import AnswerLog, CannotKeep
from .journal import GIVEN_BACK, Trace
from .leased import LOST

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from ..config import Config
    from ..lifecycle import Event
    from .calling import Caller

CANCEL, NOW, LATE = "cancel", "now", "late"
PARSED_MAX, PARSED_LENGTH_MAX = 500, 5_000
BUSY_MAX = 10_000  # targets whose refusals in a row are counted


class Flight:
    """One call under way."""

    __slots__ = ("began", "ends", "job", "over", "stopped", "task", "terms", "trace")

    def __init__(self, job: Job, trace: Trace, terms: call.Terms) -> None:
        self.job = job
        self.trace = trace
        self.terms = terms
        self.began = monotonic()
        self.ends = self.began + (terms.timeout_s or math.inf)
        self.over = False
        self.stopped = ""
        self.task: asyncio.Task[None] | None = None

    def stop(self, why: str) -> None:
        if self.task and not self.stopped:
            self.stopped = why
            self.task.cancel()


class Flights:
    """Starts calls and gathers how they ended. `landed` is called at each end, in the loop's thread."""

    def __init__(self, caller: Caller, landed: Callable[[Flight], None]) -> None:
        self.under_way: dict[tuple[int, int], Flight] = {}
        self.events: list[tuple[Job, Event]] = []
        self._parsed: dict[str, call.Alike] = {}  # piles of calls are often alike
        self.first_ends = math.inf  # no time of a call under way is over before
        self.kept: list[tuple[Any, ...]] = []  # answers for the store, rows of PUT_OUTPUT
        self.rests: dict[str, int] = {}  # targets that asked to be left alone, until when
        self._busy_times: dict[str, int] = {}  # how often in a row each of them did
        self._logs = caller.queue.place.logs
        self._config = caller.terms.config
        self._known: dict[tuple[float | None, str | None], call.Terms] = {}  # of jobs that ask for the same
        self._store_id = caller.store_id
        self._pid = os.getpid()
        self._journal = caller.journal
        self._terms = caller.terms
        self._say = caller.complain
        self._landed = landed
        self._client = call.Client(signing.Secrets(caller.queue.place))

    async def close(self) -> None:
        await self._client.close()

    def end_elsewhere(self) -> int:
        """Cut what may be made elsewhere; returns how many."""
        cut = [f for f in self.under_way.values() if not f.stopped and self._terms.options_of(f.job).if_interrupted != HOLD]
        for flight in cut:
            flight.stop(LOST)
        return len(cut)

    def start(self, jobs: list[Job]) -> list[Flight]:
        """Write that they may be sent, in one write, and send them. Raises OSError when it cannot be written: then
        nothing is sent."""
        now = clock.now_us()
        flights = [self._begun(Trace(job.number, job.run, started_us=now, sent=1), job) for job in jobs]
        self._journal.flush()
        self.first_ends = min(self.first_ends, *[flight.ends for flight in flights])
        for flight in flights:
            self.under_way[flight.job.number, flight.job.run] = flight
            flight.task = asyncio.create_task(self._make(flight))
        return flights

    def _begun(self, trace: Trace, job: Job) -> Flight:
        return Flight(job, self._journal.calling(trace), self._terms_of(job))

    def end_late(self, now_s: float) -> None:
        """Cut those whose time is over."""
        if now_s < self.first_ends:
            return
        for flight in [*self.under_way.values()]:
            if flight.ends <= now_s:
                flight.stop(LATE)
        self.first_ends = min([f.ends for f in self.under_way.values() if not f.stopped], default=math.inf)

    async def _make(self, flight: Flight) -> None:
        job, ending = flight.job, call.Ending("cut")

        def begun(log_start: int) -> None:
            flight.trace = self._journal.calling(flight.trace.but(log_start=log_start))

        log = AnswerLog(self._logs, job, flight.trace.started_us, begun)
        try:
            ending = await self._client.call(self._call_of(job), self._message_id(job), flight.terms, log)
        except asyncio.CancelledError:
            ending = self._cut(flight, log)
        except CannotKeep as fault:
            self._cannot_keep(job, fault)
        finally:
            log.close()
            self._over(flight, ending, log)

    def _cut(self, flight: Flight, log: AnswerLog) -> call.Ending:
        if flight.stopped != LATE:
            return call.Ending("cancelled")
        try:
            return call.late(flight.terms, log)
        except CannotKeep as fault:
            self._cannot_keep(flight.job, fault)
            return call.Ending("timeout")

    def _cannot_keep(self, job: Job, fault: CannotKeep) -> None:
        self._say(f"the answer to job {job.id} cannot be kept: {fault}")

    def _call_of(self, job: Job) -> call.Alike:
        text = job.work or ""
        found = self._parsed.get(text)
        if found is None:
            if len(self._parsed) >= PARSED_MAX or len(text) > PARSED_LENGTH_MAX:
                self._parsed.clear()
            found = self._parsed[text] = call.Alike(call_from(text))
        return found

    def _message_id(self, job: Job) -> str:
        """The same on each attempt of a job, and of no other job."""
        return f"msg_{self._store_id}_{job.number}"

    def _terms_of(self, job: Job) -> call.Terms:
        config, key = self._terms.config, (job.timeout_s, job.options)
        if config is not self._config or len(self._known) > PARSED_MAX:
            self._config, self._known = config, {}
        found = self._known.get(key)
        if found is None:
            found = self._known[key] = self._new_terms(config, job)
        return found

    def _new_terms(self, config: Config, job: Job) -> call.Terms:
        asked, timeout_s = self._terms.options_of(job).max_output, config.job_timeout or config.call_timeout
        return call.Terms(
            timeout_s=timeout_s if job.timeout_s is None else job.timeout_s,
            connect_s=config.call_connect_timeout,
            output_max=config.call_max_output if asked is None else asked,
            rules=addresses.rules(config.call_allow, config.call_deny),
            ca=config.call_ca,
        )

    def _over(self, flight: Flight, ending: call.Ending, log: AnswerLog) -> None:
        job, now = flight.job, clock.now_us()
        flight.over = True
        del self.under_way[job.number, job.run]
        not_before_us = self._rest(job, ending, now)
        if flight.stopped == NOW:
            self.events.append((job, self._cut_short(job)))
        elif flight.stopped == LOST:
            self.events.append((job, GivenBack(GIVEN_BACK[LOST])))
        else:
            trace = flight.trace.but(
                said=answers.said(ending.reason),
                ended_us=now,
                final=int(ending.final),
                not_before_us=not_before_us,
                log_start=log.start,
                log_end=log.end,
                pid=self._pid,
                kept=log.kept,
            )
            self._record(job, trace)
        self._landed(flight)

    def _record(self, job: Job, trace: Trace) -> None:
        self._journal.answered(trace)
        if trace.kept:
            self.kept.append(recovery.output_row(trace))
        backoff = self._terms.backoff
        jitter = random.random() if backoff.jitter else 0.0
        self.events.append((job, Finished(recovery.answer_of(trace), self._terms.options_of(job), backoff, jitter)))

    def _cut_short(self, job: Job) -> Event:
        """What 'worker stop --now' makes of a call under way: what must not be sent twice waits for a person."""
        options = self._terms.options_of(job)
        if options.if_interrupted == RERUN:
            return GivenBack("ended by 'worker stop --now'")
        return Interrupted("'worker stop --now' cut it while it waited for the answer", options, self._terms.backoff)

    def _rest(self, job: Job, ending: call.Ending, now: int) -> int:
        """Leave a target alone that asked for it, all jobs that have its key; returns until when, 0 when it did not."""
        key = job.limit_key or ""
        if ending.busy_s is None:
            self._busy_times.pop(key, None)
            return 0
        if ending.busy_s < 0:
            if len(self._busy_times) > BUSY_MAX:
                self._busy_times.clear()
            self._busy_times[key] = self._busy_times.get(key, 0) + 1
        rest_s = ending.busy_s if ending.busy_s >= 0 else answers.busy_s(self._busy_times[key])
        until = now + round(rest_s * 1e6)
        if key and rest_s:
            self.rests[key] = max(until, self.rests.get(key, 0))
        return until
