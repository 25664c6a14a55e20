"""What happens, told to whoever listens: one follower of the history for all streams, woken by the bell.

    bell rings → the newest change and the counts → streams wake → each pulls what it has not been told, made once for all

A stream is a place in the history. Who reads slowly is further behind, is told in one word what it missed, and costs
nothing meanwhile. Nothing is read while nobody listens.
"""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager

from ... import bell, report, shown
from ...saying import say
from ...store import sql

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from typing import Any, TypeAlias

    from ...queue import Queue
    from .service import Service

    Page: TypeAlias = tuple[bytes, int]  # messages, and the number of the last change they tell

GATHER_S = 0.15  # what happens inside this time is told together,
GATHER_MORE_S = 0.0005  # and so much longer for each listener: a crowd must not slow the work down
SETTLE_S = 0.3  # after a ring it is looked once more: a server's history is followed a quarter of a second late
POLL_S = 15.0  # stands behind the bell
HEARTBEAT_S = 15.0
AGAIN_S = 1.0
CHANGES_MAX = 200  # that are told one by one; more are told as `many`, but to who wants every one
PAGE = 1_000  # changes that are read at once for those,
PAGES_MAX = 16  # and so many pages kept, for others who come as far
TOUCHED_MAX = 5_000  # jobs of one look whose watchers are told; of more, all are
STREAMS_MAX = 500
HEARTBEAT = b": still here\n\n"

NEWS = f"""
select history.id, history.job, history.at_us, history.event, {sql.ID}, jobs.state, history.stage, jobs.queue, jobs.label
from history left join jobs on jobs.number = history.job
where history.id > ? and history.id <= ? order by history.id limit ?"""
TOUCHED = "select distinct job from history where id > ? and id <= ? limit ?"


class Stream:
    """One listener: how far it has been told."""

    def __init__(self, at: int, every: bool, said: dict[str, bytes]) -> None:
        self.at = at
        self.every = every
        self.said = said
        self.news = asyncio.Event()
        self.over = False

    def end(self) -> None:
        self.over = True
        self.news.set()


