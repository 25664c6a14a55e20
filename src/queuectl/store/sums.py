"""Sums kept beside the rows: collected while a transaction runs, written once before it commits.

Because of them `status` costs the same with a million finished jobs as with none.
"""

from __future__ import annotations

from . import sql

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..model import Job, Outcome
    from .base import Store


MINUTE_US = 60_000_000
MINUTES_KEPT = 8 * 1440  # more than the longest chart shows
MINUTES_AT_ONCE = 360  # that are removed together: a write now and then, not one a minute


class Sums:
    """What a transaction changes in `counts`, `lanes.ready`, `totals` and `minutes`."""

    def __init__(self) -> None:
        self.counts: dict[tuple[str, str, str], int] = {}
        self.ready: dict[int, int] = {}
        self.totals: dict[tuple[str, int], list[int]] = {}  # by queue and minute

    def add(self, queue: str, state: str, stage: str, lane: int, n: int = 1) -> None:
        place = (queue, state, stage)
        self.counts[place] = self.counts.get(place, 0) + n
        if stage == "ready":
            self.ready[lane] = self.ready.get(lane, 0) + n

    def moved(self, before: Job, after: Job) -> None:
        self.add(before.queue, before.state, before.stage, before.lane, -1)
        self.add(after.queue, after.state, after.stage, after.lane, +1)

    def ended(self, job: Job, outcome: Outcome) -> None:
        totals = self.totals.setdefault((job.queue, outcome.ended_us // MINUTE_US), [0, 0, 0, 0])
        totals[0 if outcome.succeeded else 1] += 1
        totals[2] += max(0, outcome.ended_us - outcome.started_us)
        if outcome.succeeded:
            totals[3] += max(0, outcome.started_us - max(job.created_us, job.run_at_us or 0))

    def write(self, store: Store) -> None:
        for (queue, state, stage), n in self.counts.items():
            if n:
                store.run(sql.ADD_COUNT, (queue, state, stage, n))
        emptied = False
        for lane, n in self.ready.items():
            if n:
                store.run(sql.ADD_LANE_READY, (n, lane))
                emptied = emptied or n < 0
        if emptied:
            store.run(sql.DROP_EMPTY_LANES)
        for (queue, minute), numbers in self.totals.items():
            store.run(sql.ADD_TOTALS, (queue, *numbers))
            store.run(sql.ADD_MINUTE, (minute, *numbers[:2]))


def forget_old_minutes(store: Store, now_us: int) -> None:
    oldest = now_us // MINUTE_US - MINUTES_KEPT
    if store.run(sql.OLD_MINUTE, (oldest - MINUTES_AT_ONCE,)):
        with store.transaction():
            store.run(sql.FORGET_MINUTES, (oldest,))
