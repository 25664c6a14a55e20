"""The connection by which a worker's copies of output get into the store."""

from __future__ import annotations

from . import pg_link, pg_objects, pg_output
from .pg_link import psycopg, translated

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..model import Job
    from .base import Store

PUT, LENGTH = (statement.replace("?", "%s") for statement in (pg_output.PUT, pg_output.LENGTH))  # as the driver has them


class Copies:
    def __init__(self, store: Store) -> None:
        self._to = pg_link.address(store.place.url)
        self._store_id = getattr(store, "store_id", "")
        self._db: pg_link.Connection | None = None

    def _link(self) -> pg_link.Connection:
        if self._db is None or self._db.closed:
            self._db = pg_link.connect(self._to)
            if not self._to.pooled:
                self._db.execute("set synchronous_commit = off")
        return self._db

    def _begun(self) -> pg_link.Connection:
        """Inside a transaction: with what a pooler keeps for no session."""
        db = self._link()
        if self._to.pooled:
            db.execute(pg_link.settings_sql(self._to))
        return db

    def length(self, job: int, stream: str) -> int:
        """How far the store has a log already."""
        try:
            with self._link().transaction():
                [(length,)] = self._begun().execute(LENGTH, (job, stream)).fetchall()
        except psycopg.Error as fault:
            raise self._failed(fault) from None
        return int(length)

    def put(self, job: Job, stream: str, path: str, at: int, most: int, apart: str = "") -> int | None:
        """Copy what a log has from `at` on, into the object store `apart` if one is named; returns up to where, None when
        there is nothing new."""
        pieces = pg_output.pieces_of(path, at, most)
        if not pieces or (job.run and at == 0 and pieces[-1][0] + len(pieces[-1][1]) <= _header_length(pieces[0][1])):
            return None  # nothing but its header: that is not worth a row
        for start, body in pieces if apart else ():
            pg_objects.put(apart, pg_objects.name_of(self._store_id, job.number, stream, start), body)
        try:
            with self._link().transaction():
                db = self._begun()
                rows = [
                    pg_output.put_values(job.number, job.run, stream, start, None if apart else body, len(body))
                    for start, body in pieces
                ]
                db.cursor().executemany(PUT, rows)
        except psycopg.Error as fault:
            raise self._failed(fault) from None
        return pieces[-1][0] + len(pieces[-1][1])

    def _failed(self, fault: psycopg.Error) -> Exception:
        if self._db is not None:
            self._db.close()
        self._db = None
        return translated(fault, self._to.shown)

    def close(self) -> None:
        if self._db is not None:
            self._db.close()


def _header_length(text: bytes) -> int:
    return text.find(b"\n") + 1 if text.startswith(b"--- run ") else 0
