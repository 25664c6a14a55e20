"""One job added in a single trip: number, row, line of history, sum, in a transaction that needs no word for its end.

When the answer is lost nobody knows the transaction's number. So the process that served us is ended first: from then on
what it has done is done, and what it has not never will be. Then the job is looked for.
"""

from __future__ import annotations

from operator import attrgetter
from time import monotonic

from .. import bell
from .pg_bell import workers_of
from .pg_doubt import settled
from .pg_link import psycopg

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ..model import Job
    from .pg_connection import PostgresConnection

GIVEN = (  # what a new job has to tell of itself; the rest of its row is alike for all
    *("queue", "lane", "kind", "command", "work", "state", "stage", "priority", "max_retries", "timeout_s", "label", "needs"),
    *("run_at_us", "due_us", "created_us", "cwd", "umask", "env", "options"),
)
values_of = attrgetter(*GIVEN)
ADD = f"select add_job({', '.join('?' * len(GIVEN))}, ?) as added"
END = """
select pg_terminate_backend(pid, 2000) from pg_stat_activity
where pid = ? and backend_start <= to_timestamp(?::double precision / 1000000)"""
FIND = "select number from jobs where number >= ? and created_us = ? and env = ? and command = ?"


def add(store: PostgresConnection, job: Job, actor: str) -> tuple[Job, int] | None:
    """The job with its number, on stable storage, and how many workers there are who hear of it; None when it has to be added
    step by step. Raises TryAgainLater."""
    for is_last in (False, True):
        store._alive()
        began, before = monotonic(), (store.served_by, store.newest)
        try:
            found, heard = _added_and_rung(store, (*values_of(job), actor))
        except psycopg.errors.UndefinedFunction:
            store.adds_at_once = False
            return None
        except psycopg.Error as fault:
            if not store._is_gone():
                raise store._told(fault) from None
            found, heard = _look_for(store, job, before, began), 0
            if found:
                here = bell.ring(store.place.run, bell.WORK)
                heard = store.ringer.ring(bell.WORK) or here
            elif is_last:
                raise store._told(fault) from None
        if found:
            break
    number = found[0][0]
    if number is None:
        return None
    store.newest = max(store.newest, number)
    return job.but(number=number), heard


def _added_and_rung(store: PostgresConnection, bindings: tuple[Any, ...]) -> tuple[list[tuple[Any, ...]], int]:
    """And when it is committed the bell, here and, in a transaction of its own, elsewhere. Returns the row, and how many workers
    there are to hear it."""
    listening: list[str] = []
    here: list[int] = []
    rung: list[tuple[Any, ...]] = []

    def look_who_listens() -> None:
        listening.extend(bell.listeners(store.place.run, bell.WORK))

    def ring_here() -> None:
        here.append(bell.ring_all(listening))

    with store.lock:
        text, ring = store._text(ADD)[0], store.ringer.ring_behind(bell.WORK)
        if ring is None:
            found = store._wire.alone(text, bindings, look_who_listens)
            ring_here()
        else:
            behind = (store._text(ring[0])[0], ring[1])
            found, rung = store._wire.alone_before(text, bindings, behind, look_who_listens, ring_here)
            store.ringer.note(bell.WORK)
    return found, (workers_of(rung) if rung else 0) or here[0]


def _look_for(store: PostgresConnection, job: Job, before: tuple[tuple[int, int], int], began: float) -> list[tuple[Any, ...]]:
    served_by, newest = before

    def ask() -> list[tuple[Any, ...]] | None:
        if not all(ended for (ended,) in store.run_here(END, served_by)):
            return None
        return store.run_here(FIND, (newest, job.created_us, job.env, job.command))

    return settled(store, began, ask)
