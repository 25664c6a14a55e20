"""Pages of jobs for those who look: keyset pages whose cost is bounded, whatever is asked among a million jobs.

A page may be shorter than asked for while there is more: what no index finds is looked for among a bounded run of
jobs, and the cursor says where to go on.
"""

from __future__ import annotations

from time import monotonic

from ..errors import InvalidInput
from ..model import Job
from ..record import Record
from . import sql

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .base import Store

SORTS = ("newest", "oldest", "updated", "priority")
WINDOW_MIN, WINDOW_MAX = 2000, 200_000  # job numbers looked through by one statement
LOOK_S = 0.03  # after this a page ends, full or not
LINES = 1000  # of history looked through by one statement
NO_REASON = "none"


class Wanted(Record):
    """What somebody wants to see of the jobs: every condition given must hold."""

    states: tuple[str, ...] = ()
    queue: str | None = None
    label: str | None = None
    text: str | None = None  # in id, command or label
    since_us: int | None = None  # added at or after
    reason: str | None = None  # why the latest run ended; NO_REASON: by itself
    exit_code: int | None = None
    sort: str = "newest"
    limit: int = 100
    after: str | None = None  # the cursor that came with the page before


def page(store: Store, wanted: Wanted) -> tuple[list[Job], str | None]:
    """The jobs of one page, and the cursor of the next; None at the end."""
    match wanted.sort:
        case "updated":
            return _by_change(store, wanted)
        case "priority":
            return _by_start(store, wanted)
        case _:
            if wanted.states and not _conditions(wanted.but(states=()))[0]:
                return _by_state(store, wanted)
            return _by_number(store, wanted)


def _cursor(wanted: Wanted, parts: int) -> list[int] | None:
    if wanted.after is None:
        return None
    found = wanted.after.split(".")
    if len(found) != parts or not all(part.removeprefix("-").isascii() and part.removeprefix("-").isdigit() for part in found):
        raise InvalidInput(f"cursor {wanted.after[:40]!r} is not understood", hint="give 'next' of the page before", field="after")
    if any(len(part) > 19 for part in found):
        raise InvalidInput("cursor is out of range", hint="give 'next' of the page before", field="after")
    return [int(part) for part in found]


def _conditions(wanted: Wanted) -> tuple[str, tuple[Any, ...]]:
    """What else must hold, as SQL behind another condition."""
    parts: list[str] = []
    bindings: list[Any] = []
    if wanted.states:
        parts.append(f"state in ({', '.join('?' * len(wanted.states))})")
        bindings += wanted.states
    alike = ("queue", wanted.queue), ("label", wanted.label), ("reason", wanted.reason), ("exit_code", wanted.exit_code)
    for column, value in alike:
        if (column, value) == ("reason", NO_REASON):
            parts.append("reason is null")
        elif value is not None:
            parts.append(f"{column} = ?")
            bindings.append(value)
    if wanted.since_us is not None:
        parts.append("created_us >= ?")
        bindings.append(wanted.since_us)
    if wanted.text:
        pattern = "%" + wanted.text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_") + "%"
        searched = ("command", "label", "name", "cast(number as text)")
        parts.append("(" + " or ".join([f"{column} like ? escape '\\'" for column in searched]) + ")")
        bindings += [pattern] * len(searched)
    return "".join([f" and {part}" for part in parts]), tuple(bindings)


def _bounds(store: Store) -> tuple[int, int]:
    [(first,)], [(last,)] = store.run("select min(number) from jobs"), store.run("select max(number) from jobs")
    return int(first or 0), int(last or 0)


def newest(store: Store) -> int:
    """The number of the newest job."""
    return _bounds(store)[1]


def _by_state(store: Store, wanted: Wanted) -> tuple[list[Job], str | None]:
    """Each state is a walk along an index; the walks are merged."""
    newest = wanted.sort == "newest"
    after = _cursor(wanted, 1)
    sign, order = ("<", "desc") if newest else (">", "asc")
    walk = f"select {sql.JOB} from jobs where state = ? and number {sign} ? order by number {order} limit ?"
    begin = after[0] if after else (2**62 if newest else -1)
    rows = [row for state in wanted.states for row in store.run(walk, (state, begin, wanted.limit + 1))]
    rows.sort(key=lambda row: int(row[0]), reverse=newest)
    return _cut([Job(*row) for row in rows], wanted.limit)


