"""One job added in a single trip: number, row, line of history, sum, in a transaction that needs no word for its end.

When the answer is lost nobody knows the transaction's number. So the process that served us is ended first: from then on
what it has done is done, and what it has not never will be. Then the job is looked for.
"""

from __future__ import annotations

from time import monotonic

from ..model import Job
from .pg_doubt import settled
from .pg_link import psycopg

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .pg_connection import PostgresConnection

COLUMNS = tuple(column for column in Job.fields if column != "number")
# Apart: what somebody who was waited for has added is seen by the next statement alone.
# And the number behind the lock: a row that has to be locked again would draw another.
DRAW = "with kept as materialized (select id from envs where id = ? for key share) select take_numbers(1) from kept"
# Nothing is added when its environment has been removed, or its number was chosen by somebody as an id.
ADD = """
with fresh as (select currval('job_numbers') as number from envs where id = ?),
new as (
  insert into jobs (number, {columns}) select number, {places} from fresh
  where not exists (select 1 from jobs as chosen where chosen.name = fresh.number::text)
  returning number, created_us, queue, state, stage),
told as (insert into history (job, at_us, event, stage, run, actor) select number, created_us, 'add', stage, 0, ? from new),
counted as (insert into deltas (queue, state, stage, n) select queue, state, stage, 1 from new)
select number as added from new"""
END = """
select pg_terminate_backend(pid, 2000) from pg_stat_activity
where pid = ? and backend_start <= to_timestamp(?::double precision / 1000000)"""
FIND = "select number from jobs where number >= ? and created_us = ? and env = ? and command = ?"


FORMS: dict[tuple[bool, ...], str] = {}  # of ADD, by which columns are given: what is null is not sent
FORMS_MAX = 50


def _form(given: tuple[bool, ...]) -> str:
    if given not in FORMS:
        columns = [column for column, is_given in zip(COLUMNS, given, strict=True) if is_given]
        FORMS[given] = ADD.format(columns=", ".join(columns), places=", ".join("?" * len(columns)))
    return FORMS[given]


def add(store: PostgresConnection, job: Job, actor: str) -> Job | None:
    """The job with its number, on stable storage; None when it has to be added step by step. Raises TryAgainLater."""
    began, before = monotonic(), (store.served_by, store.newest)
    values = job.values()[1:]
    given = tuple([value is not None for value in values])
    if given not in FORMS and len(FORMS) >= FORMS_MAX:
        given = (True,) * len(values)
    named = [value for value, is_given in zip(values, given, strict=True) if is_given]
    try:
        found = store.run_here(_form(given), (job.env, *named, actor), first=(DRAW, (job.env,)))
    except psycopg.Error as fault:
        if not store._is_gone():
            raise store._told(fault) from None
        found = _look_for(store, job, before, began)
        if not found:
            raise store._told(fault) from None
    if not found:
        return None
    store.newest = max(store.newest, found[0][0])
    return job.but(number=found[0][0])


def _look_for(store: PostgresConnection, job: Job, before: tuple[tuple[int, int], int], began: float) -> list[tuple[Any, ...]]:
    served_by, newest = before

    def ask() -> list[tuple[Any, ...]] | None:
        if not all(ended for (ended,) in store.run_here(END, served_by)):
            return None
        return store.run_here(FIND, (newest, job.created_us, job.env, job.command))

    return settled(store, began, ask)
