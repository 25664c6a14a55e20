"""The thread that commits while the worker's loop goes on: one transaction per turn.

Protocol: the loop puts a Turn, goes on starting and reaping, and finds the Report in `reports` when `fd` is readable.
There is never more than one turn on its way.
"""

from __future__ import annotations

import os
from _queue import SimpleQueue
from threading import Thread, get_ident

from ..errors import StorageError, TryAgainLater
from . import system
from .turn import Report, Turn, TurnWriter

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from ..model import Serving
    from ..queue import Queue
    from .copies import Copier
    from .running import Run


class Committer:
    def __init__(self, queue: Queue, worker: int, serving: Serving, runs: Callable[[], Iterable[Run]] = tuple) -> None:
        """`runs`: what runs here, whose output other machines want to read."""
        self._queue = queue
        self.writer = TurnWriter(queue, worker, serving)
        self._asked: SimpleQueue[Turn | None] = SimpleQueue()
        self.reports: SimpleQueue[Report | BaseException] = SimpleQueue()
        self.fd, self._wake = system.pipe()
        self._copier = _copier(queue, runs) if queue.store.shared else None
        self._thread = Thread(target=self._serve, name="committer", daemon=True)
        self._thread.start()

    def put(self, turn: Turn) -> None:
        self._asked.put(turn)

    def news(self) -> list[Report]:
        """The report that has come, if one has. Raises what has ended the committer."""
        found = []
        while not self.reports.empty():
            report = self.reports.get()
            if isinstance(report, BaseException):
                raise report
            found.append(report)
        return found

    def drain(self) -> None:
        try:
            os.read(self.fd, 4096)
        except BlockingIOError:
            pass

    def abandon(self) -> None:
        """As if killed; its thread waits for a turn that never comes."""

    def close(self) -> None:
        self._asked.put(None)
        self._thread.join()
        if self._copier:
            self._copier.close()
        os.close(self.fd)
        os.close(self._wake)

    def _serve(self) -> None:
        if self._queue.store.shared:
            self._queue.store.patient = get_ident()
        try:
            while (turn := self._asked.get()) is not None:
                if self._copier:
                    self._copier.ended(turn.events)
                self._publish(self.writer.persist(turn))
        except BaseException as fault:
            # A worker without its committer would run on and record nothing: the loop raises this and the worker ends,
            # as if it had been killed.
            self.reports.put(fault)
            self._wake_loop()

    def _wake_loop(self) -> None:
        try:
            os.write(self._wake, b"!")
        except OSError:
            pass  # the loop looks by itself at its next tick

    def commit_here(self, turn: Turn) -> bool:
        """Commit in the loop's own thread, when there is nothing to do beside it: a job starts two thread switches
        sooner. False when the store did not take it: then the turn goes the patient way."""
        if self._queue.store.shared:
            return False  # a server may take its time, and the loop has none
        try:
            report = self.writer.commit(turn)
        except (StorageError, TryAgainLater):
            return False
        self._publish(report)
        return True

    def _publish(self, report: Report) -> None:
        self.reports.put(report)
        self._wake_loop()
        self.writer.ring(report)


def _copier(queue: Queue, runs: Callable[[], Iterable[Run]]) -> Copier:
    from .copies import Copier

    return Copier(queue, runs)
