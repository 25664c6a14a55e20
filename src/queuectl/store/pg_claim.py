"""The claim where many machines claim at once.

Which lanes have ready jobs is seen in the index of ready jobs itself: a count of them would be a row that everybody
writes. A lane is read from the *mark* on, the place of the last job taken from it, and above it, where priorities are higher.
From the beginning it is read when that brings too few and is cheap, or was long enough ago that it is cheap on the whole
(`pg_patience`), and now and then while there is more than enough: what others have taken is in the way there, of each who
looks. What else stands before the mark (a retry, an add that committed late) is found then.

Limits hold over the fleet: the rows of limited queues and keys, and only those, are locked, in the order of their names,
before what runs under them is counted. A pause waits for the claims that are under way.
"""

from __future__ import annotations

from time import monotonic

from ..model import CLAIMED, RUNNING, Job
from . import pg_sql, sql
from .claim import Claim, Gate, open_gates, place_of, shares
from .pg_patience import Patience, look

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ..model import Serving
    from .pg_connection import PostgresConnection

AGAIN_US = 20_000  # when somebody else may have ready jobs in hand
# Who gets all that is wanted looks no sooner for what may stand before the marks: on the average, of all workers together, as each
# of these looks reads what all of them have taken lately. Of more than so many the others are not counted on.
BUSY_S, BUSY_WORKERS = 0.25, 8
BEGINNING = (-(1 << 62), 0)
NO_BOUND = 1 << 62
NO_LIMITS = (None,) * 6  # in a row of OPEN_LANES
OPEN_MAX = 100  # lanes that are looked through at each claim that guesses
LANES_MAX = 10_000  # with a mark: keys and piles have lanes of their own, again and again


class Marks:
    """How far each lane has been used up, as this process knows."""

    def __init__(self) -> None:
        self.full_look = Patience()
        self.full = True  # the next look begins at the beginning, not at the marks
        self.busy_until_s = 0.0  # and need not, as there was enough
        self.lanes: list[int] = []  # what the last claim read, when nothing but what it wanted bounded that
        self.open: list[int] = []  # all that it might have read, when nothing of that is limited
        self._of_lane: dict[int, tuple[int, int]] = {}

    def of(self, lane: int) -> tuple[int, int]:
        return self._of_lane.get(lane, BEGINNING)

    def forget(self) -> None:
        """Something may stand before the marks, and this process knows of it."""
        self._of_lane.clear()

    def decide(self) -> None:
        """From where the next look is taken."""
        now_s = monotonic()
        self.full = now_s >= self.busy_until_s and self.full_look.allows(now_s)

    def bindings(
        self, asked: dict[int, int], newest: int | None = None, behind: dict[int, tuple[int, int]] | None = None
    ) -> tuple[Any, ...]:
        """What READY is asked to find the first jobs of these lanes, so many of each, or the next `behind` those that are known."""
        pieces = []
        for lane, n in asked.items():
            mark = BEGINNING if self.full else self.of(lane)
            place = behind.get(lane, BEGINNING) if behind else BEGINNING
            if place < mark and not self.full_look.apart:
                pieces.append((lane, *place, mark[0], n))
            pieces.append((lane, *max(place, mark), NO_BOUND, n))
        return *map(list, zip(*pieces, strict=True)), NO_BOUND if newest is None else newest

    @property
    def can_guess(self) -> bool:
        """Whether a claim may read from the marks without having asked for the lanes: cheaply, and with some hope."""
        if not self.lanes or not 0 < len(self.open) <= OPEN_MAX:
            return False
        return not (self.full_look.apart and any(self.of(lane) == BEGINNING for lane in self.lanes))

    def move(self, taken: list[Job]) -> None:
        if len(self._of_lane) > LANES_MAX:
            self._of_lane.clear()
        for job in taken:
            self._of_lane[job.lane] = max(self.of(job.lane), place_of(job))


def _turn_comes_s(workers: int) -> float:
    """When it is this one's turn to look: about so, or all of them would look together."""
    now_s = monotonic()
    return now_s + BUSY_S * max(1, min(workers, BUSY_WORKERS)) * (0.5 + now_s * 1e5 % 1.0)


