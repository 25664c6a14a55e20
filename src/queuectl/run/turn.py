"""A turn: what a worker's loop wants written, in one transaction, and what it is told afterwards.

A turn is committed however long it takes: when the store is busy, full or broken it is tried again with growing pauses,
nothing of it is forgotten, and no new job is claimed meanwhile.
"""

from __future__ import annotations

from time import monotonic, sleep

from .. import bell, clock
from ..errors import Moved, Replaced, StorageError, TryAgainLater
from ..model import CALL, Serving
from ..record import Record
from ..saying import say
from ..store import claim, dependents, recurring, sql
from ..store.base import Claimed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ..errors import Conflict
    from ..lifecycle import Event
    from ..model import Job
    from ..queue import Queue
    from .journal import Trace

RETRY_S_MIN, RETRY_S_MAX = 0.05, 2.0
SAY_AGAIN_S = 30.0
CLOCK_NOISE_US = 100_000
LOOK_AGAIN_US = 20_000  # behind a claim that did not look at everything
NOTHING = Claimed([], None)
LOADED = (claim, dependents, recurring)  # with the worker, not when they are first needed: the program may be another by then


class Turn(Record):
    """What the loop wants written, and how much it wants to claim."""

    events: list[tuple[Job, Event]]
    traces: list[Trace]  # runs that were started: pid and log offset, for display
    free: int = 0
    ahead: int = 0
    count_left: bool = False
    rests: tuple[tuple[str, int], ...] = ()  # targets that asked to be left alone, until when
    kept: tuple[tuple[Any, ...], ...] = ()  # output that goes into the store, rows of PUT_OUTPUT
    look_for_calls: bool = False  # tell whether calls are ready that this worker cannot make


class Report(Record):
    """What the loop needs to know after a commit."""

    turn: Turn
    claimed: list[Job]
    claimed_us: int
    stops: list[tuple[int, int, str]]
    next_due_us: int | None
    stopping: str | None  # what was asked of this worker
    room_made: bool  # a queue that was at its limit may let another worker's slot be used
    left: int  # jobs that are ready or become due, when the turn asked
    took_s: float
    calls_wait: bool = False


