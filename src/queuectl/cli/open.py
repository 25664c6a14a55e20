"""What every command begins with: the queue that is meant, and which jobs."""

from __future__ import annotations

import os

from ..bell import NO_WORKER as NO_WORKER
from ..locate import locate
from ..queue import Queue

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import BinaryIO

    from ..model import Query
    from .command import Arguments


def the_queue(create: bool = True, upgrade: bool = True) -> Queue:
    """The store, or a server that has it.

    `upgrade` false: a store of an older version is taken as it is, by what must work beside its older workers."""
    if os.environ.get("QUEUECTL_URL", "").startswith(("http://", "https://", "http+unix://")):
        from ..remote import RemoteQueue

        return RemoteQueue(os.environ["QUEUECTL_URL"])
    return Queue(locate(os.environ), create=create, upgrade=upgrade)


def selection(arguments: Arguments) -> Query:
    """The jobs that the words and --state, --queue, --label mean."""
    from ..select import query

    return query(arguments.words, arguments.state or (), arguments.queue, arguments.label)


def named(queue: Queue, query: Query) -> Query:
    """The query, once every id that it names exists; for commands that write as they read. Raises NotFound."""
    if query.ids:
        queue.find(query.but(limit=None))
    return query


def source(path: str) -> BinaryIO:
    """A file to be read, `-` for standard input. Raises InvalidInput."""
    from ..errors import InvalidInput

    try:
        return open(0 if path == "-" else path, "rb", closefd=path != "-")
    except OSError as fault:
        raise InvalidInput(f"cannot read {path}", why=fault.strerror or "") from None

