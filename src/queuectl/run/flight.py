"""The calls under way: each is written into the journal before it is sent, and its end before anybody hears of it."""

from __future__ import annotations

import asyncio
import os
import random
from time import monotonic

from .. import addresses, answers, clock, output, signing
from ..codec import call_from
from ..lifecycle import Finished, GivenBack, Interrupted
from ..model import RERUN, Job
from . import call, recovery
from .journal import Trace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from ..lifecycle import Event
    from ..queue import Queue
    from .journal import Journal
    from .terms import Terms

CANCEL, NOW = "cancel", "now"


class Flight:
    """One call under way."""

    def __init__(self, job: Job, trace: Trace) -> None:
        self.job = job
        self.trace = trace
        self.began = monotonic()
        self.over = False
        self.stopped = ""
        self.task: asyncio.Task[None] | None = None

    def stop(self, why: str) -> None:
        if self.task and not self.stopped:
            self.stopped = why
            self.task.cancel()


class Flights:
    """Starts calls and gathers how they ended. `landed` is called at each end, in the loop's thread."""

    def __init__(self, queue: Queue, store_id: str, journal: Journal, terms: Terms, landed: Callable[[Flight], None]) -> None:
        self.under_way: dict[tuple[int, int], Flight] = {}
        self.events: list[tuple[Job, Event]] = []
        self.rests: dict[str, int] = {}  # targets that asked to be left alone, until when
        self._busy_times: dict[str, int] = {}  # how often in a row each of them did
        self._queue = queue
        self._store_id = store_id
        self._journal = journal
        self._terms = terms
        self._landed = landed
        self._client = call.Client(signing.Secrets(queue.place))

    async def close(self) -> None:
        await self._client.close()

    def start(self, job: Job) -> Flight:
        """Open its log, write that it may be sent, send it. Raises OSError when the system refuses: nothing was sent."""
        now = clock.now_us()
        log, log_start = output.open_log(self._queue.place.logs, job, now)
        try:
            trace = self._journal.calling(Trace(job.number, job.run, started_us=now, log_start=log_start))
        except OSError:
            os.close(log)
            raise
        flight = self.under_way[job.number, job.run] = Flight(job, trace)
        flight.task = asyncio.create_task(self._make(flight, log))
        return flight

    async def _make(self, flight: Flight, log: int) -> None:
        job, ending = flight.job, call.Ending("cut")
        try:
            ending = await self._client.call(call_from(job.work), self._message_id(job), self._terms_of(job), log)
        except asyncio.CancelledError:
            ending = call.Ending("cancelled")
        except OSError as fault:
            os.write(2, f"queuectl: the answer to job {job.id} cannot be kept: {fault.strerror}\n".encode())
        finally:
            end = os.lseek(log, 0, os.SEEK_END)
            os.close(log)
            self._over(flight, ending, end)

    def _message_id(self, job: Job) -> str:
        """The same on each attempt of a job, and of no other job."""
        return f"msg_{self._store_id}_{job.number}"

    def _terms_of(self, job: Job) -> call.Terms:
        config, asked = self._terms.config, self._terms.options_of(job).max_output
        timeout_s = config.job_timeout or config.call_timeout
        return call.Terms(
            timeout_s=timeout_s if job.timeout_s is None else job.timeout_s,
            connect_s=config.call_connect_timeout,
            output_max=config.call_max_output if asked is None else asked,
            rules=addresses.rules(config.call_allow, config.call_deny),
        )

    def _over(self, flight: Flight, ending: call.Ending, log_end: int) -> None:
        job, now = flight.job, clock.now_us()
        flight.over = True
        del self.under_way[job.number, job.run]
        not_before_us = self._rest(job, ending, now)
        if flight.stopped == NOW:
            self.events.append((job, self._cut_short(job)))
        else:
            trace = flight.trace.but(
                said=answers.said(ending.reason),
                ended_us=now,
                final=int(ending.final),
                not_before_us=not_before_us,
                log_end=log_end,
                pid=os.getpid(),
            )
            self._record(job, trace)
        self._landed(flight)

    def _record(self, job: Job, trace: Trace) -> None:
        try:
            self._journal.answered(trace)
        except OSError:
            pass  # no room for it: killed before the next commit, the call would count as cut
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
            self._busy_times[key] = self._busy_times.get(key, 0) + 1
        rest_s = ending.busy_s if ending.busy_s >= 0 else answers.busy_s(self._busy_times[key])
        until = now + round(rest_s * 1e6)
        if key and rest_s:
            self.rests[key] = max(until, self.rests.get(key, 0))
        return until
