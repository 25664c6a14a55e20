"""What happens, told to whoever listens: one reader of the history for all streams, woken by the bell.

    bell rings → lines of the history since the last look → one text, made once → the buffer of each stream

Nothing is read while nobody listens, and nothing ticks but a heartbeat. A stream whose reader is slow is dropped when
its buffer is full: it can come again with `Last-Event-ID`, and is told what it missed.
"""

from __future__ import annotations

import asyncio
import json
import sys

from ... import bell, report, shown
from ...store import sql

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ...queue import Queue
    from .service import Service

GATHER_S = 0.1  # what happens inside this time is told together,
GATHER_MORE_S = 0.002  # and so much longer for each listener: a crowd must not slow the work down
STATUS_EVERY = 2  # gatherings: counts are told at most five times a second
HEARTBEAT_S = 15.0
AGAIN_S = 1.0
CHANGES_MAX = 200  # of one gathering; more are told as `many`
BUFFER_MAX = 512_000  # bytes that wait for a slow reader
STREAMS_MAX = 500
HEARTBEAT = b": still here\n\n"

NEWS = """
select history.id, history.job, history.at_us, history.event, jobs.id, jobs.state, history.stage, jobs.queue, jobs.label
from history left join jobs on jobs.number = history.job
where history.id > ? and history.id <= ? order by history.id limit ?"""


class Stream:
    """One listener's buffer."""

    def __init__(self) -> None:
        self._chunks: list[bytes] = []
        self._size = 0
        self._news = asyncio.Event()
        self.over = False
        self.slow = False

    def put(self, chunk: bytes) -> None:
        if self._size + len(chunk) > BUFFER_MAX:
            self.slow = True
            self.end()
        elif not self.over:
            self._chunks.append(chunk)
            self._size += len(chunk)
            self._news.set()

    def end(self) -> None:
        self.over = True
        self._news.set()

    async def next(self) -> bytes:
        """What has come since; empty at the end."""
        while not self._chunks and not self.over:
            self._news.clear()
            await self._news.wait()
        found, self._chunks, self._size = b"".join(self._chunks), [], 0
        return b"" if self.slow else found


