"""What every command begins with: the queue that is meant, and which jobs."""

from __future__ import annotations

import os

from ..locate import locate
from ..queue import Queue

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..model import Query
    from .command import Arguments


def the_queue(create: bool = True) -> Queue:
    return Queue(locate(os.environ), create=create)


def selection(arguments: Arguments) -> Query:
    """The jobs that the words and --state, --queue, --label mean."""
    from ..select import query

    return query(arguments.words, arguments.state or (), arguments.queue, arguments.label)


NO_WORKER = "no worker is running; start one with 'queuectl worker start'"
