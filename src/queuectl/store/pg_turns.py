"""How threads take turns on one connection, and how the driver gets it for what a pipeline cannot carry."""

from __future__ import annotations

from _thread import RLock
from threading import get_ident

from ..errors import TryAgainLater
from . import pg_link
from .pg_link import psycopg

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from .pg_connection import PostgresConnection

IMPATIENT_S = 2.5  # what a worker's loop waits for a server, or for those of its threads who wait for one


class Turns:
    """The lock of a connection: a worker's loop does not wait for whoever waits for the server."""

    def __init__(self, store: PostgresConnection) -> None:
        self._store = store
        self._lock = RLock()
        self.release = self._lock.release

    def acquire(self, blocking: bool = True) -> bool:
        if not blocking or self._store.impatient != get_ident():
            return self._lock.acquire(blocking)
        if not self._lock.acquire(timeout=IMPATIENT_S):
            raise TryAgainLater(f"the store at {self._store.to.shown} does not answer", why="others wait for it too")
        return True

    def __enter__(self) -> bool:
        return self.acquire()

    def __exit__(self, *_: object) -> None:
        self.release()


class Outside:
    """For what a pipeline cannot carry: scripts and copies."""

    def __init__(self, store: PostgresConnection) -> None:
        self._store = store

    def __enter__(self) -> None:
        try:
            self._store._wire.sync()
            self._store._wire.close()
        except psycopg.Error as fault:
            raise self._store._told(fault) from None

    def __exit__(self, kind: type[BaseException] | None, fault: BaseException | None, trace: object) -> None:
        if not self._store._is_gone():
            self._store._wire.open()
        if isinstance(fault, psycopg.Error):
            raise self._store._told(fault) from None


def streamed(to: pg_link.Address, text: str, bindings: tuple[Any, ...]) -> Iterator[tuple[Any, ...]]:
    """Rows as the server finds them, from a connection of their own."""
    reader = pg_link.connect(to)
    try:
        with reader.transaction():
            if to.pooled:
                reader.execute(pg_link.settings_sql(to))
            with psycopg.RawServerCursor(reader, name="stream") as cursor:
                cursor.itersize = 1000
                yield from cursor.execute(text, bindings)
    except psycopg.Error as fault:
        raise pg_link.translated(fault, to.shown) from None
    finally:
        reader.close()
