"""The verbs: everything a door can ask of a queue. Each is one transaction and rings the bell after it.

    queue = queuectl.open()
    job = queue.add(["ffmpeg", "-i", "in.mkv", "out.mp4"], priority=5)
    queue.wait(job.id)
"""

from __future__ import annotations

import os
from time import monotonic

from . import bell, clock, codec, envs
from .errors import Conflict, InvalidInput, NotFound, WaitTimeout
from .locate import umask
from .model import Call, Function, Job, Query, Shell, Spec
from .newjob import Origin, new_job
from .settings import ConfigFile
from .store import open_store
from .work import as_work, command_of, work_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
    from typing import Any, Self, TypeAlias

    from .config import Config
    from .lifecycle import Event
    from .locate import Place
    from .model import Attempt, HistoryEntry, Work
    from .store.base import Store
    from .stored_settings import StoredSettings

    Settings: TypeAlias = ConfigFile | StoredSettings
    Watch: TypeAlias = Callable[[list[Job]], None]

# lifecycle, output and store.find are imported where they are used: `enqueue` needs none of them, and pays for each.
WAIT_POLL_S = 2.0  # behind the bell
CHANGES_PER_TRANSACTION = 500


class Queue:
    """A job queue in a store. Cheap to make, safe to share between threads; close it or use it as a context.

    `actor` is who the history names for changes made through this object. `store` is a storage of one's own, opened; else
    the place says which.
    """

    def __init__(
        self, place: Place, *, create: bool = True, upgrade: bool = True, actor: str = "", store: Store | None = None
    ) -> None:
        self.store: Store = open_store(place, create, upgrade) if store is None else store
        self.place = self.store.place
        self.only_here = store is not None  # no other process can open it
        self.settings: Settings = ConfigFile(self.place.folder) if not self.store.shared else _stored_settings(self.store)
        self.actor = actor or f"uid {os.geteuid()}"
        self._envs = envs.Known()
        self.heard = 0  # how many workers the last bell reached

    # ------------------------------------------------------------ adding

    def add(self, work: str | Sequence[str] | Work | Spec, **fields: Any) -> Job:
        """Add one job and return it once it is on stable storage.

        `work` is shell text, a list of arguments (run without a shell), or a whole Spec. Fields are those of the job
        model: id, queue, priority, max_retries, timeout (s), delay (s), run_at (ISO-8601), key, label, cwd, env, …
        Raises InvalidInput naming the field; Conflict when the id exists, or the key with another command.
        """
        spec = work if isinstance(work, Spec) else codec.spec(as_work(work), fields)
        if self.store.shared and (job := self._added_at_once(spec)):
            return job
        with self.store.transaction():
            self.guard(spec)
            earlier = self.same_key(spec)
            if earlier:
                return earlier
            config = self.settings.read()
            job = self.insert(spec, self.origin(spec, config), config)
        self.ring_work()
        return job

    def _added_at_once(self, spec: Spec) -> Job | None:
        if spec.key is not None or spec.id is not None or spec.waits_for_jobs:
            return None
        config = self.settings.read()
        job = new_job(spec, self.origin(spec, config, known=True), config, clock.now_us())
        added = self.store.add_at_once(job, self.actor)
        if added:
            job, self.heard = added
        return job if added else None

    def task(self, function: Callable[..., Any] | None = None, *, name: str | None = None, **fields: Any) -> Any:
        """Make a Python function a job of this queue: `@queue.task`, see `tasks`."""
        from .tasks import task

        return task(function, name=name, queue=self, **fields)

    def result(self, job_id: str | int) -> Any:
        """What a task returned. Raises Conflict when it has not completed, NotFound when it left nothing."""
        from .tasks import result

        return result(self, job_id)

    def insert(self, spec: Spec, origin: Origin, config: Config) -> Job:
        """Write one new job; inside a transaction. Raises Conflict, NotFound."""
        job = new_job(spec, origin, config, clock.now_us())
        job = job.but(number=self.number_for(spec.id), lane=self.store.lane_for(job))
        if spec.waits_for_jobs:
            from .dependencies import blocked

            job = blocked(self.store, job, spec)
        self.store.insert([job], self.actor)
        return job

    def add_many(self, jobs: Iterable[str | Sequence[str] | Work | Spec], **fields: Any) -> int:
        """Add all of them or none; returns how many. Workers see them all at once, and are never kept waiting long.

        The fields are those of `add`; they hold for all that are not a Spec of their own.
        """
        from .bulk import BulkAdd

        with BulkAdd(self, codec.spec(Shell("-"), fields)) as adding:
            for job in jobs:
                work = job if isinstance(job, Spec) else as_work(job)
                adding.add(codec.spec(work, fields) if isinstance(work, (Call, Function)) else work)
        self.ring_work()
        return adding.added

    def guard(self, spec: Spec) -> None:
        """Let nobody else add the same key or id before this transaction ends; where only one writes at a time, nobody can."""
        if self.store.shared and spec.key is not None:
            self.store.guard("key", spec.queue, spec.key)
        if self.store.shared and spec.id is not None:
            self.store.guard("id", spec.id)

    def same_key(self, spec: Spec) -> Job | None:
        """The job that this key has added already, if it is the same work. Raises Conflict if it is not."""
        if spec.key is None:
            return None
        earlier = self.store.job_by_key(spec.queue, spec.key)
        if earlier is None:
            return None
        if (earlier.command, earlier.work) != (command_of(spec.work), work_text(spec.work)):
            why = f"job {earlier.id} has this key and another command"
            raise Conflict(f"key {spec.key!r} is taken", why=why, hint="use another key")
        return earlier

    def number_for(self, chosen: str | None) -> int:
        """A fresh number; numbers that somebody chose as an id are skipped. Raises Conflict when the id exists."""
        if chosen is not None and chosen.isdigit() and self.store.shared:
            self.store.take_numbers(0)  # nobody draws one that might be this id until the transaction ends
        if chosen is not None and self.store.job_by_id(chosen):
            raise Conflict(f"job {chosen} exists already", hint="choose another id, or leave it out", why="")
        number = self.store.take_numbers(1)
        while chosen is None and self.store.number_is_chosen(number):
            number = self.store.take_numbers(1)
        return number

    def origin(self, spec: Spec, config: Config, known: bool = False) -> Origin:
        """Where this job comes from: its environment is stored, inside the transaction, unless it is there already; `known`:
        not stored, and 0 when this process does not know it."""
        if spec.env is not None:
            variables = {os.fsencode(name): os.fsencode(value) for name, value in spec.env.items()}
        else:
            variables = envs.captured(os.environb, config.capture_env)
        body, digest = self._envs.stored(variables)
        env = self.store.known_env(digest) if known else self.store.env_id(digest, body)
        return Origin(_cwd() if spec.cwd is None else spec.cwd, umask(), env)

    # ------------------------------------------------------------ reading

    def get(self, job_id: str | int) -> Job:
        """The job with this id. Raises NotFound."""
        job = self.store.job_by_id(str(job_id))
        if job is None:
            raise NotFound(f"there is no job {str(job_id)[:140]!r}", hint="'queuectl list' shows what there is")
        return job

    def find(self, query: Query = Query()) -> list[Job]:
        """The jobs that a query means, newest first. Raises NotFound when an id that was named does not exist."""
        from .store import find

        found = find.find(self.store, query)
        if query.ids and query.limit is None:
            missing = set(query.ids) - {job.id for job in found}
            for job_id in sorted(missing):
                if query == Query(ids=query.ids) or self.store.job_by_id(job_id) is None:
                    self.get(job_id)
        return found

    def stream(self, query: Query = Query()) -> Iterator[Job]:
        from .store import find

        return find.stream(self.store, query)

    def count(self, query: Query = Query()) -> int:
        from .store import find

        return find.count(self.store, query)

    def attempts(self, job: Job) -> list[Attempt]:
        from . import output

        return output.with_ends(self.store.attempts(job.number))

    def log_path(self, job: Job, stream: str = "") -> str:
        """The log of a job on this machine, with what other machines wrote to it; `stream` is `.err` where that is apart."""
        from . import output

        return self.store.fetch_log(job, stream, output.log_path(self.place.logs, job, stream))

    def history(self, job: Job) -> list[HistoryEntry]:
        return self.store.history(job.number)

    def environment(self, job: Job) -> dict[bytes, bytes]:
        """The job's environment, secrets and all: for running it. What is shown goes through `envs.masked`."""
        return self.environment_of(job.env)

    def environment_of(self, env: int | None) -> dict[bytes, bytes]:
        return {} if env is None else envs.unpacked(self.store.env_body(env))

    def logs(self, job_id: str | int, run: int | None = None) -> Iterator[bytes]:
        """What the job wrote, run after run (or one run alone), in pieces of bytes."""
        from . import output

        job = self.get(job_id)
        for attempt in self.attempts(job):
            if run is None or attempt.run == run:
                yield from output.read_range(self.log_path(job), *output.run_range(attempt))

    # ------------------------------------------------------------ changing

    def cancel(self, query: Query | str | int) -> list[Job]:
        """Cancel what waits; ask the worker to end what runs. Raises Conflict when a named job has ended."""
        from .lifecycle import Cancel

        return self._change(query, Cancel())

    def hold(self, query: Query | str | int, note: str = "") -> list[Job]:
        """Keep waiting jobs from starting until they are released."""
        from .lifecycle import Hold

        return self._change(query, Hold(note))

    def release(self, query: Query | str | int) -> list[Job]:
        from .lifecycle import Release

        return self._change(query, Release())

    def retry(self, query: Query | str | int) -> list[Job]:
        """Run dead and cancelled jobs again from the start, failed ones without waiting for their backoff."""
        from .lifecycle import Retry

        return self._change(query, Retry())

    def edit(self, job_id: str | int, **fields: Any) -> Job:
        """Change a job that waits: command, argv, priority, label, timeout, max_retries, run_at, delay, queue, limit_key.

        Raises Conflict when it is about to start, runs or has ended.
        """
        from .editing import edited

        job = self.get(job_id)
        with self.store.transaction():
            self.store.follow_this_clock()  # a new delay begins now
            change = self.store.apply(job, edited(job, fields, clock.now_us()), clock.now_us(), self.actor)
        self.ring_work()
        self.ring(bell.DONE)
        return change.after if change else self.get(job_id)

    def rerun(self, job_id: str | int) -> Job:
        """Add the same again as a new job, to run now; whatever has become of the first."""
        from . import payload
        from .editing import copied

        with self.store.transaction():
            job = self.get(job_id)
            if job.stdin:
                self.store.fetch_input(job.stdin, payload.path_of(self.place, job.stdin))
            job = copied(job, self.place, clock.now_us())
            job = job.but(number=self.number_for(None), lane=self.store.lane_for(job))
            self.store.insert([job], self.actor)
        self.ring_work()
        return job

    def _change(self, query: Query | str | int, event: Event) -> list[Job]:
        """Apply one event to every job meant. A job named by its id must allow it; of a wider selection those that
        do not are passed over. Everything named is changed, or nothing."""
        meant = Query(ids=(str(query),)) if isinstance(query, (str, int)) else query
        return self.change_each(self.find(meant), lambda job: event, meant.ids)

    def change_each(self, jobs: list[Job], event_of: Callable[[Job], Event], must: Collection[str] = ()) -> list[Job]:
        """Apply to each job its event; those that do not allow it are passed over, but for the ids that must."""

        def refused(job: Job, conflict: Conflict) -> None:
            if job.id in must:
                raise conflict

        changed: list[Job] = []
        for at in range(0, len(jobs), CHANGES_PER_TRANSACTION):
            pairs = [(job, event_of(job)) for job in jobs[at : at + CHANGES_PER_TRANSACTION]]
            with self.store.transaction():
                changed += [change.after for change in self.store.apply_all(pairs, clock.now_us(), self.actor, refused)]
        self.ring_work()
        self.ring(bell.DONE)
        return changed

    def prune(self, query: Query) -> list[Job]:
        """Remove ended jobs with their logs and history. Their numbers are never used again."""
        ended = [job for job in self.find(query) if job.ended]
        held = self._held_by_spools()
        for job in ended:
            if job.number in held and job.id in query.ids:
                why = "a spool has stopped at this packet, or has still to see how it ended"
                raise Conflict(f"job {job.id} cannot be removed", why=why, hint="'queuectl spool list' shows them")
        pruned: list[Job] = []
        for at in range(0, len(ended), CHANGES_PER_TRANSACTION):
            part = ended[at : at + CHANGES_PER_TRANSACTION]
            with self.store.transaction():
                # Somebody may have asked for it again since it was found.
                held = self._held_by_spools()
                part = [job for job in part if self.store.job(job.number) == job and job.number not in held]
                self.store.delete(part)
            pruned += part
            for job in part:
                self._remove_files(job)
        with self.store.transaction():
            self.store.forget_envs({job.env for job in pruned if job.env is not None})
        self.store.shrink()
        return pruned

    def _held_by_spools(self) -> set[int]:
        from .store import sql

        return {number for (number,) in self.store.run(sql.HELD_BY_SPOOLS)}

    def _remove_files(self, job: Job) -> None:
        from . import output

        output.remove_logs(self.place.logs, job)
        if job.stdin:
            from .payload import remove

            remove(self.place, job.stdin)

    # ------------------------------------------------------------ waiting

    def wait(self, *ids: str | int, timeout: float | None = None, any: bool = False, watch: Watch | None = None) -> list[Job]:
        """Block until the jobs have ended (with `any`: one of them); returns them. Raises NotFound, WaitTimeout (s)."""
        deadline = None if timeout is None else monotonic() + timeout
        with self.listener(bell.DONE) as ears:
            while True:
                jobs = [self.get(job_id) for job_id in ids]
                ended = [job for job in jobs if job.ended]
                if len(ended) == len(jobs) or (any and ended):
                    return jobs
                if watch:
                    watch(jobs)
                left = WAIT_POLL_S if deadline is None else min(WAIT_POLL_S, deadline - monotonic())
                if left <= 0:
                    waiting = ", ".join(job.id for job in jobs if not job.ended)
                    raise WaitTimeout(f"job {waiting} has not ended after {timeout:g} s", hint="it goes on")
                ears.wait(left)

    def listener(self, name: str) -> bell.Listener:
        from .files import private_folder

        return self.store.listener(private_folder(self.place.run), name)

    def ring_work(self) -> None:
        self.heard = self.ring(bell.WORK)

    def ring(self, name: str) -> int:
        """Wake who waits for this bell, after the commit that concerns them; returns how many workers there are to hear it."""
        heard = bell.ring(self.place.run, name)
        return (self.store.notify(name) or heard) if self.store.shared else heard

    # ------------------------------------------------------------ life

    def close(self) -> None:
        self.store.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _stored_settings(store: Store) -> StoredSettings:
    from .stored_settings import StoredSettings

    return StoredSettings(store)


def _cwd() -> str:
    try:
        return os.getcwd()
    except FileNotFoundError:
        raise InvalidInput("the working folder is gone", hint="cd somewhere else, or give --cwd") from None
