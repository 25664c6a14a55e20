"""What may start: pauses and limits of queues, limits of keys. They are read at each claim, so they hold for all that waits."""

from __future__ import annotations

from . import bell, clock
from .errors import NotFound
from .model import Limit
from .store import sql

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .queue import Queue


QUEUES = "select name, paused, parallel, interval_us, next_us from queues order by name"
CHANGES = {  # the columns of a queue that may be set
    "paused": "update queues set paused = ? where name = ?",
    "parallel": "update queues set parallel = ? where name = ?",
    "interval_us": "update queues set interval_us = ?, next_us = null where name = ?",
}


def of_queues(queue: Queue) -> list[Limit]:
    return [Limit(name, bool(paused), *rest) for name, paused, *rest in queue.store.run(QUEUES)]


def of_keys(queue: Queue) -> list[Limit]:
    return [Limit(key, False, *rest) for key, *rest in queue.store.run(sql.LIMITS)]


def set_queue(queue: Queue, name: str, *, must_exist: bool = False, **changes: int | None) -> Limit:
    """Set `paused`, `parallel`, `interval_us` of a queue, which is made unless it must exist. Raises NotFound."""
    with queue.store.transaction():
        queue.store.settle_claims()
        if not queue.store.run("select 1 from queues where name = ?", (name,)):
            if must_exist:
                raise NotFound(f"there is no queue {name!r}", hint="'queuectl queue list' shows what there is")
            queue.store.run(sql.ADD_QUEUE, (name,))
        for column, value in changes.items():
            queue.store.run(CHANGES[column], (value, name))
        found = [limit for limit in of_queues(queue) if limit.name == name]
    queue.ring(bell.WORK)
    return found[0]


def set_key(queue: Queue, key: str, parallel: int | None, interval_us: int | None) -> None:
    """Limit all jobs with this limit key, those that wait already too."""
    with queue.store.transaction():
        queue.store.settle_claims()
        queue.store.run(sql.SET_LIMIT, (key, parallel, interval_us))
    queue.ring(bell.WORK)


def remove_key(queue: Queue, key: str) -> None:
    """Raises NotFound."""
    with queue.store.transaction():
        if not queue.store.run("delete from limits where key = ? returning key", (key,)):
            raise NotFound(f"there is no limit for {key!r}", hint="'queuectl limit list' shows what there is")
    queue.ring(bell.WORK)


def rest_key(queue: Queue, key: str, until_us: int) -> None:
    """Start nothing with this key before a moment: its target has asked to be left alone."""
    with queue.store.transaction():
        queue.store.run(sql.REST_KEY, (key, until_us))


def forget_past(queue: Queue) -> None:
    """Remove rests that are over, so that targets which were busy once leave no row for ever."""
    now = clock.now_us()
    if queue.store.run("select 1 from limits where parallel is null and interval_us is null limit 1"):
        with queue.store.transaction():
            queue.store.run(sql.FORGET_LIMITS, (now,))
