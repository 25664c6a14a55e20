"""What became of a commit whose answer never came: asked of the server until it says, or nobody can be asked in time."""

from __future__ import annotations

from time import monotonic, sleep

from ..errors import Replaced, StorageError, TryAgainLater
from .pg_link import psycopg

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeVar

    from .pg_connection import PostgresConnection

    T = TypeVar("T")

ASK_AGAIN_S = 0.1
TRY_S = 5.0  # one attempt to reach the server


def settled(store: PostgresConnection, began: float, ask: Callable[[], T | None]) -> T:
    """What `ask` finds over a link that works again; it gives None while nothing is known yet. Raises TryAgainLater."""
    while (left := began + store.doubt_s - monotonic()) > 0:
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
    raise TryAgainLater("it is not known whether this was stored", why=why, hint="look when the server is back")
