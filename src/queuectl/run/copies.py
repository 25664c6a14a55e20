"""Copies of what jobs write, for other machines to read: made by a thread of the worker's while the jobs run, and to their
end before the store hears of it.

The thread has a connection of its own, which need not wait for the server's disk: the commit of a job's end comes after
its copies, and waits for them all. What cannot be copied stays in the log here; no job waits for a reader.
"""

from __future__ import annotations

from threading import Event as Signal
from threading import Lock, Thread

from .. import output
from ..errors import QueueError
from ..lifecycle import Finished
from ..model import Options

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any

    from ..model import Job
    from ..queue import Queue
    from .running import Run

LOOK_S = 0.4
INSIDE = 4_000_000  # bytes of one run that are kept in the database, when there is an object store for more
AT_ONCE = 4_000_000  # bytes of one run in one look, so that none keeps the others waiting


class Copier:
    def __init__(self, queue: Queue, runs: Callable[[], Iterable[Run]]) -> None:
        from ..store.pg_copies import Copies

        self._copies = Copies(queue.store)
        self._queue = queue
        self._runs = runs
        self._at: dict[tuple[int, int, str], int] = {}
        self._kept: dict[tuple[int, int, str], int] = {}  # bytes copied of a run
        self._lock = Lock()
        self._over = Signal()
        self._thread = Thread(target=self._serve, name="copier", daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while not self._over.wait(LOOK_S):
            for run in list(self._runs()):
                if not run.over:
                    self._copy_all(run.job, run.options)

    def ended(self, events: Iterable[tuple[Job, Any]]) -> None:
        """Copy the rest of what these runs wrote, before their ends are committed."""
        for job, event in events:
            if isinstance(event, Finished):
                wrote = event.outcome.log_end > event.outcome.log_start or event.options.stderr_apart
                if wrote:
                    self._copy_all(job, event.options, whole=True)
                with self._lock:
                    for stream in ("", ".err"):
                        self._at.pop((job.number, job.run, stream), None)
                        self._kept.pop((job.number, job.run, stream), None)

    def _copy_all(self, job: Job, options: Options, whole: bool = False) -> None:
        with self._lock:
            try:
                for stream in ("", ".err")[: 1 + options.stderr_apart]:
                    while self._copy(job, stream) and whole:
                        pass
            except (QueueError, OSError):
                pass  # the server is away, or the log: the next look tries again

    def _copy(self, job: Job, stream: str) -> bool:
        """Whether there may be more."""
        key = (job.number, job.run, stream)
        path = output.log_path(self._queue.place.logs, job, stream)
        if key not in self._at:
            if output.size_of(path) == 0:
                return False
            self._at[key] = self._copies.length(job.number, stream) if job.run > 1 else 0
        config, kept = self._queue.settings.read(), self._kept.get(key, 0)
        apart = config.object_store if kept >= INSIDE else ""
        room = (config.copy_output or 1 << 60) - kept
        if config.object_store and not apart:
            room = min(room, INSIDE - kept)
        done = self._copies.put(job, stream, path, self._at[key], min(AT_ONCE, room), apart) if room > 0 else None
        if done is None:
            return False
        self._kept[key] = self._kept.get(key, 0) + done - self._at[key]
        self._at[key] = done
        return True

    def close(self) -> None:
        self._over.set()
        self._thread.join()
        self._copies.close()
