"""Adding a pile of jobs: in chunks that hold the store for some milliseconds each, visible to workers all at once.

The chunks fill a lane that nobody serves; one last small write opens it. What a failed or killed add has left behind
is taken out again, by itself or by the next worker (`sweep`). Until then the rows can be seen as pending, but not run.
"""

from __future__ import annotations

import os
from time import monotonic

from . import clock
from .errors import Conflict
from .model import Job, Spec
from .store.sums import Sums

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Self

    from .queue import Queue
    from .store.base import Store

CHUNK_JOBS_MIN, CHUNK_JOBS_MAX = 100, 5000
CHUNK_S = 0.03


class BulkAdd:
    """`with BulkAdd(queue) as adding: adding.add(spec)`: all of it is added at the end of the block, or nothing."""

    def __init__(self, queue: Queue) -> None:
        self._queue = queue
        self._config = queue.settings.read()
        self._waiting: list[Spec] = []
        self._lanes: dict[str, int] = {}
        self._sums = Sums()
        self._size = CHUNK_JOBS_MIN
        self.added = 0

    def add(self, spec: Spec) -> None:
        self._waiting.append(spec)
        if len(self._waiting) >= self._size:
            self._write_chunk()

    def _write_chunk(self) -> None:
        began = monotonic()
        store = self._queue.store
        with store.transaction():
            jobs = self._numbered(self._not_added_yet(self._waiting))
            store.insert(jobs, self._queue.actor)
            # The jobs count once their lane is open.
            for (queue, state, stage), n in store.sums.counts.items():
                self._sums.counts[queue, state, stage] = self._sums.counts.get((queue, state, stage), 0) + n
            for lane, n in store.sums.ready.items():
                self._sums.ready[lane] = self._sums.ready.get(lane, 0) + n
            store.sums = Sums()
        self.added += len(jobs)
        self._waiting = []
        took = max(monotonic() - began, 1e-4)
        fitting = int(self._size * CHUNK_S / took)
        self._size = max(CHUNK_JOBS_MIN, min(CHUNK_JOBS_MAX, fitting, self._size * 4))

    def _numbered(self, specs: list[Spec]) -> list[Job]:
        """The rows of these specs; fresh numbers skip those that somebody chose as an id, here or earlier."""
        store, now = self._queue.store, clock.now_us()
        names = self._chosen(specs)
        first = store.take_numbers(len(specs))
        careful = bool(names) or store.some_number_is_chosen()
        jobs = []
        for number, spec in enumerate(specs, first):
            while careful and spec.id is None and (str(number) in names or store.number_is_chosen(number)):
                number = store.take_numbers(1)
            job = self._queue.prepared(spec, self._config, now)
            jobs.append(job.but(number=number, lane=self._lane(spec.queue, first)))
        return jobs

    def _chosen(self, specs: list[Spec]) -> set[str]:
        """The ids that somebody chose. Raises Conflict when one is there already, or comes twice."""
        names: set[str] = set()
        for name in [spec.id for spec in specs if spec.id is not None]:
            if name in names or self._queue.store.job_by_id(name):
                raise Conflict(f"job {name} exists already", hint="nothing was added; choose another id")
            names.add(name)
        return names

    def _not_added_yet(self, specs: list[Spec]) -> list[Spec]:
        """Without those whose key has added the same work, earlier or among these. Raises Conflict for other work."""
        fresh: list[Spec] = []
        keys: dict[tuple[str, str], Spec] = {}
        for spec in specs:
            if spec.key is not None:
                first = keys.setdefault((spec.queue, spec.key), spec)
                if first.work != spec.work:
                    raise Conflict(f"key {spec.key!r} comes twice", why="with two commands", hint="nothing was added")
                if first is not spec or self._queue.same_key(spec):
                    continue
            fresh.append(spec)
        return fresh

    def _lane(self, queue: str, first: int) -> int:
        if queue not in self._lanes:
            self._queue.store.lane_of(queue)
            self._lanes[queue] = self._queue.store.add_lane(queue, adder(), first)
        return self._lanes[queue]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None:
            self._take_out()
            return
        try:
            if self._waiting:
                self._write_chunk()
            self._open()
        except BaseException:
            self._take_out()
            raise

    def _open(self) -> None:
        store = self._queue.store
        with store.transaction():
            store.sums = self._sums
            for lane in self._lanes.values():
                store.run("update lanes set adder = null where id = ?", (lane,))

    def _take_out(self) -> None:
        for lane in self._lanes.values():
            take_out(self._queue.store, lane)


def adder() -> str:
    """This process, so that others can tell whether it still fills its lane."""
    return f"{os.getpid()}:{clock.process_start(os.getpid())}:{clock.boot_id()}"


def take_out(store: Store, lane: int) -> None:
    """Remove the jobs of a lane that was never opened, in chunks."""
    while True:
        with store.transaction():
            rows = store.run("select first from lanes where id = ? and adder is not null", (lane,))
            numbers = store.run(
                "select number from jobs where number >= ? and lane = ? order by number limit ?",
                (rows[0][0], lane, CHUNK_JOBS_MAX),
            ) if rows else []
            for table in ("jobs where number = ?", "history where job = ?"):
                store.run_many("delete from " + table, numbers)
            if not numbers:
                store.run("delete from lanes where id = ? and adder is not null", (lane,))
                return


def sweep(store: Store) -> None:
    """Take out what bulk adds have left whose process is gone."""
    boot = clock.boot_id()
    for lane, owner in store.run("select id, adder from lanes where adder is not null"):
        pid, start, owner_boot = owner.split(":", 2)
        if owner_boot != boot or not clock.is_alive(int(pid), int(start)):
            take_out(store, lane)
