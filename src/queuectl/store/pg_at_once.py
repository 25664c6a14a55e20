"""A claim in a single trip, by a worker that has a free slot and nothing to tell.

It takes what stands at the marks of lanes that nothing limits, and is a transaction of its own that needs no word for its end.
All that a turn has to see besides (limits, what is due, what stands before a mark) is left to the next one, which comes soon.
When the answer is lost, the process that served us is ended first: what it has claimed is then in the store.
"""

from __future__ import annotations

from time import monotonic

from ..model import Job
from . import pg_add, pg_sql, sql
from .pg_doubt import settled
from .pg_link import psycopg

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .pg_connection import PostgresConnection

# Jobs that have never run, for a worker that holds its lease, when nothing limits any open lane and all of them are known: in one
# statement, whose parts see the same moment. What was changed between that and its lock is not found by its place, and left.
CLAIM = f"""
with given as (select ?::bigint as worker, ?::bigint as now, ?::bigint as free, ?::bigint[] as known),
open (id, queue, needs, limit_key, a, b, c, d, e, f) as ({pg_sql.OWN[sql.OPEN_LANES]}),
mine as materialized (
  select 1 from workers where id = (select worker from given) and lease_us > {pg_sql.NOW_US} and stopping is null
    and (select bool_and(id = any(known) and num_nulls(a, b, c, d, e, f) = 6) from open, given)),
ready as materialized (
  select * from ({pg_sql.READY}) as first where exists (select from mine) and lane in (select id from open)
  order by -priority, number limit (select free from given)),
held as (
  select 1 from workers where id = (select worker from given) and lease_us > {pg_sql.NOW_US} and stopping is null
    and (select bool_and(run = 0 and stdin is null) from ready) for key share),
taken as (
  update jobs set stage = 'running', state = 'processing', worker = (select worker from given), run = 1, version = version + 1,
    updated_us = (select now from given), started_us = (select now from given)
  where exists (select from held) and ctid = any(array(select place from ready)) returning {sql.JOB}),
attempt as (insert into attempts (job, run, worker, started_us, log_start) select number, 1, worker, started_us, 0 from taken),
line as (
  insert into history (job, at_us, event, stage, run, actor)
  select number, started_us, 'start', stage, 1, 'worker ' || worker from taken),
sums as (
  insert into deltas (queue, state, stage, n)
  select queue, was.state, was.stage, sum(was.n)
  from taken cross join (values ('pending', 'ready', -1), ('processing', 'running', 1)) as was (state, stage, n) group by 1, 2, 3)
select * from taken order by -priority, number"""
CLAIMED = f"select {sql.JOB} from jobs where worker = ? and started_us = ? and stage = 'running'"


def claim(store: PostgresConnection, worker: int, free: int, now: int) -> list[Job]:
    """Jobs to run now, their claim on stable storage; none may mean anything."""
    marks = store.marks
    if not (free and marks.can_guess and store.leases.lasts):
        return []
    marks.full = False
    bindings = (worker, now, free, marks.open, *marks.bindings(dict.fromkeys(marks.lanes, free)))
    store._alive()
    began, served_by = monotonic(), store.served_by
    try:
        rows = store._wire.alone(store._text(CLAIM)[0], bindings, behind=store.sharing_claims())
    except psycopg.Error as fault:
        if not store._is_gone():
            raise store._told(fault) from None

        def ask() -> list[tuple[Any, ...]] | None:
            ended = store.run_here(pg_add.END, served_by)
            return store.run_here(CLAIMED, (worker, now)) if all(was for (was,) in ended) else None

        rows = settled(store, began, ask)
    jobs = [Job(*row) for row in rows]
    marks.move(jobs)
    return jobs
