"""Who is alive, between machines: a lease on each worker's row, by the server's clock alone.

A worker renews its lease as it commits, and claims only while it holds it: the claim locks the row against whoever would
take it away, so that one of the two comes first. A lease that has run out is taken by any worker, in one transaction with
what becomes of its jobs. After that nothing renews it: the worker notices, ends, and is started again as a new one.

Nobody is taken for dead until one lease after the server has started, or after we have found it again: after an outage
every lease looks old. What a worker says of a run that was given to another is refused by the run's number and version.
"""

from __future__ import annotations

from .. import clock
from ..errors import Replaced
from . import pg_sql

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .pg_connection import PostgresConnection

LEASE_S = 60.0
RENEWALS = 4  # in one lease
TICK_S = 5.0  # a worker commits at least so often


class Leases:
    def __init__(self, store: PostgresConnection) -> None:
        self._store = store
        self.lease_s = LEASE_S
        self.until_s = float("inf")  # since boot: what this process's own worker may count on
        self._asked_s = self._kept_s = float("-inf")
        self._connected_s = _now_s()

    def connected(self) -> None:
        """Anew, after the server was lost."""
        self._connected_s = _now_s()

    def begin(self, worker: int) -> None:
        """The first lease of a worker, in the transaction that makes its row."""
        self._asked_s = _now_s()
        self._store.run("update workers set lease_us = 1 where id = ?", (worker,))
        self._renew(worker)
        self.until_s = self._asked_s + self.lease_s

    def keep(self, worker: int, lease_s: float) -> float | None:
        """Renew when it is time to, else make sure that nobody takes it until this transaction ends. Returns until when a
        renewed one holds, once committed; raises Replaced."""
        self.lease_s = lease_s
        if self.lasts:
            return self._hold(worker)
        self._asked_s = _now_s()
        self._renew(worker)
        return self._asked_s + self.lease_s

    @property
    def lasts(self) -> bool:
        """Whether it is not yet time to renew."""
        return _now_s() - self._asked_s < self.lease_s / RENEWALS - min(TICK_S, self.lease_s / RENEWALS / 2)

    def undone(self) -> None:
        """The transaction is: what was renewed in it was not, and is asked for again with the next."""
        self._asked_s = self._kept_s

    def committed(self) -> None:
        self._kept_s = self._asked_s

    def _renew(self, worker: int) -> None:
        if not self._store.run(pg_sql.RENEW, (round(self.lease_s * 1e6), worker)):
            raise self._taken(worker)

    def _hold(self, worker: int) -> float | None:
        found = self._store.run(pg_sql.HOLDS, (worker,))
        if not found:
            raise self._taken(worker)
        if found[0][0]:
            return None
        self._asked_s = _now_s()  # it ran out, and nobody has noticed: as after an outage
        self._renew(worker)
        return self._asked_s + self.lease_s

    def _taken(self, worker: int) -> Replaced:
        why = "it could not renew its lease in time, and its jobs were given to others"
        return Replaced(f"worker {worker} was taken for dead", why=why)

    def may_take(self) -> bool:
        """Whether a lease that has run out means something by now."""
        [(server_s,)] = self._store.run(pg_sql.SINCE_START)
        return min(_now_s() - self._connected_s, float(server_s)) > self.lease_s

    def lost(self, but: list[int]) -> int | None:
        """A worker whose lease has run out, its row locked; inside a transaction. `but`: those that are left alone."""
        found = self._store.run(pg_sql.LOST, (0, but))
        if not found and self._store.run(pg_sql.SOME_LOST, (but,)):
            self._store.run(pg_sql.END_SILENT)  # its row is locked, by itself perhaps: the next look finds it
        return int(found[0][0]) if found else None

    def take(self, worker: int) -> None:
        self._store.run(pg_sql.TAKE_LEASE, (worker,))


def _now_s() -> float:
    return clock.since_boot_us() / 1e6
