"""The claim: which ready jobs start now. Walks the lanes that have ready jobs and reads the first rows of those that may
start something at this moment; costs nothing more because more waits behind them, and little more for each lane.

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
FEW = 4  # jobs that are asked of a lane of which nobody knows better; fewer where lanes are many


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


def shares(bounds: dict[int, int], gave: dict[int, int]) -> dict[int, int]:
    """How many jobs are asked of each lane at first: somewhat more than it gave the last time. All that a claim wants might
    come from any of them, but of many lanes it comes from few, and what is read for nothing is locked for nothing on a server.

    >>> shares({1: 100, 2: 100, 3: 2}, {1: 40})
    {1: 60, 2: 4, 3: 2}
    """
    if len(bounds) < 2:
        return dict(bounds)
    few = min(FEW, 1 + max(bounds.values()) // len(bounds))
    return {lane: min(most, max(few, gave.get(lane, 0) * 3 // 2)) for lane, most in bounds.items()}


def place_of(job: Job) -> tuple[int, int]:
    """Jobs start in the order of this: highest priority first, first in first out among equals."""
    return -job.priority, job.number


class Claim:
    """One claim of one worker, inside a transaction."""

    def __init__(self, store: Store, worker: int, now: int) -> None:
        self._store = store
        self._worker = worker
        self._now = now
        self._room: dict[Gate, int] = {}
        self._gates: dict[int, list[Gate]] = {}  # of each lane
        self._newest: int | None = None  # what is newer is left
        self._found: dict[int, list[Job]] = {}  # in each lane that was read
        self.opens_us: int | None = None  # when the first gate that is closed by its rate opens

    def pick(self, free: int, ahead: int, serving: Serving) -> list[Job]:
        """The first jobs over all lanes that may start something."""
        rows = [row for row in self._store.run(sql.OPEN_LANES) if serving.serves(row[1], row[2])]
        for row in rows:
            self._gates[row[0]] = open_gates(row)
        self._newest = serving.newest
        return self._until_careful(self._first(self._bounds(rows, free + ahead, serving), free + ahead), free)

    def _bounds(self, rows: list[tuple[Any, ...]], wanted: int, serving: Serving) -> dict[int, int]:
        """How many jobs of each lane may start, of so many; of the others none."""
        bounds = {row[0]: min([wanted, serving.room(row[3]), *map(self._room_of, self._gates[row[0]])]) for row in rows}
        return {lane: most for lane, most in bounds.items() if most > 0}

    def _first(self, bounds: dict[int, int], wanted: int) -> list[Job]:
        """So many jobs, no more of a lane than its bound. Of a lane whose jobs are all among them as far as they were read, more
        might be: it is read again, up to its bound, and with it of those that come next twice as many each time."""
        asked = shares(bounds, self._store.gave)
        self._found = self._read(asked)
        at_once = 1
        while True:
            picked, cut = self._merged(asked, bounds, wanted)
            if not cut:
                break
            whole = {lane: bounds[lane] for lane in cut[:at_once]}
            asked |= whole
            self._found |= self._read(whole)
            at_once *= 2
        lanes = [job.lane for job in picked]
        self._store.gave = {lane: lanes.count(lane) for lane in set(lanes)}
        return picked

    def _read(self, asked: dict[int, int]) -> dict[int, list[Job]]:
        """The first jobs of each of these lanes, so many."""
        run, newest = self._store.run, self._newest
        if newest is None:
            return {lane: [Job(*job) for job in run(sql.READY_IN_LANE, (lane, most))] for lane, most in asked.items()}
        return {lane: [Job(*job) for job in run(sql.READY_UNTIL, (lane, newest, most))] for lane, most in asked.items()}

    def _merged(self, asked: dict[int, int], bounds: dict[int, int], wanted: int) -> tuple[list[Job], list[int]]:
        """The first of what was found that the gates have room for, and the lanes that have to be read further before one can go
        on, those first that come first."""
        found = self._found
        cut = {lane: found[lane][-1] for lane, most in asked.items() if len(found[lane]) == most < bounds[lane]}
        jobs = sorted([job for some in found.values() for job in some], key=place_of)
        room, picked = dict(self._room), []
        for at, job in enumerate(jobs):
            gates = self._gates[job.lane]
            if all(room[gate] > 0 for gate in gates):
                for gate in gates:
                    room[gate] -= 1
                picked.append(job)
            if len(picked) == wanted:
                break
            if cut.get(job.lane) is job:
                return picked, list(dict.fromkeys(job.lane for job in jobs[at:] if job.lane in cut))
        return picked, []

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
