"""Looks whose cost is only known from the last time.

Behind a snapshot that somebody holds open, the entries of rows that have long gone stay in an index, and reading it from its
beginning costs more with each of them. Such a look is taken freely while it is cheap, and else so seldom that it is cheap on
the whole. To know what it costs it has to be asked by itself, which is a trip; so that is done only when the trips that it
shared with other things took long, twice in a row: once may be anything. Long is what takes longer than other trips: where
all have to wait, for a processor or over a slow link, a look is no dearer than before.
"""

from __future__ import annotations

from time import monotonic

from .pg_link import psycopg

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .pg_connection import PostgresConnection

CHEAP_S = 0.003  # what takes no longer than this,
USUALS = 4  # and so many usual trips, is done each time
SHARE = 20  # what does takes at most one part in so many of the time


class Patience:
    """How often one look may be taken."""

    def __init__(self) -> None:
        self.next_s = 0.0
        self.apart = True  # it is to be asked by itself
        self._was_slow = False

    def allows(self, now_s: float) -> bool:
        return now_s >= self.next_s

    def took(self, cost_s: float, usual_s: float, now_s: float) -> None:
        self.apart, self._was_slow = _is_dear(cost_s, usual_s), False
        self.next_s = now_s + (SHARE * cost_s if self.apart else 0.0)

    def took_with_others(self, cost_s: float, usual_s: float) -> None:
        was_slow, self._was_slow = self._was_slow, _is_dear(cost_s, usual_s)
        self.apart = was_slow and self._was_slow


def _is_dear(cost_s: float, usual_s: float) -> bool:
    return cost_s > CHEAP_S + USUALS * usual_s


def look(
    store: PostgresConnection, patience: Patience, statement: str, bindings: tuple[Any, ...] = ()
) -> list[tuple[Any, ...]]:
    """The rows; what they cost is noted."""
    expected = store._open and store.expected.has(statement, bindings)
    began = store.expected.since_s if expected else monotonic()
    if expected or (store._open and not patience.apart):
        rows = store.run(statement, bindings)
        patience.took_with_others(monotonic() - began, store._wire.usual_trip_s())
        return rows
    if store._open:
        try:
            store._wire.catch_up()
        except psycopg.Error as fault:
            raise store._told(fault) from None
        began = monotonic()
    rows = store.run(statement, bindings)
    patience.took(monotonic() - began, store._wire.usual_trip_s(), monotonic())
    return rows
