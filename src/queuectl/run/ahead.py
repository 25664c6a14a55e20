"""Calls that are claimed and wait for their turn: of each target no more start than may run at once."""

from __future__ import annotations

from collections import deque

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..model import Job


class Ahead:
    """`busy` counts what is in our hands of each target, waiting or under way, for the next claim."""

    def __init__(self, busy: dict[str, int]) -> None:
        self.since = 0.0  # when the first of them came, or the last one was started
        self.waiting = 0
        self._busy = busy
        self._under_way: dict[str, int] = {}
        self._of: dict[str, deque[Job]] = {}  # each target's, in the order of the claim

    def take_in(self, jobs: list[Job], now_s: float) -> None:
        if not self.waiting:
            self.since = now_s
        self.waiting += len(jobs)
        for job in jobs:
            key = job.limit_key or ""
            _count(self._busy, key, +1)
            self._of.setdefault(key, deque()).append(job)

    def start(self, room: int, parallel: int, now_s: float) -> list[Job]:
        """Those that may start now; each of them lands, some day."""
        chosen: list[Job] = []
        for key, jobs in [*self._of.items()]:
            most = min(room - len(chosen), len(jobs))
            if key:
                most = min(most, parallel - self._under_way.get(key, 0))
            if most <= 0:
                continue
            chosen += [jobs.popleft() for _ in range(most)]
            _count(self._under_way, key, most)
            if not jobs:
                del self._of[key]
        if chosen:
            self.since = now_s
            self.waiting -= len(chosen)
        return chosen

    def landed(self, job: Job) -> None:
        """One that was started has ended, or could not be started."""
        key = job.limit_key or ""
        _count(self._under_way, key, -1)
        _count(self._busy, key, -1)

    def give_back(self, run: tuple[int, int] | None = None) -> list[Job]:
        """All of them, or this run of a job: they wait here no longer."""
        found = [job for jobs in self._of.values() for job in jobs if run in (None, (job.number, job.run))]
        for job in found:
            key = job.limit_key or ""
            self._of[key].remove(job)
            _count(self._busy, key, -1)
            if not self._of[key]:
                del self._of[key]
        self.waiting -= len(found)
        return found


def _count(counts: dict[str, int], key: str, n: int) -> None:
    left = counts.get(key, 0) + n
    if left:
        counts[key] = left
    else:
        del counts[key]
