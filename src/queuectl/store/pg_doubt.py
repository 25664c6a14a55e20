"""What became of a commit whose answer never came: asked of the server until it says, or nobody can be asked in time."""

from __future__ import annotations

from threading import get_ident
from time import monotonic, sleep

from ..errors import Doubtful, Replaced, StorageError, TryAgainLater
from .pg_link import psycopg

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeVar

    from .pg_connection import PostgresConnection

    T = TypeVar("T")

DOUBT_S = 9.5  # how long it is asked for, from the commit on, by whoever has not all the time there is
ASK_AGAIN_S = 0.1
TRY_S = 5.0  # one attempt to reach the server


def was_committed(store: PostgresConnection, xid: str, began: float) -> bool:
    """What became of the transaction with this number. Raises Doubtful; for a worker Replaced, whose successor looks at what
    there is.

    A server that has crashed gives numbers again which it had not written down yet: "committed" may then be said of somebody
    else's transaction.
    """
    before = store.crashed

    def ask() -> str | None:
        try:
            [(status,)] = store.run_here("select pg_xact_status(cast(cast(? as text) as xid8))", (xid,))
        except psycopg.errors.InvalidParameterValue:
            return "aborted"  # nobody has been given that number since the crash
        if store.crashed != before:
            return "anybody's" if status == "committed" else "aborted"
        return None if status in ("in progress", None) else str(status)

    found = settled(store, began, ask)
    if found == "anybody's":
        what, why = "it is not known whether this was stored", "the server crashed in the moment of the commit"
        raise (Replaced if store.doubt_s > DOUBT_S else Doubtful)(what, why=why, hint="look at what is there")
    return found == "committed"


def settled(store: PostgresConnection, began: float, ask: Callable[[], T | None]) -> T:
    """What `ask` finds over a link that works again; it gives None while nothing is known yet. Raises Doubtful."""
    patience_s = DOUBT_S if store.impatient == get_ident() else store.doubt_s
    while (left := began + patience_s - monotonic()) > 0:
        try:
            store._alive(min(left, TRY_S))
            if (found := ask()) is not None:
                return found
        except Replaced:
            raise
        except (psycopg.Error, TryAgainLater, StorageError):
            pass  # not back yet
        sleep(ASK_AGAIN_S)
    why = "the server was lost in the moment of the commit"
    raise Doubtful("it is not known whether this was stored", why=why, hint="look when the server is back")
