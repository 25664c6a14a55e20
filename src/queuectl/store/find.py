"""Which rows a Query means, as SQL; and the reading verbs built on it."""

from __future__ import annotations

from ..model import Job, Query
from . import sql

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from .base import Store

ENDED_STATES = ("completed", "dead", "cancelled")


def find(store: Store, query: Query) -> list[Job]:
    """The jobs that a query means, newest first unless it says otherwise."""
    statement, bindings = select(query, sql.JOB)
    return [Job(*row) for row in store.run(statement, bindings)]


def stream(store: Store, query: Query) -> Iterator[Job]:
    """The same one by one, in constant memory, from a connection of its own."""
    statement, bindings = select(query, sql.JOB)
    for row in store.stream(statement, bindings):
        yield Job(*row)


def count(store: Store, query: Query) -> int:
    statement, bindings = select(query.but(limit=None), "count(*)")
    return int(store.run(statement.rpartition(" order by ")[0], bindings)[0][0])


def select(query: Query, columns: str) -> tuple[str, tuple[Any, ...]]:
    conditions: list[str] = []
    bindings: list[Any] = []

    def also(condition: str, *values: Any) -> None:
        conditions.append(condition)
        bindings.extend(values)

    if query.ids or query.ranges or query.last:
        also(*_named(query))
    if query.states:
        also(f"state in ({_places(query.states)})", *query.states)
    if query.stages:
        also(f"stage in ({_places(query.stages)})", *query.stages)
    if query.queue is not None:
        also("queue = ?", query.queue)
    if query.label is not None:
        also("label = ?", query.label)
    if query.ended_before_us is not None:
        also(f"state in ({_places(ENDED_STATES)}) and finished_us < ?", *ENDED_STATES, query.ended_before_us)
    if query.below is not None:
        also("number < ?", query.below)
    where = " where " + " and ".join(conditions) if conditions else ""
    limit = ""
    if query.limit is not None:
        limit = " limit ?"
        bindings.append(query.limit)
    return f"select {columns} from jobs{where} order by number {'asc' if query.oldest_first else 'desc'}{limit}", tuple(bindings)


def _named(query: Query) -> tuple[Any, ...]:
    """One condition for ids (chosen names, or numbers nobody chose another id for), ranges of numbers, the newest."""
    parts: list[str] = []
    bindings: list[Any] = []
    if query.ids:
        parts.append(f"name in ({_places(query.ids)})")
        bindings += query.ids
        numbers = [int(i) for i in query.ids if i.isascii() and i.isdigit() and len(i) < 19 and str(int(i)) == i]
        if numbers:
            parts.append(f"(name is null and number in ({_places(numbers)}))")
            bindings += numbers
    for first, last in query.ranges:
        parts.append("number between ? and ?")
        bindings += [first, last]
    if query.last:
        parts.append("number in (select number from jobs order by number desc limit ?)")
        bindings.append(query.last)
    return "(" + " or ".join(parts) + ")", *bindings


def _places(values: Any) -> str:
    return ", ".join("?" * len(values))
