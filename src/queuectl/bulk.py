"""Adding a pile of jobs: in chunks that hold the store for some milliseconds each, visible to workers all at once.

The chunks fill a lane that nobody serves; one last small write opens it. What a failed or killed add has left behind
is taken out again, by itself or by the next worker (`sweep`). Until then the rows can be seen as pending, but not run.
"""

from __future__ import annotations

import os
from time import monotonic

from . import clock
from .errors import Conflict, StorageError
from .model import Job, Shell, Spec
from .newjob import new_job
from .store.sums import Sums
from .work import work_columns

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Self

    from .model import Work
    from .newjob import Origin
    from .queue import Queue
    from .store.base import Store

CHUNK_JOBS_MIN, CHUNK_JOBS_MAX = 100, 5000
CHUNK_S = 0.03
SHARED_CHUNK_S = 0.5  # on a server fewer wait for a chunk, and a small one is all round trips
SHARED_CHUNK_LINES = 2500  # the first, of nothing but lines: they are copied, and ask the server nothing
CHUNK_BYTES = 2_000_000  # of lines; a slow link has to carry them within a statement's time
WAL_BYTES = 32_000_000
ELSEWHERE_US = 900_000_000  # an adder on another machine that has added nothing for so long is gone


class BulkAdd:
    """`with BulkAdd(queue) as adding: adding.add(spec)`: all of it is added at the end of the block, or nothing."""

    def __init__(self, queue: Queue, pattern: Spec) -> None:
        """`pattern` says all but the work of what is added as plain work."""
        self._queue = queue
        self._pattern = pattern
        self._config = queue.settings.read()
        self._actor = queue.actor
        self._waiting: list[Any] = []  # Specs; what a subclass makes jobs of
        self._lanes: dict[tuple[str, str, str | None], int] = {}
        self._added_ids: dict[str, int] = {}
        self._sums = Sums()
        self._origin_of: Spec | None = None
        self._size = SHARED_CHUNK_LINES if queue.store.shared else CHUNK_JOBS_MIN
        self._bytes = 0
        self.added = 0

    def add(self, spec: Any) -> None:
        self._waiting.append(spec)
        if isinstance(spec, Shell):
            self._bytes += len(spec.text)
        elif not self.added:
            self._size = CHUNK_JOBS_MIN
        if len(self._waiting) >= self._size or self._bytes >= CHUNK_BYTES:
            self._write_chunk()

    def _write_chunk(self) -> None:
        began = monotonic()
        store = self._queue.store
        with store.transaction():
            added = self._insert(self._waiting)
            for lane in self._lanes.values() if store.shared else ():
                store.run("update lanes set adder = ? where id = ?", (adder(shared=True), lane))
            # The jobs count once their lane is open.
            for (queue, state, stage), n in store.sums.counts.items():
                self._sums.counts[queue, state, stage] = self._sums.counts.get((queue, state, stage), 0) + n
            for lane, n in store.sums.ready.items():
                self._sums.ready[lane] = self._sums.ready.get(lane, 0) + n
            store.sums = Sums()
        self.added += added
        size, self._waiting, self._bytes = len(self._waiting), [], 0
        if store.wal_bytes() > WAL_BYTES:
            store.checkpoint()  # nobody else may be there to do it
        took = max(monotonic() - began, 1e-4)
        fitting = int(size * (SHARED_CHUNK_S if store.shared else CHUNK_S) / took)
        self._size = max(CHUNK_JOBS_MIN, min(CHUNK_JOBS_MAX, fitting, self._size * 4))

    def _insert(self, waiting: list[Any]) -> int:
        """Returns how many were added."""
        if self._pattern.stdin is None and all(isinstance(item, Shell) for item in waiting):
            self._insert_alike(waiting)
            return len(waiting)
        jobs = self._rows(waiting)
        self._queue.store.insert(jobs, self._actor)
        return len(jobs)

    def _insert_alike(self, lines: list[Shell]) -> None:
        """Nothing but lines for the shell: no job is made of each, which would take longer than to write it."""
        store = self._queue.store
        first = store.take_numbers(len(lines))
        if store.some_number_is_chosen():
            store.insert(self._jobs([*lines], first, set()), self._actor)
        else:
            store.insert_alike(self._pattern_from(first), [line.text for line in lines], self._actor)

    def _rows(self, waiting: list[Any]) -> list[Job]:
        return self._numbered(self._not_added_yet(waiting))

    def _numbered(self, items: list[Spec | Work]) -> list[Job]:
        """Their rows, by numbers drawn now; chosen ids are looked up first."""
        names = self._chosen([item for item in items if isinstance(item, Spec)])
        return self._jobs(items, self._queue.store.take_numbers(len(items)), names)

    def _pattern_from(self, first: int) -> Job:
        pattern = new_job(self._pattern, self._origin(self._pattern), self._config, clock.now_us())
        return pattern.but(number=first, lane=self._lane(pattern, first))

    def _jobs(self, items: list[Spec | Work], first: int, names: set[str]) -> list[Job]:
        """The rows of these jobs; fresh numbers skip those that somebody chose as an id, here (`names`) or earlier."""
        store, now = self._queue.store, clock.now_us()
        careful = bool(names) or store.some_number_is_chosen()
        pattern = self._pattern_from(first)
        jobs = []
        for number, item in enumerate(items, first):
            while careful and getattr(item, "id", None) is None and (str(number) in names or store.number_is_chosen(number)):
                number = store.take_numbers(1)
            if isinstance(item, Spec):
                job = new_job(item, self._origin(item), self._config, now)
                job = job.but(number=number, lane=self._lane(job, first))
                jobs.append(self._waiting_for(job, item))
            else:
                jobs.append(pattern.but(number=number, **work_columns(item)))
        return jobs

    def _waiting_for(self, job: Job, spec: Spec) -> Job:
        """A job of the pile may wait for those before it in the pile, by the ids that were chosen for them."""
        if spec.id is not None:
            self._added_ids[spec.id] = job.number
        if not spec.waits_for_jobs:
            return job
        from .dependencies import blocked

        return blocked(self._queue.store, job, spec, self._added_ids)

    def _origin(self, spec: Spec) -> Origin:
        """Looked up again only when it may differ: a pile shares its environment object, or has none of its own."""
        if self._origin_of is None or spec.env is not self._origin_of.env or (spec.cwd is None) != (self._origin_of.cwd is None):
            self._origin_of = spec
            self._known_origin = self._queue.origin(spec, self._config)
        return self._known_origin

    def _chosen(self, specs: list[Spec]) -> set[str]:
        """The ids that somebody chose. Raises Conflict when one is there already, or comes twice."""
        names: set[str] = set()
        for name in [spec.id for spec in specs if spec.id is not None]:
            if name in names or self._queue.store.job_by_id(name):
                raise Conflict(f"job {name} exists already", hint="nothing was added; choose another id")
            names.add(name)
        return names

    def _not_added_yet(self, items: list[Spec | Work]) -> list[Spec | Work]:
        """Without those whose key has added the same work, earlier or among these. Raises Conflict for other work."""
        fresh: list[Spec | Work] = []
        keys: dict[tuple[str, str], Spec] = {}
        for spec in items:
            if isinstance(spec, Spec) and spec.key is not None:
                first = keys.setdefault((spec.queue, spec.key), spec)
                if first.work != spec.work:
                    raise Conflict(f"key {spec.key!r} comes twice", why="with two commands", hint="nothing was added")
                if first is not spec or self._queue.same_key(spec):
                    continue
            fresh.append(spec)
        return fresh

    def _lane(self, job: Job, first: int) -> int:
        """The lane of this pile that such jobs fill."""
        place = (job.queue, job.needs, job.limit_key)
        if place not in self._lanes:
            self._lanes[place] = self._queue.store.add_lane(*place, adder=adder(self._queue.store.shared), first=first)
        return self._lanes[place]

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
                if not store.run("update lanes set adder = null where id = ? returning id", (lane,)):
                    why = "another machine took it for left behind"
                    raise StorageError("the pile was not added", why=why, hint="nothing of it is there; add it again")
            self.opening()

    def opening(self) -> None:
        """What a subclass has to write in the transaction that opens the pile."""

    def _take_out(self) -> None:
        for lane in self._lanes.values():
            take_out(self._queue.store, lane)


