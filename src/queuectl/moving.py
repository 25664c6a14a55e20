"""Moving a queue from one store to another, whatever their engines: every row of every table, settings, logs, inputs.

    fence both sides → copy what is missing, table by table → logs and inputs → compare → open the new one

A fenced store takes neither workers nor changes, whoever makes them: its tables refuse. A copy that is cut goes on where it
was. The new store is fenced until counts and checksums of all tables agree; the old one stays as it was, and fenced, so that
no job runs in both, and none is added where nobody looks any more.
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from hashlib import blake2b

from . import files, output, payload, spool_rows, spools, workers
from .errors import Conflict, StorageError
from .record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any, TypeAlias

    from .queue import Queue
    from .store.base import Store

    Say: TypeAlias = Callable[[str], None]

# Each table with what its rows are read in order of; those whose first column counts up are read on from the last one.
TABLES: dict[str, tuple[str, ...]] = {
    "queues": ("name",),
    "lanes": ("id",),
    "limits": ("key",),
    "envs": ("id",),
    "jobs": ("number",),
    "attempts": ("id",),
    "history": ("id",),
    "dependencies": (),
    "schedules": ("name",),
    "spools": ("name",),
    "answers": ("key",),
}
COUNTING = ("lanes", "envs", "jobs", "attempts", "history")
OWN_META = ("store_id", "schema", "next_number", "clock", "moving", "moved")
AT_ONCE = 2000
UNFINISHED = "another queue is being moved here, and not all of it has come"
# Kept by each engine in its own way, so that they are no part of what is compared.
NOT_COMPARED = {"lanes": ("ready",)}


class Compared(Record):
    """One table on both sides: how many rows, and whether they are the same."""

    table: str
    rows: int
    there: int
    same: bool


def copy(source: Queue, target: Queue, say: Say) -> list[Compared]:
    """Move everything. Raises Conflict while workers live, or when the target holds another queue; StorageError when the
    two differ in the end."""
    _refuse_busy(source)
    _claim_target(source, target)
    _fence(source, f"to {target.place.name}")
    _copy_tables(source.store, target.store, [*TABLES], say)
    _copy_sums(source.store, target.store)
    _copy_settings(source, target)
    _copy_files(source, target, say)
    target.store.renumber()
    found = compare(source.store, target.store)
    if wrong := _differing(found):  # the source was kept and worked on since an earlier copy was cut: what is there is of then
        for table in wrong:
            with _writing(target.store):
                target.store.run(f"delete from {table}")
        _copy_tables(source.store, target.store, wrong, say)
        target.store.renumber()
        found = compare(source.store, target.store)
    if wrong := _differing(found):
        hint = "nothing runs there yet; run the same command again"
        raise StorageError("the copy differs from its source", why=", ".join(wrong), hint=hint)
    with source.store.transaction():
        _put(source.store, "moved", f"to {target.place.name}")
    with target.store.transaction():
        target.store.open_tables(TABLES)
        spool_rows.moved(source.store, target.store)
        target.store.run("delete from meta where key = 'moving'")
    spools.take_anew(target)
    return found


def keep(queue: Queue) -> bool:
    """Give a move up that has begun, or go back to a store that was moved: it takes workers and changes again. False when it
    always did. Raises Conflict where only a part of a queue is."""
    with queue.store.transaction():
        if queue.store.run("select 1 from meta where key = 'moving' and value like 'from %'"):
            hint = "'queuectl store copy' goes on with it; 'queuectl store keep' is for where it came from"
            raise Conflict(f"not all of a queue has come to {queue.place.name}", hint=hint)
        queue.store.open_tables(TABLES)
        return bool(queue.store.run("delete from meta where key in ('moving', 'moved') returning key"))


def compare(source: Store, target: Store) -> list[Compared]:
    """Every table on both sides by count and checksum."""
    found = []
    for table, order in TABLES.items():
        columns = _compared(source, table)
        (n, here), (m, there) = _sum(source, table, columns, order), _sum(target, table, columns, order)
        found.append(Compared(table, n, m, n == m and here == there))
    return found


def _differing(found: list[Compared]) -> list[str]:
    return [one.table for one in found if not one.same]


def check(store: Store) -> list[tuple[str, int, str]]:
    """Each table with its rows and checksum."""
    return [(table, *_sum(store, table, _compared(store, table), order)) for table, order in TABLES.items()]


def _compared(store: Store, table: str) -> list[str]:
    return [name for name in store.columns(table) if name not in NOT_COMPARED.get(table, ())]


def _sum(store: Store, table: str, columns: list[str], order: tuple[str, ...]) -> tuple[int, str]:
    """The rows' number, and a sum that does not depend on their order: engines sort text differently."""
    total, n = 0, 0
    for row in store.stream(f"select {', '.join(columns)} from {table}"):
        plain = [bytes(value) if isinstance(value, (bytes, memoryview)) else value for value in row]
        digest = blake2b(repr(plain).encode("utf-8", "replace"), digest_size=16).digest()
        total, n = total + int.from_bytes(digest, "big"), n + 1
    return n, f"{total % (1 << 128):032x}"