class Tail:
    """The one follower of the history. It looks while there are streams, or jobs that somebody waits for."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._streams: set[Stream] = set()
        self._watched: dict[int, set[asyncio.Event]] = {}
        self._logs_followed = 0
        self._task: asyncio.Task[None] | None = None
        self._ready = asyncio.Event()
        self._rung = asyncio.Event()
        self._last = 0
        self._said: dict[str, bytes] = {}  # what is told whenever it differs: the counts, who works
        self._pages: dict[tuple[int, bool], asyncio.Future[Page]] = {}  # of this look, by where they begin

    # ------------------------------------------------------------ who listens

    async def attach(self, after: int | None, every: bool) -> tuple[Stream, int]:
        """A new stream that is told what comes after this change, and the number of the newest one."""
        stream = Stream(0, every, {})
        self._streams.add(stream)  # first: the follower rests when nobody is there to be told
        try:
            await self._begin()
        except BaseException:
            self.detach(stream)
            raise
        stream.at, stream.said = self._last if after is None else min(after, self._last), self._said
        return stream, self._last

    def detach(self, stream: Stream) -> None:
        stream.end()
        self._streams.discard(stream)
        self._rest()

    async def next(self, stream: Stream) -> bytes:
        """What this stream has not been told yet, as soon as there is any; empty at its end."""
        while not stream.over:
            stream.news.clear()
            found = b""
            if stream.at < self._last:
                found, stream.at = await self._page(stream.at, stream.every)
            if stream.said is not self._said:
                found += b"".join(text for name, text in self._said.items() if stream.said.get(name) is not text)
                stream.said = self._said
            if found:
                return found
            try:
                async with asyncio.timeout(HEARTBEAT_S):
                    await stream.news.wait()
            except TimeoutError:
                return HEARTBEAT
        return b""

    async def _page(self, at: int, every: bool) -> Page:
        """Read once for all streams that are as far."""
        key, upto = (at, every), self._last
        if key not in self._pages:
            if len(self._pages) >= PAGES_MAX:
                self._pages.pop(next(iter(self._pages)))
            self._pages[key] = asyncio.ensure_future(self._service.read(lambda queue: _told(queue, at, upto, every)))
        try:
            return await asyncio.shield(self._pages[key])  # one who leaves takes the page from nobody
        except Exception:
            self._pages.pop(key, None)
            raise

    @asynccontextmanager
    async def watching(self, number: int, follows_log: bool = False) -> AsyncIterator[asyncio.Event]:
        """What is set whenever this job may have changed."""
        changed = asyncio.Event()
        self._watched.setdefault(number, set()).add(changed)
        self._logs_followed += follows_log
        try:
            await self._begin()
            yield changed
        finally:
            self._logs_followed -= follows_log
            self._watched[number].discard(changed)
            if not self._watched[number]:
                del self._watched[number]
            self._rest()

    @property
    def full(self) -> bool:
        return len(self._streams) + self._logs_followed >= STREAMS_MAX

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
                say(f"the web cannot tell what happens: {fault}; trying again")
                self._ready.set()
                self.close()
                await asyncio.sleep(AGAIN_S)

    async def _follow(self) -> None:
        work, done = await self._service.read(lambda queue: (queue.listener(bell.WORK), queue.listener(bell.DONE)))
        with work, done:
            self._last = await self._service.read(_newest)
            self._said = await self._service.read(self._facts)
            self._ready.set()
            await self._listen((work, done))

    async def _listen(self, ears: tuple[bell.Listener, ...]) -> None:
        rung = False
        while True:
            rung = await self._heard(ears, SETTLE_S if rung else POLL_S)
            await self._look()
            await asyncio.sleep(GATHER_S + GATHER_MORE_S * len(self._streams))

    async def _heard(self, ears: tuple[bell.Listener, ...], timeout_s: float) -> bool:
        """A bell is heard here alone: one that rings on while changes are gathered would keep the loop spinning."""
        loop = asyncio.get_running_loop()
        self._rung.clear()
        for ear in ears:
            loop.add_reader(ear.fd, self._rung.set)
        try:
            async with asyncio.timeout(timeout_s):
                await self._rung.wait()
        except TimeoutError:
            pass
        finally:
            for ear in ears:
                loop.remove_reader(ear.fd)
                ear.drain()
        return self._rung.is_set()

    async def _look(self) -> None:
        before, listened_to = self._last, bool(self._streams)
        newest, touched, facts = await self._service.read(lambda queue: self._seen(queue, before, listened_to))
        if newest > before:
            self._last = newest
            self._pages.clear()
            self._wake(touched)
        changed = facts != self._said
        if changed:
            self._said = {name: self._said[name] if self._said.get(name) == text else text for name, text in facts.items()}
        if changed or newest > before:
            for stream in self._streams:
                stream.news.set()

    def _seen(self, queue: Queue, before: int, listened_to: bool) -> tuple[int, set[int] | None, dict[str, bytes]]:
        newest = _newest(queue)
        touched = _touched(queue, before, newest) if newest > before else set()
        return newest, touched, self._facts(queue) if listened_to else self._said

    def _facts(self, queue: Queue) -> dict[str, bytes]:
        workers = report.workers(queue)
        stopping = [worker["id"] for worker in workers if worker["stopping"]]
        return {
            "status": message("status", {**report.overview(queue), **self._service.about}),
            "workers": message("workers", {"workers": [worker["id"] for worker in workers], "stopping": stopping}),
        }

    def _wake(self, numbers: set[int] | None) -> None:
        for number, watchers in self._watched.items():
            if numbers is None or number in numbers:
                for changed in watchers:
                    changed.set()


def _newest(queue: Queue) -> int:
    return int(queue.store.run(sql.NEWEST_LINE)[0][0] or 0)


def _touched(queue: Queue, after: int, upto: int) -> set[int] | None:
    """The jobs that something happened to; None when they are too many."""
    rows = queue.store.run(TOUCHED, (after, upto, TOUCHED_MAX))
    return {number for (number,) in rows} if len(rows) < TOUCHED_MAX else None


def _told(queue: Queue, after: int, upto: int, every: bool) -> Page:
    most = PAGE if every else CHANGES_MAX
    rows = queue.store.run(NEWS, (after, upto, most + 1))
    if len(rows) <= most:
        return b"".join(map(_change, rows)), upto
    if every:
        return b"".join(map(_change, rows[:most])), rows[most - 1][0]
    return message("many", {"changes": upto - after}, upto), upto


def message(event: str, content: Any, seq: int | None = None) -> bytes:
    """
    >>> message("end", {"state": "dead"}, 7)
    b'id: 7\\nevent: end\\ndata: {"state": "dead"}\\n\\n'
    """
    head = f"id: {seq}\n" if seq is not None else ""
    return f"{head}event: {event}\ndata: {json.dumps(content)}\n\n".encode()


def _change(row: tuple[Any, ...]) -> bytes:
    seq, number, at_us, event, job_id, state, stage, queue, label = row
    change = {"id": job_id if job_id is not None else str(number), "number": number, "state": state, "stage": stage}
    change |= {"queue": queue, "event": event, "at": shown.iso_exact(at_us), "label": label}
    return message("job", change, seq)
