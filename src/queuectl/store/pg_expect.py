"""Statements that were sent before they are wanted, so that the questions of a turn are one trip.

Each is answered as it was sent. What is written after that and would change the answer of one is in the table here: that one
is asked again.
"""

from __future__ import annotations

from time import monotonic

from . import pg_sql, sql

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .pg_wire import Answer

SPOILS = {
    **dict.fromkeys((sql.ADD_LANE, sql.REST_KEY, sql.KEY_STARTED, sql.QUEUE_STARTED), (sql.OPEN_LANES,)),
    **dict.fromkeys((sql.INSERT_JOB, sql.UPDATE_JOB, sql.EDIT_JOB, sql.MAKE_READY, sql.HAND_OVER), (pg_sql.READY, sql.NEXT_DUE)),
    **dict.fromkeys((sql.SCHEDULE_FIRED, sql.PAUSE_SCHEDULE), (sql.NEXT_DUE,)),
}


class Expected:
    """What was asked in this transaction and not yet fetched: for each statement its bindings and where its answer comes."""

    def __init__(self) -> None:
        self._asked: dict[str, tuple[tuple[Any, ...], Answer]] = {}
        self.since_s = 0.0
        self.wanted = 0  # jobs that will be claimed

    def begin(self) -> None:
        self._asked.clear()
        self.wanted = 0

    def ask(self, statement: str, bindings: tuple[Any, ...], answer: Answer) -> None:
        self._asked[statement] = (bindings, answer)
        self.since_s = monotonic()

    def has(self, statement: str, bindings: tuple[Any, ...]) -> bool:
        known = self._asked.get(statement)
        return known is not None and known[0] == bindings

    def take(self, statement: str, bindings: tuple[Any, ...]) -> Answer | None:
        """The answer, once; a statement that is run leaves nothing to be expected of it."""
        self.written(statement)
        known = self._asked.pop(statement, None)
        return known[1] if known and known[0] == bindings else None

    def written(self, statement: str) -> None:
        for spoilt in SPOILS.get(statement, ()):
            self._asked.pop(spoilt, None)