def _cut(jobs: list[Job], limit: int) -> tuple[list[Job], str | None]:
    return jobs[:limit], str(jobs[limit - 1].number) if len(jobs) > limit else None


def _by_number(store: Store, wanted: Wanted) -> tuple[list[Job], str | None]:
    """Windows of job numbers, each twice the one before, until the page is full or the time is up."""
    newest = wanted.sort == "newest"
    first, last = _bounds(store)
    after = _cursor(wanted, 1)
    at = (min(last, after[0] - 1) if after else last) if newest else (max(first, after[0] + 1) if after else first)
    also, bindings = _conditions(wanted)
    order = "desc" if newest else "asc"
    statement = f"select {sql.JOB} from jobs where number between ? and ?{also} order by number {order} limit ?"
    jobs: list[Job] = []
    size, end = (WINDOW_MIN if also else WINDOW_MAX), monotonic() + LOOK_S
    while first <= at <= last:
        span = (at - size + 1, at) if newest else (at, at + size - 1)
        jobs += [Job(*row) for row in store.run(statement, (*span, *bindings, wanted.limit + 1 - len(jobs)))]
        if len(jobs) > wanted.limit:
            return _cut(jobs, wanted.limit)
        at = at - size if newest else at + size
        size = min(WINDOW_MAX, size * 2)
        if monotonic() > end and first <= at <= last:
            return jobs, str(at + 1 if newest else at - 1)
    return jobs, None


def _by_change(store: Store, wanted: Wanted) -> tuple[list[Job], str | None]:
    """Along the history, newest line first: a job stands where its newest line does."""
    after = _cursor(wanted, 1)
    [(newest,)] = store.run("select max(id) from history")
    at = min(int(newest or 0) + 1, after[0]) if after else int(newest or 0) + 1
    also, bindings = _conditions(wanted)
    columns = ", ".join([f"jobs.{field}" for field in Job.fields])
    statement = (
        f"select line.id, {columns} from (select id, job from history where id < ? order by id desc limit {LINES}) line "
        "join jobs on jobs.number = line.job "
        f"where not exists (select 1 from history later where later.job = line.job and later.id > line.id){also} "
        "order by line.id desc limit ?"
    )
    jobs: list[Job] = []
    last, end = at, monotonic() + LOOK_S
    while True:
        for line, *row in store.run(statement, (at, *bindings, wanted.limit + 1 - len(jobs))):
            if len(jobs) == wanted.limit:
                return jobs, str(last)
            jobs.append(Job(*row))
            last = int(line)
        found = store.run(f"select min(id) from (select id from history where id < ? order by id desc limit {LINES})", (at,))
        if found[0][0] is None:
            return jobs, None
        at = int(found[0][0])
        if monotonic() > end:
            return jobs, str(at)


def _by_start(store: Store, wanted: Wanted) -> tuple[list[Job], str | None]:
    """The ready jobs in the order in which they would start: each lane is a walk along an index; the walks are merged."""
    after = _cursor(wanted, 2)
    also, bindings = _conditions(wanted)
    begin = "" if after is None else " and (priority < ? or (priority = ? and number > ?))"
    place = () if after is None else (after[0], after[0], after[1])
    statement = f"select {sql.JOB} from jobs where lane = ? and stage = 'ready'{begin}{also} order by priority desc, number limit ?"
    rows: list[tuple[Any, ...]] = []
    end = monotonic() + LOOK_S
    for lane, _ in store.run(sql.READY_LANES):
        rows += store.run(statement, (lane, *place, *bindings, wanted.limit + 1))
        if monotonic() > end:
            break
    jobs = sorted((Job(*row) for row in rows), key=lambda job: (-job.priority, job.number))
    if len(jobs) <= wanted.limit:
        return jobs, None
    last = jobs[wanted.limit - 1]
    return jobs[: wanted.limit], f"{last.priority}.{last.number}"
