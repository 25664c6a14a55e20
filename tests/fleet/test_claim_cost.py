"""What a claim reads on PostgreSQL: no more for what waits, and no more for what has ended behind a snapshot held open.

Counted in pages, not in time, so that a busy machine changes nothing.
"""

from __future__ import annotations

import json
from typing import Any

import psycopg
import pytest

import queuectl
from queuectl import Queue, lifecycle
from queuectl.clock import now_us
from queuectl.model import Job, Options, Outcome, Serving
from queuectl.schedule import Backoff
from queuectl.store import pg_link, pg_sql
from queuectl.store.pg_claim import BEGINNING, NO_BOUND
from queuectl.workers import own_row

ENDED = lifecycle.Finished(Outcome(exit_code=0, started_us=1, ended_us=1), Options(), Backoff())


def turn(queue: Queue, done: list[Job], n: int = 5) -> list[Job]:
    with queue.store.transaction():
        queue.store.apply_all([(job, ENDED) for job in done], now_us(), "worker")
        return queue.store.claim(9, n, 0, now_us(), Serving()).jobs


def pages(queue: Queue, place: tuple[int, int], lane: int) -> int:
    """How many pages the server reads to find the next five jobs of a lane from a place on."""
    store: Any = queue.store
    with store.transaction():
        asked = ([lane], [place[0]], [place[1]], [NO_BOUND], [5], NO_BOUND)
        rows = store.run("explain (analyze, buffers, format json) " + pg_sql.READY, asked)
    plan = rows[0][0] if isinstance(rows[0][0], list) else json.loads(rows[0][0])
    return int(plan[0]["Plan"]["Shared Hit Blocks"] + plan[0]["Plan"]["Shared Read Blocks"])


def test_a_claim_reads_the_same_however_much_waits(queue: Queue) -> None:
    queue.add_many(["true"] * 100)
    lane = queue.get(1).lane
    few = pages(queue, BEGINNING, lane)
    queue.add_many(["true"] * 20_000)
    queue.store.run("analyze jobs")
    assert pages(queue, BEGINNING, lane) <= few + 10


def test_a_worker_that_began_with_few_jobs_does_not_read_them_all_when_there_are_many(queue: Queue, store: str) -> None:
    [(version,)] = queue.store.run("show server_version_num")
    if int(version) < 150_000:
        pytest.skip(f"NOT TESTED on PostgreSQL {version}: its counts of scans come late")
    with queuectl.open(store) as works:
        with works.store.transaction():
            works.store.add_worker(own_row(5, Serving()))
        for _ in range(8):  # so many that the server keeps its plans
            queue.add("true")
            turn(works, turn(works, [], 1))
        before = scans(works)
        queue.add_many(["true"] * 500)
        jobs: list[Job] = []
        for _ in range(8):
            jobs = turn(works, jobs)
            works.store.limited_jobs_wait()
        assert scans(works) == before


def scans(works: Queue) -> int:
    """How often all rows of jobs have been read on this connection and by others, but for the server itself."""
    works.store.run("select pg_stat_force_next_flush()")
    [(n,)] = works.store.run("select seq_scan from pg_stat_user_tables where relid = to_regclass('jobs')")
    return int(n)


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
