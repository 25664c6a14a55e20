"""The queue as the event loop sees it: the store's calls wait for disks, so that threads make them.

Readers are a few threads, each with a store of its own. What changes something goes through one thread. Adds that come
while a commit is under way share the next one, and each gets its own answer once that is on disk.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from concurrent.futures import ThreadPoolExecutor

from ... import __version__
from ...adding import Added, Wish, add_each
from ...queue import Queue

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, TypeVar

    from ...locate import Place

    T = TypeVar("T")

READERS = 3
SHARE_MAX = 256  # adds that share a commit
WAITING_MAX = 10_000  # adds that wait for one; more are told to come back


class Service:
    """One queue, for one event loop. Made without touching the loop; threads begin with the first call."""

    def __init__(self, place: Place, *, read_only: bool = False, actor: str = "http") -> None:
        self.place = place
        self.read_only = read_only
        self.about = {"read_only": read_only, "version": __version__}
        self._actor = actor
        self._opened: list[Queue] = []
        self._opening = threading.Lock()
        self._own = threading.local()
        self._readers = ThreadPoolExecutor(READERS, "read")
        self._writer = ThreadPoolExecutor(1, "write")
        self._piles = ThreadPoolExecutor(2, "pile")  # what takes longer, and holds the store in small pieces only
        self._adder = Adder(self._queue)

    def _queue(self) -> Queue:
        """This thread's own."""
        queue: Queue | None = getattr(self._own, "queue", None)
        if queue is None:
            queue = Queue(self.place, create=False, actor=self._actor)
            self._own.queue = queue
            with self._opening:
                self._opened.append(queue)
        return queue

    async def read(self, ask: Callable[[Queue], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._readers, lambda: ask(self._queue()))

    async def write(self, change: Callable[[Queue], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._writer, lambda: change(self._queue()))

    async def pile(self, add: Callable[[Queue], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._piles, lambda: add(self._queue()))

    async def add(self, wish: Wish) -> Added:
        """The job as it was added, once it is durable. Raises what it was refused for."""
        return await self._adder.add(wish)

    def close(self) -> None:
        """Ends the threads once what they were given is done."""
        self._adder.close()
        for pool in (self._writer, self._piles, self._readers):
            pool.shutdown(wait=True)
        for queue in self._opened:
            queue.close()


class Adder:
    """The thread through which single adds go: as many as wait share a transaction."""

    def __init__(self, open_queue: Callable[[], Queue]) -> None:
        self._open_queue = open_queue
        self._waiting: deque[tuple[Wish, asyncio.Future[Added]]] = deque()
        self._rung = threading.Condition()
        self._closed = False
        self._thread: threading.Thread | None = None

    async def add(self, wish: Wish) -> Added:
        self._loop = asyncio.get_running_loop()
        answer: asyncio.Future[Added] = self._loop.create_future()
        if len(self._waiting) >= WAITING_MAX:
            from ...errors import TryAgainLater

            raise TryAgainLater("too many adds wait for the disk", hint="try again in a moment")
        with self._rung:
            if self._thread is None:
                self._thread = threading.Thread(target=self._serve, name="add", daemon=True)
                self._thread.start()
            self._waiting.append((wish, answer))
            self._rung.notify()
        return await answer

    def _serve(self) -> None:
        while True:
            with self._rung:
                while not self._waiting and not self._closed:
                    self._rung.wait()
                if not self._waiting:
                    return
                batch = [self._waiting.popleft() for _ in range(min(len(self._waiting), SHARE_MAX))]
            try:
                outcomes: list[Any] = [*add_each(self._open_queue(), [wish for wish, _ in batch])]
            except Exception as fault:  # told to each of them at the door: none of these was added
                outcomes = [fault] * len(batch)
            self._loop.call_soon_threadsafe(_deliver, [answer for _, answer in batch], outcomes)

    def close(self) -> None:
        with self._rung:
            self._closed = True
            self._rung.notify()
        if self._thread:
            self._thread.join()


def _deliver(answers: list[asyncio.Future[Added]], outcomes: list[Added | Exception]) -> None:
    for answer, outcome in zip(answers, outcomes, strict=True):
        if answer.cancelled():
            continue  # whoever asked has gone; the job is added all the same
        if isinstance(outcome, Exception):
            answer.set_exception(outcome)
        else:
            answer.set_result(outcome)