def adder(shared: bool = False) -> str:
    """This process, so that others can tell whether it still fills its lane; other machines by when it did so last."""
    name = f"{os.getpid()}:{clock.process_start(os.getpid())}:{clock.boot_id()}"
    return f"{name}@{clock.now_us()}" if shared else name


def take_out(store: Store, lane: int) -> None:
    """Remove the jobs of a lane that was never opened, in chunks."""
    while True:
        with store.transaction():
            rows = store.run("select first from lanes where id = ? and adder is not null", (lane,))
            numbers = store.run(
                "select number from jobs where number >= ? and lane = ? order by number limit ?",
                (rows[0][0], lane, CHUNK_JOBS_MAX),
            ) if rows else []
            for table in ("jobs where number = ?", "history where job = ?", "dependencies where job = ?"):
                store.run_many("delete from " + table, numbers)
            if not numbers:
                store.run("delete from lanes where id = ? and adder is not null", (lane,))
                return


def adder_lives(owner: str) -> bool:
    """Whether the process that `adder` named still fills its lane."""
    pid, start, rest = owner.split(":", 2)
    boot, at, renewed = rest.partition("@")
    if boot == clock.boot_id():
        return clock.is_alive(int(pid), int(start))
    return bool(at) and clock.now_us() - int(renewed) < ELSEWHERE_US


def sweep(store: Store) -> None:
    """Take out what bulk adds have left whose process is gone."""
    for lane, owner in store.run("select id, adder from lanes where adder is not null"):
        if not adder_lives(owner):
            take_out(store, lane)