def _refuse_busy(source: Queue) -> None:
    living = workers.living(source.store)
    if living:
        running = "a worker is" if len(living) == 1 else f"{len(living)} workers are"
        raise Conflict(f"{running} running", hint="'queuectl worker stop' first")
    busy = sum(n for _, _, stage, n in source.store.counts() if stage in ("running", "claimed"))
    if busy:
        raise Conflict(f"{busy} jobs are running", why="their worker has died", hint="start one, which settles them, and stop it")


def _fence(source: Queue, where: str) -> None:
    """From here on nobody writes to it, nor works on it. Raises Conflict when a worker was quicker."""
    began = not source.store.run("select 1 from meta where key = 'moving'")
    with source.store.transaction():
        _put(source.store, "moving", where)
        source.store.close_tables(TABLES, f"it is being moved or was, {where}")
    try:
        _refuse_busy(source)
    except Conflict:
        if began:
            keep(source)
        raise


def _claim_target(source: Queue, target: Queue) -> None:
    [(store_id,)] = source.store.run("select value from meta where key = 'store_id'")
    found = target.store.run("select value from meta where key = 'moving'")
    if found and found[0][0] == f"from {store_id}":
        return  # a copy that was cut
    if target.store.run("select 1 from jobs limit 1") or target.store.run("select 1 from workers limit 1"):
        raise Conflict(f"{target.place.name} is a queue already", hint="name an empty one")
    with target.store.transaction():
        _put(target.store, "moving", f"from {store_id}")
        target.store.close_tables(TABLES, UNFINISHED)


@contextmanager
def _writing(target: Store) -> Iterator[None]:
    """A transaction of the copier's own, for whom alone the target is open."""
    with target.transaction():
        target.open_tables(TABLES)
        yield
        target.close_tables(TABLES, UNFINISHED)


def _put(store: Store, key: str, value: str) -> None:
    store.run("insert into meta (key, value) values (?, ?) on conflict (key) do update set value = excluded.value", (key, value))


def _copy_tables(source: Store, target: Store, tables: list[str], say: Say) -> None:
    for table in tables:
        if n := _copy_table(source, target, table, TABLES[table]):
            say(f"{table}: {n} rows")


def _copy_table(source: Store, target: Store, table: str, order: tuple[str, ...]) -> int:
    columns = source.columns(table)
    insert = f"insert into {table} ({', '.join(columns)}) values ({', '.join('?' * len(columns))})"
    rows: Iterator[tuple[Any, ...]]
    if table in COUNTING:
        [(last,)] = target.run(f"select coalesce(max({order[0]}), 0) from {table}")
        rows = source.stream(f"select {', '.join(columns)} from {table} where {order[0]} > ? order by {order[0]}", (last,))
    else:
        with _writing(target):
            target.run(f"delete from {table}")
        rows = source.stream(f"select {', '.join(columns)} from {table}")
    return sum(_insert(target, insert, part) for part in _parts(rows))


def _parts(rows: Iterator[tuple[Any, ...]]) -> Iterator[list[tuple[Any, ...]]]:
    part = []
    for row in rows:
        part.append(row)
        if len(part) == AT_ONCE:
            yield part
            part = []
    if part:
        yield part


def _insert(target: Store, statement: str, rows: list[tuple[Any, ...]]) -> int:
    with _writing(target):
        target.run_many(statement, rows)
    return len(rows)


def _copy_sums(source: Store, target: Store) -> None:
    from .store import sql

    counts, totals, minutes, lanes = source.counts(), source.run(sql.TOTALS), source.run(sql.MINUTES, (0,)), _ready_of(source)
    with _writing(target):
        target.set_sums(counts, [tuple(row) for row in totals], [tuple(row) for row in minutes], lanes)
        for key, value in source.run("select key, value from meta"):
            if key not in OWN_META:
                _put(target, key, value)


def _ready_of(store: Store) -> list[tuple[int, int]]:
    rows = store.run("select lane, count(*) from jobs where stage = 'ready' group by lane")
    return [(int(lane), int(n)) for lane, n in rows]


def _copy_settings(source: Queue, target: Queue) -> None:
    for name, value in source.settings.stored().items():
        target.settings.set(name, value)


def _copy_files(source: Queue, target: Queue, say: Say) -> None:
    """Logs and inputs, those that are not there yet."""
    n = 0
    for job in source.stream():
        for stream in ("", ".err"):
            path = source.log_path(job, stream)
            if job.run and os.path.exists(path):
                there = output.log_path(target.place.logs, job, stream)
                n += _copy_file(path, there)
                target.store.keep_log(job, stream, there)
        if job.stdin:
            path = payload.path_of(source.place, job.stdin)
            source.store.fetch_input(job.stdin, path)
            _copy_file(path, payload.path_of(target.place, job.stdin))
            target.store.keep_inputs([job.stdin])
    if n:
        say(f"{n} logs")


def _copy_file(source: str, target: str) -> int:
    if output.size_of(target) == output.size_of(source) and os.path.exists(target):
        return 0
    files.private_folders(os.path.dirname(target))
    fd = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, files.FILE_MODE)
    try:
        size, at = output.size_of(source), 0
        with open(source, "rb") as file:
            while (at := output.next_data(file.fileno(), at, size)) < size:  # what was cut out stays cut out
                piece = os.pread(file.fileno(), min(1 << 18, size - at), at)
                if not piece:
                    break
                at += os.pwrite(fd, piece, at)
        os.ftruncate(fd, size)
    finally:
        os.close(fd)
    return 1
