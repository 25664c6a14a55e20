"""What a claim reads on PostgreSQL: no more for what waits, and no more for what has ended behind a snapshot held open.

Counted in pages, not in time, so that a busy machine changes nothing.
"""

from __future__ import annotations

import json
from typing import Any

import psycopg

from queuectl import Queue, lifecycle
from queuectl.clock import now_us
from queuectl.model import Job, Options, Outcome, Serving
from queuectl.schedule import Backoff
from queuectl.store import pg_link, pg_sql
from queuectl.store.pg_claim import BEGINNING

ENDED = lifecycle.Finished(Outcome(exit_code=0, started_us=1, ended_us=1), Options(), Backoff())


def turn(queue: Queue, done: list[Job], n: int = 5) -> list[Job]:
    with queue.store.transaction():
        queue.store.apply_all([(job, ENDED) for job in done], now_us(), "worker")
        return queue.store.claim(9, n, 0, now_us(), Serving()).jobs


def pages(queue: Queue, place: tuple[int, int], lane: int) -> int:
    """How many pages the server reads to find the next five jobs of a lane from a place on."""
    store: Any = queue.store
    with store.transaction():
        rows = store.run(
            "explain (analyze, buffers, format json) " + pg_sql.READY, ([lane], [place[0]], [place[1]], [5])
        )
    plan = rows[0][0] if isinstance(rows[0][0], list) else json.loads(rows[0][0])
    return int(plan[0]["Plan"]["Shared Hit Blocks"] + plan[0]["Plan"]["Shared Read Blocks"])


def test_a_claim_reads_the_same_however_much_waits(queue: Queue) -> None:
    queue.add_many(["true"] * 100)
    lane = queue.get(1).lane
    few = pages(queue, BEGINNING, lane)
    queue.add_many(["true"] * 20_000)
    queue.store.run("analyze jobs")
    assert pages(queue, BEGINNING, lane) <= few + 10


def test_behind_a_snapshot_held_open_a_claim_reads_from_its_mark(queue: Queue, store: str) -> None:
    queue.add_many(["true"] * 4000)
    queue.store.run("analyze jobs")
    lane, shared = queue.get(1).lane, queue.store
    jobs = turn(queue, [])
    fresh = pages(queue, BEGINNING, lane)
    with psycopg.connect(pg_link.address(store).url) as held:
        held.execute("begin isolation level repeatable read")
        held.execute(f"select count(*) from {pg_link.address(store).schema}.meta")
        for _ in range(60):
            jobs = turn(queue, jobs, 50)
        assert pages(queue, BEGINNING, lane) > 10 * fresh  # what the textbook query would read each time
        assert pages(queue, shared.marks.of(lane), lane) <= fresh + 10  # type: ignore[attr-defined]
