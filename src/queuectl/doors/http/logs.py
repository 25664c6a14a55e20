"""What jobs wrote, over HTTP: as bytes with ranges, and as it comes. Files are read in bounded pieces, by threads."""

from __future__ import annotations

import asyncio
import base64
import os
import re

from ... import output
from ...errors import NotFound
from ...record import Record
from .events import HEARTBEAT, HEARTBEAT_S, message
from .problems import Refused

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from typing import Any

    from ...model import Job
    from ...queue import Queue
    from .events import Tail
    from .service import Service

PIECE = 65536
LOOK_S, LOOK_S_MAX = 0.1, 1.0  # how often a log that is followed is looked at
ELSEWHERE_S_MAX = 0.4  # the same when it may come from another machine, which copies it as often: together within a second
RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")


class Part(Record):
    """A part of a file: from start up to end, of `total` bytes; `sparse` when something was cut out of it."""

    path: str
    start: int
    end: int
    total: int
    sparse: bool = False


def chosen(queue: Queue, given: dict[str, Any]) -> Part:
    """The log of a job, or one run's part of it. A job that has written nothing has an empty one. Raises NotFound."""
    job = queue.get(given["id"])
    err = given.get("stream") == "err"
    path = queue.log_path(job, ".err" if err else "")
    if err and not os.path.exists(path):
        hint = "leave stream out: both are in one log"
        raise NotFound(f"job {job.id} keeps no stderr of its own", hint=hint, field="stream")
    try:
        facts = os.lstat(path)
        size, sparse = facts.st_size, facts.st_blocks * 512 < facts.st_size - output.BLOCK
    except FileNotFoundError:
        size, sparse = 0, False
    if "run" not in given:
        return Part(path, 0, size, size, sparse)
    found = [attempt for attempt in queue.attempts(job) if attempt.run == given["run"]]
    if not found:
        raise NotFound(f"job {job.id} has no run {given['run']}", hint="its attempts say which there are", field="run")
    start, end = output.run_range(found[0])
    end = min(size, size if end is None else end)
    return Part(path, min(start, end), end, max(0, end - start), sparse)


def ranged(part: Part, header: str | None) -> Part | None:
    """The part of it that a Range header means; None when all of it is. Raises Refused, 416.

    >>> part = Part("x", 100, 200, 100)
    >>> ranged(part, "bytes=0-9").end, ranged(part, "bytes=-10").start, ranged(part, "bytes=90-").start, ranged(part, "lines=1")
    (110, 190, 190, None)
    """
    found = RANGE.fullmatch(header.strip()) if header else None
    if found is None or found.groups() == ("", ""):
        return None
    first, last = found.groups()
    if first == "":
        begin, end = max(0, part.total - int(last)), part.total
    else:
        begin, end = int(first), min(part.total, int(last) + 1 if last else part.total)
    if begin >= part.total or begin >= end:
        raise Refused(416, "there is nothing in this range", why=f"there are {part.total} bytes", field="Range")
    return part.but(start=part.start + begin, end=part.start + end)


async def pieces(part: Part) -> AsyncIterator[bytes]:
    """Its bytes. Of a whole log whose middle was cut out, a line says how much is missing."""
    source = output.read_range(part.path, part.start, part.end) if part.sparse else _plain(part)
    loop = asyncio.get_running_loop()
    while piece := await loop.run_in_executor(None, next, source, b""):
        yield piece


def _plain(part: Part) -> Any:
    """Exactly so many bytes, whatever becomes of the file."""
    try:
        fd = os.open(part.path, os.O_RDONLY | os.O_NOFOLLOW)
    except FileNotFoundError:
        fd = -1
    at = part.start
    try:
        while at < part.end:
            piece = os.pread(fd, min(PIECE, part.end - at), at) if fd >= 0 else b""
            piece = piece or b"\0" * min(PIECE, part.end - at)
            yield piece
            at += len(piece)
    finally:
        if fd >= 0:
            os.close(fd)


async def follow(service: Service, tail: Tail, job: Job, offset: int) -> AsyncIterator[bytes]:
    """What the log gets from a byte on, over all its runs, until the job has ended: messages of a stream."""
    path, number = output.log_path(service.place.logs, job), job.number
    loop = asyncio.get_running_loop()
    quiet, look, look_max = 0.0, LOOK_S, ELSEWHERE_S_MAX if service.place.url else LOOK_S_MAX
    async with tail.watching(number, follows_log=True) as changed:
        while True:
            changed.clear()
            found = await service.read(lambda queue: _look(queue, job))
            ended = found is None or found.ended
            piece = await loop.run_in_executor(None, _piece, path, offset)
            while piece:
                text = base64.b64encode(piece).decode()
                yield message("output", {"offset": offset, "base64": text}, offset + len(piece))
                offset, quiet, look = offset + len(piece), 0.0, LOOK_S
                piece = await loop.run_in_executor(None, _piece, path, offset)
            if ended:
                yield message(
                    "end", {"state": found.state if found else None, "exit_code": found.exit_code if found else None}, offset
                )
                return
            began = loop.time()
            try:
                async with asyncio.timeout(look):
                    await changed.wait()
            except TimeoutError:
                pass  # its log may have grown
            look = min(look_max, look * 1.5)
            quiet += loop.time() - began
            if quiet > HEARTBEAT_S:
                yield HEARTBEAT
                quiet = 0.0


def _look(queue: Queue, job: Job) -> Job | None:
    """The job as it is, its log with what another machine has written meanwhile."""
    found = queue.store.job(job.number)
    queue.log_path(job)
    return found


def _piece(path: str, offset: int) -> bytes:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    except FileNotFoundError:
        return b""
    try:
        return os.pread(fd, PIECE, offset)
    finally:
        os.close(fd)