class Tail:
    """The one reader of the history. It reads while there are streams, or jobs that somebody waits for."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._streams: set[Stream] = set()
        self._watched: dict[int, set[asyncio.Event]] = {}
        self._task: asyncio.Task[None] | None = None
        self._ready = asyncio.Event()
        self._rung = asyncio.Event()
        self._last = 0
        self._workers: Any = None
        self._turn = 0
        self._status_due = False

    # ------------------------------------------------------------ who listens

    async def attach(self) -> tuple[Stream, int]:
        """A new stream, and the number of the last change before what it will be told."""
        stream = Stream()
        self._streams.add(stream)
        await self._begin()
        return stream, self._last

    def detach(self, stream: Stream) -> None:
        stream.end()
        self._streams.discard(stream)
        self._rest()

    async def watch(self, number: int) -> asyncio.Event:
        """Set whenever this job may have changed."""
        changed = asyncio.Event()
        self._watched.setdefault(number, set()).add(changed)
        await self._begin()
        return changed

    def unwatch(self, number: int, changed: asyncio.Event) -> None:
        watchers = self._watched.get(number, set())
        watchers.discard(changed)
        if not watchers:
            self._watched.pop(number, None)
        self._rest()

    @property
    def full(self) -> bool:
        return len(self._streams) >= STREAMS_MAX

    async def _begin(self) -> None:
        if self._task is None:
            self._ready.clear()
            self._task = asyncio.get_running_loop().create_task(self._follow_on())
        await self._ready.wait()

    def _rest(self) -> None:
        if not self._streams and not self._watched and self._task is not None:
            self._task.cancel()
            self._task = None

    def close(self) -> None:
        """End every stream: the server stops."""
        for stream in list(self._streams):
            stream.end()
        for watchers in self._watched.values():
            for changed in watchers:
                changed.set()

    # ------------------------------------------------------------ what happens

    async def _follow_on(self) -> None:
        """Whatever keeps the history from being read, nobody is left waiting: streams end, so that they come again, who
        waits for a job looks for himself, and it is tried again."""
        while True:
            try:
                await self._follow()
            except Exception as fault:
                print(f"queuectl: the web cannot tell what happens: {fault}; trying again", file=sys.stderr, flush=True)
                self._ready.set()
                self.close()
                await asyncio.sleep(AGAIN_S)

    async def _follow(self) -> None:
        loop = asyncio.get_running_loop()
        work, done = await self._service.read(lambda queue: (queue.listener(bell.WORK), queue.listener(bell.DONE)))
        ears = (work, done)
        with work, done:
            try:
                self._last = await self._service.read(_newest)
                self._ready.set()
                await self._listen(ears)
            finally:
                for ear in ears:
                    loop.remove_reader(ear.fd)

    async def _listen(self, ears: tuple[bell.Listener, ...]) -> None:
        loop = asyncio.get_running_loop()
        while True:
            self._rung.clear()
            for ear in ears:
                loop.add_reader(ear.fd, self._rung.set)
            try:
                async with asyncio.timeout(GATHER_S * 2 if self._status_due else HEARTBEAT_S):
                    await self._rung.wait()
            except TimeoutError:
                if not self._status_due:
                    self._tell(HEARTBEAT)
            for ear in ears:
                loop.remove_reader(ear.fd)  # a bell that rings on while nobody drains it would keep the loop spinning
                ear.drain()
            await self._look()
            await asyncio.sleep(GATHER_S + GATHER_MORE_S * len(self._streams))  # until then rings are gathered

    async def _look(self) -> None:
        before = self._last
        newest, rows = await self._service.read(lambda queue: _news(queue, before))
        self._last = newest
        self._turn += 1
        if newest > before:
            self._tell(b"".join(map(_told, rows)) if rows is not None else _many(newest, newest - before))
            self._wake(None if rows is None else {row[1] for row in rows})
            self._status_due = True
        if self._status_due and self._turn % STATUS_EVERY == 0 and self._streams:
            self._status_due = False
            found, workers = await self._service.read(lambda queue: (report.overview(queue), report.workers(queue)))
            self._tell(message("status", {**found, **self._service.about}))
            known = [(worker["id"], worker["stopping"]) for worker in workers]
            if self._workers not in (None, known):
                self._tell(message("workers", {"workers": [worker["id"] for worker in workers]}))
            self._workers = known

    def _tell(self, chunk: bytes) -> None:
        for stream in list(self._streams):
            stream.put(chunk)

    def _wake(self, numbers: set[int] | None) -> None:
        for number, watchers in self._watched.items():
            if numbers is None or number in numbers:
                for changed in watchers:
                    changed.set()

    async def missed(self, after: int, upto: int) -> bytes:
        """What a stream that comes again has missed."""
        if after >= upto:
            return b""
        newest, rows = await self._service.read(lambda queue: _news(queue, after, upto))
        return b"".join(map(_told, rows)) if rows is not None else _many(newest, upto - after)


def _newest(queue: Queue) -> int:
    return int(queue.store.run(sql.NEWEST_LINE)[0][0] or 0)


def _news(queue: Queue, after: int, upto: int | None = None) -> tuple[int, list[tuple[Any, ...]] | None]:
    """The number of the newest change, and the changes; None for them when they are too many."""
    newest = max(after, _newest(queue)) if upto is None else upto
    if newest == after:
        return newest, []
    rows = queue.store.run(NEWS, (after, newest, CHANGES_MAX + 1))
    return newest, rows if len(rows) <= CHANGES_MAX else None


def message(event: str, content: Any, seq: int | None = None) -> bytes:
    """
    >>> message("end", {"state": "dead"}, 7)
    b'id: 7\\nevent: end\\ndata: {"state": "dead"}\\n\\n'
    """
    head = f"id: {seq}\n" if seq is not None else ""
    return f"{head}event: {event}\ndata: {json.dumps(content)}\n\n".encode()


def _told(row: tuple[Any, ...]) -> bytes:
    seq, number, at_us, event, job_id, state, stage, queue, label = row
    change = {"id": job_id if job_id is not None else str(number), "number": number, "state": state, "stage": stage}
    change |= {"queue": queue, "event": event, "at": shown.iso_exact(at_us), "label": label}
    return message("job", change, seq)


def _many(seq: int, count: int) -> bytes:
    return message("many", {"changes": count}, seq)
