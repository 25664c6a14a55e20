"""What a worker knows of its own jobs, it writes without asking how they stand: a trip and a statement less in each turn.

Nobody but their worker changes jobs that run, or almost nobody. So the rows of a turn are written by their number and the
version that is known here, and before the commit it is looked at whether as many were found. If not, nothing of the turn
counts: it is done again, by asking first.
"""

from __future__ import annotations

from ..errors import Moved
from . import sql

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .pg_connection import PostgresConnection
    from .pg_wire import Answer


class Trust:
    """Of one connection, transaction by transaction."""

    def __init__(self, store: PostgresConnection) -> None:
        self._store = store
        self.holds = False  # in this transaction
        self._was_wrong = False
        self._unchecked: list[tuple[Answer, int]] = []

    def begin(self) -> None:
        self.holds, self._unchecked = False, []

    def begin_turn(self) -> None:
        self.holds, self._was_wrong = not self._was_wrong, False

    def written(self, statement: str, answer: Answer, rows: int) -> None:
        if self.holds and statement == sql.UPDATE_JOB:
            self._unchecked.append((answer, rows))

    def check(self) -> None:
        """Raises Moved."""
        for answer, rows in self._unchecked:
            self._store._wire.rows(answer)
            if answer.result.command_tuples != rows:
                self._was_wrong = True
                raise Moved("the jobs of a turn were changed meanwhile", why="somebody else has done something to them")