class SharedClaim(Claim):
    """One claim of one worker, beside others at the same moment."""

    _store: PostgresConnection
    _places: dict[int, str]  # of the rows of jobs that were read, by their numbers

    def pick(self, free: int, ahead: int, serving: Serving) -> list[Job]:
        store = self._store
        store.share_claims()
        rows = store.run(sql.OPEN_LANES)
        store.marks.open = [] if any(row[4:] != NO_LIMITS for row in rows) else [row[0] for row in rows]
        store.limits_seen = any(row[4] is not None or row[7] is not None for row in rows)
        rows = [row for row in rows if serving.serves(row[1], row[2])]
        for row in rows:
            self._gates[row[0]] = open_gates(row)
        if any(self._gates.values()):
            rows = self._behind_locks(rows)
        self._newest, self._places = serving.newest, {}
        picked = self._until_careful(self._first(self._bounds(rows, free + ahead, serving), free + ahead), free)
        self._note(picked, free + ahead)
        if self._short:
            self._look_again(picked)
        store.marks.move(picked)
        return picked

    def _behind_locks(self, rows: list[Any]) -> list[Any]:
        """The lanes whose limits are ours alone to use from here on, with those limits as they stand now."""
        store = self._store
        store.write_sums()  # what this transaction has ended makes room
        limited = {gate for gates in self._gates.values() for gate in gates}
        names = {kind: sorted(gate.name for gate in limited if gate.kind == kind) for kind in ("queue", "key")}
        now: dict[tuple[str, str], Gate] = {}
        for kind, lock in (("queue", pg_sql.LOCK_QUEUES), ("key", pg_sql.LOCK_KEYS)):
            for name, *limits in store.run(lock, (names[kind],)) if names[kind] else ():
                now[kind, name] = Gate(kind, name, *limits)
        kept = []
        for row in rows:
            gates = self._gates[row[0]]
            if any(gate.kind == "queue" and (gate.kind, gate.name) not in now for gate in gates):
                continue  # paused in this moment
            fresh = [now.get((gate.kind, gate.name)) for gate in gates]
            self._gates[row[0]] = [gate for gate in fresh if gate is not None and gate.is_limited]
            kept.append(row)
        return kept

    def _first(self, bounds: dict[int, int], wanted: int) -> list[Job]:
        """From the marks, or from the beginning."""
        if not bounds or not wanted:
            return []
        store, marks = self._store, self._store.marks
        marks.lanes = [*bounds] if set(bounds.values()) == {wanted} else []
        if not store.expected.has(pg_sql.READY, marks.bindings(shares(bounds, store.gave, wanted), self._newest)):
            marks.decide()
        picked: list[Job] = []
        if not marks.full:
            picked = super()._first(bounds, wanted)
            if self._short:
                marks.busy_until_s = 0.0
                marks.full = marks.full_look.allows(monotonic())
        if marks.full:
            picked = super()._first(bounds, wanted)
            if not self._short:
                marks.busy_until_s = _turn_comes_s(store.ringer.workers)
        return picked

    def _read(self, lanes: list[int]) -> None:
        """Ours to take. Two pieces of a lane may bring twice as much as is wanted of it. What is known is not read again."""
        store, marks = self._store, self._store.marks
        known = {lane: self._found[lane] for lane in lanes if self._found.get(lane)}
        more = {lane: self._asked[lane] - len(known.get(lane, ())) for lane in lanes}
        bindings = marks.bindings(more, self._newest, {lane: place_of(jobs[-1]) for lane, jobs in known.items()})
        is_first_look = marks.full and not self._found
        rows = look(store, marks.full_look, pg_sql.READY, bindings) if is_first_look else store.run(pg_sql.READY, bindings)
        self._places |= {row[0]: row[-1] for row in rows}
        found: dict[int, list[Job]] = {lane: [] for lane in lanes}
        for row in rows:
            job = Job(*row[:-1])
            found[job.lane].append(job)
        for lane, jobs in found.items():
            self._found[lane] = known.get(lane, []) + sorted(jobs, key=place_of)[: more[lane]]

    def _look_again(self, picked: list[Job]) -> None:
        """There were fewer than wanted: `opens_us` says when to look for those that the mark or another's hands have hidden.
        Whoever has work to do looks soon; who has none asks first whether there is something."""
        short, found = self._short, [job.number for jobs in self._found.values() for job in jobs]
        newest = NO_BOUND if self._newest is None else self._newest
        if not self._store.marks.full:
            at = self._now + max(0, round((self._store.marks.full_look.next_s - monotonic()) * 1e6))
        elif picked or self._store.run(pg_sql.SOME_READY, (short, found, newest)):
            at = self._now + AGAIN_US
        else:
            return
        self.opens_us = min(self.opens_us or at, at)

    # ------------------------------------------------------------ writing

    def _running(self, jobs: list[Job]) -> list[Job]:
        if not jobs:
            return []
        store, worker, now = self._store, self._worker, self._now
        store.run(pg_sql.CLAIM_RUNNING, (worker, now, now, [self._places[job.number] for job in jobs]))
        fresh: dict[str, Any] = {"started_us": now, "finished_us": None, "exit_code": None, "reason": None}
        claimed = [self._claimed(job, RUNNING).but(**fresh) for job in jobs]
        numbers, runs = [job.number for job in claimed], [job.run for job in claimed]
        store.run(pg_sql.CLAIM_ATTEMPTS, (worker, now, numbers, runs))
        store.run(pg_sql.CLAIM_HISTORY, (now, f"worker {worker}", numbers, runs))
        return claimed

    def _ahead(self, jobs: list[Job]) -> list[Job]:
        if jobs:
            self._store.run(pg_sql.CLAIM_AHEAD, (self._worker, self._now, [self._places[job.number] for job in jobs]))
        return [self._claimed(job, CLAIMED) for job in jobs]
