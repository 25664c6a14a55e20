"""The claim: which ready jobs start now. Walks the lanes that have ready jobs and reads the first rows of those that may
start something at this moment; costs nothing more because more waits behind them.

What the database decides alone, because only it can make that atomic; everything else is `lifecycle.step`.
"""

from __future__ import annotations

from ..codec import options_from
from ..model import CLAIMED, RERUN, RUNNING, Job, state_of
from ..record import Record
from . import sql

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ..model import Serving
    from .base import Store

BURST_US = 50_000  # a limited rate may catch up so much: starts that were due while the worker was busy or asleep


class Gate(Record):
    """What lets jobs of a queue, or with a key, start: limits as they stand in its row."""

    kind: str  # queue | key
    name: str
    parallel: int | None
    interval_us: int | None
    next_us: int | None

    @property
    def is_limited(self) -> bool:
        return self.parallel is not None or self.interval_us is not None or self.next_us is not None


def open_gates(row: tuple[Any, ...]) -> list[Gate]:
    """The gates of a lane that are not simply open, from a row of OPEN_LANES."""
    gates = [Gate("queue", row[1], *row[4:7]), Gate("key", row[3], *row[7:10])]
    return [gate for gate in gates if gate.is_limited]


def allowed_now(gate: Gate, now: int) -> int:
    """How many may start by the gate's rate and its next moment.

    >>> g = Gate("key", "api", None, 100_000, None)  # ten a second
    >>> allowed_now(g, 0), allowed_now(g.but(next_us=100_000), 30_000), allowed_now(g.but(next_us=100_000), 100_000)
    (1, 0, 1)
    """
    start = gate.next_us or 0
    if start > now:
        return 0
    if not gate.interval_us:
        return 1 << 30
    return int((now - max(start, now - BURST_US)) // gate.interval_us) + 1


def after_starts(gate: Gate, starts: int, now: int) -> int:
    """The gate's next moment after so many starts.

    >>> after_starts(Gate("key", "api", None, 100_000, None), 1, 1_000_000)
    1100000
    """
    assert gate.interval_us is not None
    begin = max(gate.next_us or 0, now - BURST_US)
    if gate.interval_us > BURST_US:
        begin = max(gate.next_us or 0, now)
    return begin + starts * gate.interval_us


class Claim:
    """One claim of one worker, inside a transaction."""

    def __init__(self, store: Store, worker: int, now: int) -> None:
        self._store = store
        self._worker = worker
        self._now = now
        self._room: dict[Gate, int] = {}
        self._gates: dict[int, list[Gate]] = {}  # of each lane
        self.opens_us: int | None = None  # when the first gate that is closed by its rate opens

    def pick(self, free: int, ahead: int, serving: Serving) -> list[Job]:
        """Highest priority first, first in first out among equals, over all lanes that may start something."""
        picked: list[Job] = []
        for row in self._store.run(sql.OPEN_LANES):
            lane, queue, needs = row[:3]
            if not serving.serves(queue, needs):
                continue
            self._gates[lane] = open_gates(row)
            most = min([free + ahead, serving.room(row[3]), *map(self._room_of, self._gates[lane])])
            picked += self._first_of(lane, most, serving.newest) if most > 0 else []
        picked.sort(key=lambda job: (-job.priority, job.number))
        return self._until_careful(self._within(picked)[: free + ahead], free)

    def _first_of(self, lane: int, most: int, newest: int | None) -> list[Job]:
        if newest is None:
            return [Job(*job) for job in self._store.run(sql.READY_IN_LANE, (lane, most))]
        return [Job(*job) for job in self._store.run(sql.READY_UNTIL, (lane, newest, most))]

    def _room_of(self, gate: Gate) -> int:
        if gate not in self._room:
            room = allowed_now(gate, self._now)
            if not room:
                self.opens_us = min(self.opens_us or gate.next_us or 0, gate.next_us or 0)
            elif gate.parallel is not None:
                room = min(room, max(0, gate.parallel - self._busy(gate)))
            self._room[gate] = room
        return self._room[gate]

    def _busy(self, gate: Gate) -> int:
        statement = sql.BUSY_IN_QUEUE if gate.kind == "queue" else sql.BUSY_WITH_KEY
        [(busy,)] = self._store.run(statement, (gate.name,))
        return int(busy)

    def _within(self, picked: list[Job]) -> list[Job]:
        """Without the jobs that a gate has no room for: each of its lanes was read up to the whole of it."""
        room = dict(self._room)
        kept = []
        for job in picked:
            gates = self._gates[job.lane]
            if all(room[gate] > 0 for gate in gates):
                for gate in gates:
                    room[gate] -= 1
                kept.append(job)
        return kept

    def _until_careful(self, picked: list[Job], free: int) -> list[Job]:
        """Only what is claimed to run now may be of a limited rate, or must not run twice: after a power cut nobody
        could say whether a job claimed ahead was started, and nobody knows how long it waits for its slot."""
        for at, job in enumerate(picked[free:], free):
            if self._needs_care(job):
                return picked[:at]
        return picked

    def _needs_care(self, job: Job) -> bool:
        careful = job.options is not None and options_from(job.options).if_interrupted != RERUN
        return careful or any(gate.interval_us for gate in self._gates[job.lane])

    def take(self, picked: list[Job], free: int, short: bool = False) -> list[Job]:
        """`short`: most will have ended before anybody asks, so that no start is written but of those that need care."""
        self._count_starts(picked)
        now, ahead = picked[:free], picked[free:]
        if short:
            ahead = [job for job in now if not self._needs_care(job)] + ahead
            now = [job for job in now if self._needs_care(job)]
        return self._running(now) + self._ahead(ahead)

    def _count_starts(self, picked: list[Job]) -> None:
        starts: dict[Gate, int] = {}
        for job in picked:
            for gate in self._gates[job.lane]:
                if gate.interval_us:
                    starts[gate] = starts.get(gate, 0) + 1
        for gate, n in starts.items():
            statement = sql.QUEUE_STARTED if gate.kind == "queue" else sql.KEY_STARTED
            after = after_starts(gate, n, self._now)
            self._store.run(statement, (after, gate.name))
            self.opens_us = min(self.opens_us or after, after)

    def _running(self, jobs: list[Job]) -> list[Job]:
        if not jobs:
            return []
        store, worker, now = self._store, self._worker, self._now
        store.run_many(sql.CLAIM_RUNNING, [(worker, now, now, job.number) for job in jobs])
        fresh: dict[str, Any] = {"started_us": now, "finished_us": None, "exit_code": None, "reason": None}
        claimed = [self._claimed(job, RUNNING, **fresh) for job in jobs]
        store.run_many(sql.ATTEMPT_STARTED, [(j.number, j.run, worker, now) for j in claimed])
        actor = f"worker {worker}"
        store.run_many(sql.INSERT_HISTORY, [(j.number, now, "start", RUNNING, j.run, actor, None) for j in claimed])
        return claimed

    def _ahead(self, jobs: list[Job]) -> list[Job]:
        self._store.run_many(sql.CLAIM_AHEAD, [(self._worker, self._now, job.number) for job in jobs])
        return [self._claimed(job, CLAIMED) for job in jobs]

    def _claimed(self, job: Job, stage: Any, **changes: Any) -> Job:
        after = job.but(
            stage=stage,
            state=state_of(stage, job.attempts),
            worker=self._worker,
            run=job.run + 1,
            version=job.version + 1,
            updated_us=self._now,
            **changes,
        )
        self._store.sums.moved(job, after)
        return after
