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
SPARE = 16  # jobs that a claim may read for nothing, of all lanes together: that costs less than asking a server once more
RAISE = 4  # a lane that comes behind one of which more is needed is asked so many times as much


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


def shares(bounds: dict[int, int], gave: dict[int, float], wanted: int) -> dict[int, int]:
    """How many jobs are asked of each lane at first: somewhat more than its share the last time, of a new one a few. All that a
    claim wants might come from any of them, but of many lanes it comes from few; and what is read for nothing is, on a server,
    locked for nothing.

    >>> shares({1: 100, 2: 100, 3: 2, 4: 100}, {1: 0.4}, 100)
    {1: 61, 2: 4, 3: 2, 4: 4}
    """
    if len(bounds) < 2:
        return dict(bounds)
    few = max(2, SPARE // len(bounds))  # of one it could not be told whether there are others
    return {lane: min(most, max(few, int(gave.get(lane, 0.0) * wanted * 1.5) + 1)) for lane, most in bounds.items()}


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
        self._asked: dict[int, int] = {}  # how many jobs of each lane, at most
        self._found: dict[int, list[Job]] = {}  # of each lane
        self._short: list[int] = []  # lanes that had fewer than could start
        self.opens_us: int | None = None  # when the first gate that is closed by its rate opens

    def pick(self, free: int, ahead: int, serving: Serving) -> list[Job]:
        """The first jobs over all lanes that may start something."""
        rows = [row for row in self._store.run(sql.OPEN_LANES) if serving.serves(row[1], row[2])]
        for row in rows:
            self._gates[row[0]] = open_gates(row)
        self._newest = serving.newest
        picked = self._until_careful(self._first(self._bounds(rows, free + ahead, serving), free + ahead), free)
        self._note(picked, free + ahead)
        return picked

    def _bounds(self, rows: list[tuple[Any, ...]], wanted: int, serving: Serving) -> dict[int, int]:
        """How many jobs of each lane may start, of so many; of the others none."""
        bounds = {row[0]: min([wanted, serving.room(row[3]), *map(self._room_of, self._gates[row[0]])]) for row in rows}
        return {lane: most for lane, most in bounds.items() if most > 0}

    def _note(self, picked: list[Job], wanted: int) -> None:
        """What each lane's share was, for the next claim."""
        gave: dict[int, float] = {}
        for job in picked:
            gave[job.lane] = gave.get(job.lane, 0.0) + 1 / wanted
        self._store.gave = gave or self._store.gave

    def _first(self, bounds: dict[int, int], wanted: int) -> list[Job]:
        """So many jobs, no more of a lane than its bound. Of a lane whose jobs are all among them as far as they were read, more
        might be: it is read on, and with it of those that come next twice as many each time."""
        self._asked, self._found = shares(bounds, self._store.gave, wanted), {}
        self._read([*bounds])
        at_once = 1
        while True:
            picked, cut = self._merged(bounds, wanted)
            if not cut:
                return picked
            for lane in cut[:at_once]:
                more = wanted - len(picked) if lane == cut[0] else self._asked[lane] * (RAISE - 1)
                self._asked[lane] = min(bounds[lane], self._asked[lane] + more)
            self._read(cut[:at_once])
            at_once *= 2

    def _read(self, lanes: list[int]) -> None:
        """As many jobs of these lanes as are asked of them."""
        for lane in lanes:
            if self._newest is None:
                rows = self._store.run(sql.READY_IN_LANE, (lane, self._asked[lane]))
            else:
                rows = self._store.run(sql.READY_UNTIL, (lane, self._newest, self._asked[lane]))
            self._found[lane] = [Job(*row) for row in rows]

    def _merged(self, bounds: dict[int, int], wanted: int) -> tuple[list[Job], list[int]]:
        """The first of what was found that the gates have room for, and the lanes that have to be read on before one can go on,
        those first that come first."""
        found, room, picked = self._found, dict(self._room), []
        cut = {lane: found[lane][-1] for lane, n in self._asked.items() if len(found[lane]) == n < bounds[lane]}
        jobs = sorted([job for some in found.values() for job in some], key=place_of)

        def is_open(lane: int) -> bool:
            return all(room[gate] > 0 for gate in self._gates[lane])

        for at, job in enumerate(jobs):
            if is_open(job.lane):
                picked.append(job)
                for gate in self._gates[job.lane]:
                    room[gate] -= 1
            if len(picked) == wanted:
                break
            if cut.get(job.lane) is job and is_open(job.lane):
                lanes = dict.fromkeys(job.lane for job in jobs[at:])
                return picked, [lane for lane in lanes if lane in cut and is_open(lane)]
        used_up = [lane for lane, n in self._asked.items() if len(found[lane]) < n and is_open(lane)]
        self._short = used_up if len(picked) < wanted else []
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
