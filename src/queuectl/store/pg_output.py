"""Output in the store, so that any machine can show it: pieces of a job's log by where they begin in it.

A job's log has one length over all its runs, wherever they ran: a run that starts on another machine begins behind what
the store has of the earlier ones. So the log of a job on any machine is the same file, with holes where nothing was
fetched yet; `mirror` fills them.
"""

from __future__ import annotations

import os

from .. import files, jsontext, output

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ..model import Job
    from .pg_connection import PostgresConnection

PIECE = 262_144
PUT = """
insert into output (job, stream, start, body, size) select ?, ?, ?, ?, ?
where exists (select 1 from jobs where number = ? and run = ?)
on conflict (job, stream, start) do update set body = excluded.body, size = excluded.size"""
LENGTH = "select coalesce(max(start + size), 0) from output where job = ? and stream = ?"
LENGTHS = """
select job, max(length) from (
  select job, max(start + size) as length from output where job = any(?) group by job
  union all select job, max(log_end) from attempts where job = any(?) and log_end > log_start group by job) as known
group by job"""


class Outputs:
    def __init__(self, store: PostgresConnection) -> None:
        self._store = store
        self.lengths: dict[int, int] = {}  # of the logs of jobs that were claimed and have run before

    def claimed(self, jobs: list[Job]) -> None:
        """Learn where the next runs of these have to begin; inside the claim."""
        again = [job.number for job in jobs if job.run > 1 and job.kind != "call"]  # a call's log is fetched before it goes on
        if again:
            self.lengths.update({int(job): int(length) for job, length in self._store.run(LENGTHS, (again, again))})

    def make_room(self, path: str, job: Job) -> None:
        """Before a run writes to its log here: what earlier runs wrote elsewhere has its place in it."""
        length = self.lengths.pop(job.number, 0)
        if length and length > _size(path):
            _extend(path, length)

    def mirror(self, job: Job, stream: str, path: str) -> str:
        """Fetch what of a log is not here; returns its path."""
        wanted = "select start, size, body is null from output where job = ? and stream = ? order by start"
        rows = self._store.run(wanted, (job.number, stream))
        if not rows:
            return path
        files.private_folder(os.path.dirname(path))
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, files.FILE_MODE)
        try:
            for start, size, apart in rows:
                if not _is_here(fd, start, size):
                    os.pwrite(fd, self._body(job.number, stream, start, apart), start)
        finally:
            os.close(fd)
        return path

    def keep(self, job: Job, stream: str, path: str) -> None:
        """Store a whole log that came from elsewhere."""
        with self._store.transaction():
            self._store.run("delete from output where job = ? and stream = ?", (job.number, stream))
            at = 0
            while pieces := pieces_of(path, at, 16 * PIECE):
                for start, body in pieces:
                    self._store.run(PUT, put_values(job.number, job.run, stream, start, body, len(body)))
                at = pieces[-1][0] + len(pieces[-1][1])

    def forget(self, jobs: list[int]) -> None:
        """Remove the output of jobs that are removed; inside a transaction."""
        gone = self._store.run("delete from output where job = any(?) returning job, stream, start, body is null", (jobs,))
        apart = [(job, stream, start) for job, stream, start, is_apart in gone if is_apart]
        if apart:
            from . import pg_objects

            pg_objects.delete(self._objects_url(), [pg_objects.name_of(self._store.store_id, *place) for place in apart])

    def _objects_url(self) -> str:
        found = self._store.run("select value from settings where name = 'object_store'")
        return str(jsontext.loads(found[0][0])) if found else ""

    def _body(self, job: int, stream: str, start: int, apart: bool) -> bytes:
        if apart:
            from . import pg_objects

            return pg_objects.get(self._objects_url(), pg_objects.name_of(self._store.store_id, job, stream, start))
        body = "select body from output where job = ? and stream = ? and start = ?"
        found = self._store.run(body, (job, stream, start))
        return bytes(found[0][0]) if found else b""


def pieces_of(path: str, at: int, most: int) -> list[tuple[int, bytes]]:
    """What a log has from a place on, in pieces with their places; what was cut out of it is passed over."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return []
    found: list[tuple[int, bytes]] = []
    try:
        end = min(os.fstat(fd).st_size, at + most)
        while (at := output.next_data(fd, at, end)) < end:
            piece = os.pread(fd, min(PIECE, end - at, output.next_hole(fd, at, end) - at), at)
            if not piece:
                break
            found.append((at, piece))
            at += len(piece)
    finally:
        os.close(fd)
    return found


def put_values(job: int, run: int, stream: str, start: int, body: bytes | None, size: int) -> tuple[Any, ...]:
    """For PUT: nothing is written once the job has another run."""
    return (job, stream, start, body, size, job, run)


def _is_here(fd: int, start: int, size: int) -> bool:
    length = os.fstat(fd).st_size
    return start + size <= length and output.next_data(fd, start, length) < start + size


def _size(path: str) -> int:
    try:
        return os.stat(path).st_size
    except FileNotFoundError:
        return 0


def _extend(path: str, length: int) -> None:
    files.private_folder(os.path.dirname(path))
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, files.FILE_MODE)
    try:
        os.ftruncate(fd, length)
    finally:
        os.close(fd)
