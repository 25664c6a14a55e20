"""Jobs that wait for other jobs: what an end means for those that wait for it, in the transaction that records the end.

Each row of `dependencies` is one job that waits for the end of another; `awaits` in a job's own row says how many of its
are still open, so that nothing else has to be read to know whether it may run.
"""

from __future__ import annotations

from ..errors import Conflict
from ..model import CANCELLED, COMPLETED, DEAD
from . import sql

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..lifecycle import Change
    from ..model import Job, Stage
    from .base import Store

# What the end of the other job must be.
CONDITIONS: dict[str, tuple[Stage, ...]] = {
    "after": (COMPLETED,),
    "after_any": (COMPLETED, DEAD, CANCELLED),
    "after_failed": (DEAD, CANCELLED),
}


def follow(store: Store, changes: list[Change], now: int) -> list[Change]:
    """The changes that ends among these lead to in jobs that waited for them. Those may be ends again."""
    ended = [change for change in changes if change.after.ended]
    if not ended or not store.something_awaited():
        return []
    found: list[Change] = []
    seen: dict[int, Job] = {}
    for change in ended:
        job = change.after
        if change.before.awaits:
            store.run(sql.AWAITS_NO_MORE, (job.number,))
        for number, condition in store.run(sql.AWAITED_BY, (job.number,)):
            waiting = seen.get(number) or store.locked(number)
            led_to = _decided(waiting, condition, job, now) if waiting else None
            if led_to:
                found.append(store.at_home(led_to))
                seen[number] = led_to.after
        store.run(sql.DECIDED, (job.number,))
    return found


def one_of_each(changes: list[Change]) -> Iterator[list[Change]]:
    """In parts, one after the other, in which no job is twice: an engine may write many rows in one statement, each once."""
    while changes:
        first = {change.after.number: change for change in reversed(changes)}
        part = [change for change in changes if first[change.after.number] is change]
        yield part
        changes = [change for change in changes if first[change.after.number] is not change]


def _decided(waiting: Job, condition: str, ended: Job, now: int) -> Change | None:
    from ..lifecycle import Met, Unmet, step

    fits = ended.stage in CONDITIONS[condition]
    try:
        return step(waiting, Met() if fits else Unmet(f"job {ended.id}, which it waited for, is {ended.state}"), now)
    except Conflict:
        return None  # it has ended itself, or somebody let it run
