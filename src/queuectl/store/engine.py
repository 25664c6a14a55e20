"""What an engine says for itself: how to run statements, hold a transaction, ring other machines; what has no body here is
each engine's own, what has one is for the engine that needs more than one machine's means.
"""

from __future__ import annotations

from ..bell import Listener
from ..errors import Conflict

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Any

    from ..model import Job, Serving


class Engine:
    shared = False  # between machines: what is of one machine alone is looked at with care
    busy_s_max = 20.0  # a worker whose store is busy for longer ends: it may be that worker's own doing
    impatient = 0  # a thread that would rather be refused than wait for a server to come back
    patient = 0  # in a worker: the thread that does wait
    lease_until_s = float("inf")  # until when, since boot, nobody takes this worker for dead

    def run(self, statement: str, bindings: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
        raise NotImplementedError  # an engine's

    def run_many(self, statement: str, rows: list[tuple[Any, ...]]) -> None:
        raise NotImplementedError  # an engine's

    def stream(self, statement: str, bindings: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
        raise NotImplementedError  # an engine's

    def begin(self) -> None:
        raise NotImplementedError  # an engine's

    def end(self) -> None:
        raise NotImplementedError  # an engine's

    def undo(self) -> None:
        raise NotImplementedError  # an engine's

    def checkpoint(self) -> None:
        raise NotImplementedError  # an engine's

    def shrink(self) -> None:
        raise NotImplementedError  # an engine's

    def wal_bytes(self) -> int:
        raise NotImplementedError  # an engine's

    def guard(self, *words: str) -> None:
        """Nobody else adds what these words name until this transaction ends: an id, a key."""

    def settle_claims(self) -> None:
        """Wait for the claims that have begun, because what may start is about to change; inside a transaction."""

    def known_env(self, digest: bytes) -> int:
        """The number of an environment that this process has used; 0 when it has not."""
        return 0

    def add_at_once(self, job: Job, actor: str) -> tuple[Job, int] | None:
        """Add a job of which nothing else has to be known, outside of a transaction, and ring for it here and elsewhere: the
        job, and how many heard it. None when it cannot be done like that."""
        return None

    def claim_at_once(self, worker: int, free: int, now: int, serving: Serving) -> list[Job]:
        """Jobs to run now, claimed outside of a transaction by a worker that has nothing to tell. None does not mean that there
        are none, and whoever gets some looks properly soon."""
        return []

    def foresee(self, worker: int, jobs: list[Job], wanted: int) -> None:
        """A worker's turn begins: of these jobs it will write, and claim up to so many others. A server is asked in one trip for
        what that needs; inside a transaction."""

    def keep_lease(self, worker: int, lease_s: float) -> float | None:
        """Let nobody take this worker for dead, when it is time to; inside a transaction. Returns until when since boot, in
        seconds, that holds once the transaction is committed."""
        return None

    def break_link(self) -> None:
        """Let whoever waits for an answer wait no longer."""

    def make_room(self, path: str, job: Job) -> None:
        """Before a run writes to its log here: what earlier runs of the job wrote elsewhere has its place in it."""

    def fetch_input(self, name: str, path: str) -> None:
        """Have what a job gets on its standard input at this path, wherever it was added."""

    def fetch_log(self, job: Job, stream: str, path: str) -> str:
        """The path, with what other machines wrote to this log."""
        return path

    def may_rescue(self) -> bool:
        """Whether a worker of another machine that has kept no lease is dead for certain."""
        return False

    def lost_worker(self, but: list[int]) -> int | None:
        """One whose lease has run out, none of `but`; nobody else can take it until this transaction ends."""
        return None

    def take_lease(self, worker: int) -> None:
        """From here on this worker's word counts for nothing; inside a transaction."""

    def notify(self, name: str) -> int | None:
        """Ring a bell on other machines; returns how many workers there are, when it is known."""
        return None

    def listener(self, folder: str, name: str) -> Listener:
        """Somebody who waits for a bell."""
        return Listener(folder, name)

    def close(self) -> None:
        raise NotImplementedError  # an engine's

    def columns(self, table: str) -> list[str]:
        """The names of a table's columns that are written, in alphabetical order."""
        raise NotImplementedError  # an engine's

    def close_tables(self, tables: Iterable[str], why: str) -> None:
        """Refuse every change of these from here on, whoever makes it: with `fenced`; inside a transaction."""
        raise NotImplementedError  # an engine's

    def open_tables(self, tables: Iterable[str]) -> None:
        """Take changes of these again; inside a transaction."""
        raise NotImplementedError  # an engine's

    def renumber(self) -> None:
        """Let what is numbered go on behind what rows there are, which came from elsewhere."""
        raise NotImplementedError  # an engine's

    def keep_log(self, job: Job, stream: str, path: str) -> None:
        """Have a log that came from elsewhere where the logs of this store are."""

    def keep_inputs(self, names: list[str]) -> None:
        """The same for what jobs get on their standard input."""


def fenced(where: str, why: str) -> Conflict:
    hint = "use the other one; 'queuectl store keep' gives the move up"
    return Conflict(f"the queue at {where} takes no changes", why=why, hint=hint)