class TurnWriter:
    """Writes the turns of one worker into the store, one after the other."""

    def __init__(self, queue: Queue, worker: int, serving: Serving) -> None:
        self._queue = queue
        self._worker = worker
        self.serving = serving
        self.calls_elsewhere = False  # calls are made by another process of the same keeper
        self._boot_id = clock.boot_id()
        self._offset_us: int | None = None
        self._told: dict[int, Job] = {}  # as they stand since their start was written: the loop has them as they were claimed

    def persist(self, turn: Turn) -> Report:
        pause, said, began = RETRY_S_MIN, -SAY_AGAIN_S, monotonic()
        while True:
            try:
                return self.commit(turn)
            except Replaced:
                raise  # what this worker knows is worth nothing: the next one looks at what there is
            except (StorageError, TryAgainLater) as trouble:
                if isinstance(trouble, TryAgainLater) and monotonic() - began > self._queue.store.busy_s_max:
                    raise  # it may be we who hold it, by a lock that could not be given back: a new process has none
                if monotonic() - said >= SAY_AGAIN_S:
                    say(f"{trouble.plain}; trying again")
                    said = monotonic()
                sleep(pause)
                pause = min(pause * 2, RETRY_S_MAX)

    def commit(self, turn: Turn) -> Report:
        try:
            return self._commit(turn)
        except Moved:
            return self._commit(turn)

    def _claimed_at_once(self, turn: Turn) -> Report | None:
        """For a worker that only asks for jobs: sooner than by a transaction."""
        began, now = monotonic(), clock.now_us()
        if turn.events or turn.traces or turn.rests or turn.kept or turn.count_left:
            return None
        try:
            jobs = self._queue.store.claim_at_once(self._worker, turn.free, now, self.serving)
        except TryAgainLater:
            return None  # the link stands, so nothing was done: the turn itself says what the matter is
        if not jobs:
            return None
        return Report(
            turn=turn,
            claimed=jobs,
            claimed_us=now,
            stops=[],
            next_due_us=now + LOOK_AGAIN_US,
            stopping=None,
            room_made=False,
            left=0,
            took_s=monotonic() - began,
        )

    def _commit(self, turn: Turn) -> Report:
        if at_once := self._claimed_at_once(turn):
            return at_once
        began = monotonic()
        store, actor = self._queue.store, f"worker {self._worker}"
        lease_s = self._queue.settings.read().lease if store.shared else 0.0
        events = [(self._told.get(job.number, job), event) for job, event in turn.events]
        with store.transaction():
            store.foresee(self._worker, [job for job, _ in events], turn.free + turn.ahead)
            leased_until_s = store.keep_lease(self._worker, lease_s)
            # The moment is read with what the clock was followed to, behind the wait for the store: were it set back between
            # the two, all that the shift has moved would be due.
            read = clock.boot_offset_us()
            offset = self._follow_clock(read)
            now = clock.now_us() if store.shared else clock.since_boot_us() + read
            store.run_many(sql.PUT_OUTPUT, [*turn.kept])
            changes = store.apply_all(events, now, actor, refused=_not_wanted)
            store.run_many(sql.ATTEMPT_TOLD, [(t.pid, t.log_start, t.job, t.run) for t in turn.traces])
            store.run_many(sql.REST_KEY, [*turn.rests])
            stopping = store.run(sql.STOPPING, (self._worker,))
            if stopping and turn.free + turn.ahead:  # without its row it is no worker any more: another has taken over
                claimed = store.claim(self._worker, turn.free, turn.ahead, now, self.serving)
                self._have_logs(claimed.jobs)
            else:
                store.promote_due(now)  # schedules keep their time also while all slots are taken
                claimed = NOTHING
            stops = store.stops_asked(self._worker)
            due = min([at for at in (store.next_due(), claimed.opens_us) if at is not None], default=None)
            room_made = bool(turn.events) and store.limited_jobs_wait()
            # Nothing may fail after the commit: it would be tried again, and what it has claimed be forgotten.
            left = self._left() if turn.count_left else 0
            calls_wait = turn.look_for_calls and self._ready_calls() > 0
        if leased_until_s is not None:
            store.lease_until_s = leased_until_s
        self._offset_us = offset  # only now: it may have been undone
        for job, _ in events:
            self._told.pop(job.number, None)
        self._told.update({change.after.number: change.after for change in changes if change.event == "start"})
        took = monotonic() - began
        return Report(
            turn=turn,
            claimed=claimed.jobs,
            claimed_us=now,
            stops=stops,
            next_due_us=due,
            stopping=stopping[0][0] if stopping else "now",
            room_made=room_made,
            left=left,
            took_s=took,
            calls_wait=calls_wait,
        )

    def _have_logs(self, jobs: list[Job]) -> None:
        """A call that is made again goes on in its log behind what the store has of it."""
        for job in jobs:
            if job.run > 1 and job.kind == "call":
                self._queue.log_path(job)

    def _ready_calls(self) -> int:
        """Calls of the served queues that are ready: another process makes them."""
        store, serving = self._queue.store, Serving(self.serving.queues, (*self.serving.offers, CALL))
        store.write_sums()
        rows = store.run(sql.LANES_READY)
        return sum(n for queue, needs, n in rows if CALL in needs.split() and serving.serves(queue, needs))

    def _follow_clock(self, offset: int) -> int:
        """Before a backoff begins and before anything is called due: was the clock set since the last turn?"""
        if self._offset_us is not None and abs(offset - self._offset_us) <= CLOCK_NOISE_US:
            return self._offset_us
        step = self._queue.store.follow_clock(self._boot_id, offset)
        if step:
            say(f"the clock was set by {step / 1e6:+.1f} s; delays keep their length")
        return offset

    def _left(self) -> int:
        """Jobs of the served queues that will still run: ready, waiting for their time, or with another worker."""
        store, serving = self._queue.store, self.serving
        store.write_sums()
        ready = sum(n for queue, needs, n in store.run(sql.LANES_READY) if serving.serves(queue, needs))
        stages = ("later", "claimed", "running")
        ready += self._ready_calls() if self.calls_elsewhere else 0
        return int(ready) + sum(n for queue, _, stage, n in store.counts() if stage in stages and serving.serves(queue))

    def ring(self, report: Report) -> None:
        """Once the report is given: whoever waits for ends can wait a moment longer than a job that can start."""
        if report.turn.events or report.turn.traces:
            self._queue.ring(bell.DONE)
        if report.room_made or any(job.options and "callback" in job.options for job, _ in report.turn.events):
            self._queue.ring(bell.WORK)


def _not_wanted(job: Job, conflict: Conflict) -> None:
    """The row is in no stage that knows this event: somebody restored or edited the database under us."""
    say(f"what became of job {job.id} (run {job.run}) is not wanted: {conflict}")
