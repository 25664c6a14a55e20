"""The bell between machines: LISTEN and NOTIFY, beside the FIFOs of each machine, which go on ringing there.

Never inside the transaction that it tells of: a commit that notifies takes a lock of the whole database. A bell that is
rung again and again is heard at its first ring and then once in a while; the last ring is never swallowed. Who listens has
a connection for that alone, in a thread that rings the listener's own FIFO. A ring that is lost (a server that was restarted,
a pooler that keeps no sessions) costs the slow poll behind it, never a job.
"""

from __future__ import annotations

import os
from threading import Event, Thread
from time import monotonic, sleep

from .. import bell
from ..errors import QueueError
from . import pg_link, pg_sql
from .pg_link import psycopg

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .pg_connection import PostgresConnection

QUIET_S = {bell.WORK: 0.01, bell.DONE: 0.05}
LATER_S = 0.005  # who goes on adding rings when it is time to; a second thread would be in its way
IDLE_S = 2.0  # a thread that has had nothing to ring for so long ends
AGAIN_S, AGAIN_S_MAX = 0.2, 5.0
ALIVE_S = 30.0  # a link without news is tried this often
# Nobody waits for a disk: nothing is written that has to last.
RING = f"""
select set_config('synchronous_commit', 'off', true), pg_notify(?, ''),
  (select count(*) from workers where lease_us > {pg_sql.NOW_US})"""


def channel(store_id: str, name: str) -> str:
    return f"queuectl_{store_id}_{name}"


def workers_of(rung: list[tuple[Any, ...]]) -> int:
    [(_, _, workers)] = rung
    return int(workers)


class Ringer:
    """One process's hand on the bells. What is to ring later is rung by a thread that is there from the first such ring on."""

    def __init__(self, store: PostgresConnection) -> None:
        self._store = store
        self.workers = 1  # that were alive when it last rang
        self._rung: dict[str, float] = {}
        self._later: dict[str, float] = {}
        self._wake = Event()
        self._over = False
        self._thread: Thread | None = None

    def ring(self, name: str) -> int | None:
        """Returns how many workers there are; None when it rings later, or could not. Never raises: what it tells of has
        been committed."""
        with self._store.lock:
            return self._now(name) if self._now_or_later(name) else None

    def ring_behind(self, name: str) -> tuple[str, tuple[str]] | None:
        """The same for what is on its way to be committed: the ring that is to follow it at once, if it is time for one. When
        it has left, `note` says so."""
        return (RING, (channel(self._store.store_id, name),)) if self._now_or_later(name) else None

    def _now_or_later(self, name: str) -> bool:
        """Whether it may ring now; else it rings later."""
        at = self._rung.get(name, -1.0) + QUIET_S.get(name, 0.05)
        if monotonic() >= at:
            return True
        if name not in self._later:
            self._later[name] = at + LATER_S
            self._thread = self._thread or self._start()
            self._wake.set()
        return False

    def _start(self) -> Thread:
        thread = Thread(target=self._serve, name="ringer", daemon=True)
        thread.start()
        return thread

    def _serve(self) -> None:
        while not self._over:
            rung = self._wake.wait(max(0.0, min(self._later.values(), default=monotonic() + IDLE_S) - monotonic()))
            self._wake.clear()
            with self._store.lock:
                for name in [name for name, at in self._later.items() if at <= monotonic()]:
                    self._now(name)
                if not (rung or self._later):
                    self._thread = None  # or a queue that nobody closes would be kept by it
                    return

    def _now(self, name: str) -> int | None:
        with self._store.lock:
            self.note(name)
            try:
                self.workers = workers_of(self._store.run(RING, (channel(self._store.store_id, name),)))
                return self.workers
            except QueueError:
                return None

    def note(self, name: str) -> None:
        self._rung[name] = monotonic()
        self._later.pop(name, None)

    def finish(self) -> None:
        """Before the connection goes: what was to ring later rings now."""
        with self._store.lock:
            for name in [*self._later]:
                self._now(name)
            self._over = True
            self._wake.set()


class SharedListener(bell.Listener):
    """A listener that the bells of all machines reach."""

    def __init__(self, folder: str, name: str, to: pg_link.Address, store_id: str) -> None:
        super().__init__(folder, name)
        self._to = to
        self._channel = channel(store_id, name)
        self._closed = False
        self._db: pg_link.Connection | None = None
        self._thread: Thread | None = None
        if not to.pooled:
            self._thread = Thread(target=self._serve, name="bell", daemon=True)
            self._thread.start()

    def _serve(self) -> None:
        pause = AGAIN_S
        while not self._closed:
            try:
                self._db = db = pg_link.connect(self._to, listening=True)
                db.execute(f'listen "{self._channel}"')
                self._pull()  # something may have rung before
                pause = AGAIN_S
                while not self._closed:
                    heard = False
                    for _ in db.notifies(timeout=ALIVE_S, stop_after=1):
                        self._pull()
                        heard = True
                    if not heard and not self._closed:
                        db.execute("select 1")
            except (QueueError, psycopg.Error, OSError):
                if self._closed:
                    return
                self._pause(pause)
                pause = min(pause * 2, AGAIN_S_MAX)

    def _pause(self, seconds: float) -> None:
        end = monotonic() + seconds
        while not self._closed and monotonic() < end:
            sleep(0.05)

    def _pull(self) -> None:
        """Under the descriptor that others wait for."""
        try:
            fd = os.open(self.path, os.O_WRONLY | os.O_NONBLOCK)
        except OSError:
            return
        try:
            os.write(fd, b"!")
        except OSError:
            pass  # full: it has rung already
        finally:
            os.close(fd)

    def close(self) -> None:
        self._closed = True
        db = self._db
        if db is not None:
            pg_link.shut(db)  # the thread waits inside of it
        if self._thread is not None:
            self._thread.join(1.0)
        if db is not None:
            db.close()
        super().close()
