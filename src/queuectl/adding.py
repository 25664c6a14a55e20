"""Adding on behalf of others: many single adds in one commit, arrays all or none, a repeat answered as the first time."""

from __future__ import annotations

from . import clock, jsontext, shown
from .bulk import BulkAdd
from .errors import Conflict, InvalidInput, NotFound, QueueError
from .model import Job, Shell, Spec
from .newjob import new_job
from .record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .config import Config
    from .newjob import Origin
    from .queue import Queue
    from .store.base import Store

REPEAT_US = 86_400_000_000  # a key is remembered for a day
FORGET_AT_ONCE = 100


class Repeat(Record):
    """What tells a repeated request from another one: the caller's Idempotency-Key, and a digest of what was asked."""

    key: str
    digest: bytes


class Wish(Record):
    """One job that somebody asks for."""

    spec: Spec
    repeat: Repeat | None = None


class Added(Record):
    """An answer as it is given, now and when the request is repeated: JSON text, and the id when it is one job."""

    text: str
    id: str = ""


def add_each(queue: Queue, wishes: list[Wish]) -> list[Added | QueueError]:
    """Add each of these on its own, all in one transaction: for what one is refused, the others do not suffer.

    Durable when it returns. Raises what keeps the store from taking any of them.
    """
    answers: list[Added | QueueError | Job] = []
    with queue.store.transaction():
        config, plain = queue.settings.read(), _Plain(queue)
        together: list[int] = []  # places of jobs that are written at the end, in one go
        for wish in wishes:
            try:
                if _is_plain(wish):
                    together.append(len(answers))
                    answers.append(new_job(wish.spec, plain.of(wish.spec, config), config, clock.now_us()))
                else:
                    _write_together(queue, answers, together)
                    answers.append(_add_one(queue, wish, config, plain))
            except (Conflict, InvalidInput, NotFound) as refusal:
                together = [place for place in together if place < len(answers)]
                answers.append(refusal)
        _write_together(queue, answers, together)
    queue.ring_work()
    return [_added(answer) if isinstance(answer, Job) else answer for answer in answers]


def _added(job: Job) -> Added:
    return Added(jsontext.dumps(shown.job_object(job)), job.id)


def _is_plain(wish: Wish) -> bool:
    """Whether nothing in the store has to be looked at before it is added."""
    spec = wish.spec
    return wish.repeat is None and spec.id is None and spec.key is None and not spec.waits_for_jobs


def _write_together(queue: Queue, answers: list[Added | QueueError | Job], places: list[int]) -> None:
    """Number and write the new jobs that stand at these places; the list of places is used up."""
    if not places:
        return
    store = queue.store
    careful = store.some_number_is_chosen()
    first = 0 if careful else store.take_numbers(len(places))
    jobs: list[Job] = []
    for n, place in enumerate(places):
        job = answers[place]
        assert isinstance(job, Job)
        number = queue.number_for(None) if careful else first + n
        answers[place] = job = job.but(number=number, lane=store.lane_for(job))
        jobs.append(job)
    store.insert(jobs, queue.actor)
    places.clear()


class _Plain:
    """The origin of jobs that ask for none of their own, looked up once."""

    def __init__(self, queue: Queue) -> None:
        self._queue = queue
        self._known: Origin | None = None

    def of(self, spec: Spec, config: Config) -> Origin:
        if spec.env is not None or spec.cwd is not None:
            return self._queue.origin(spec, config)
        if self._known is None:
            self._known = self._queue.origin(spec, config)
        return self._known


def _add_one(queue: Queue, wish: Wish, config: Config, plain: _Plain) -> Added:
    store = queue.store
    queue.guard(wish.spec)
    if wish.repeat and (earlier := answered(store, wish.repeat)):
        return earlier
    job = queue.same_key(wish.spec)
    if job is None:
        job = queue.insert(wish.spec, plain.of(wish.spec, config), config)
    answer = _added(job)
    if wish.repeat:
        remember(store, wish.repeat, answer)
    return answer


# ---------------------------------------------------------------- arrays


class _Array(BulkAdd):
    """A pile that knows the id of each job in it, those that their key had added before too."""

    def __init__(self, queue: Queue, repeat: Repeat | None) -> None:
        super().__init__(queue, Spec(work=Shell("-")))
        self._repeat = repeat
        self.ids: list[str] = []

    def _rows(self, waiting: list[Any]) -> list[Job]:
        known: dict[tuple[str, str], str] = {}
        fresh = self._not_added_yet(waiting)
        jobs = self._numbered(fresh)
        made = {id(spec): job for spec, job in zip(fresh, jobs, strict=True)}
        for spec in waiting:
            job = made.get(id(spec))
            if job is not None and spec.key is not None:
                known[spec.queue, spec.key] = job.id
            self.ids.append(job.id if job is not None else known.get((spec.queue, spec.key)) or self._earlier(spec))
        return jobs

    def _earlier(self, spec: Spec) -> str:
        job = self._queue.same_key(spec)
        assert job is not None
        return job.id

    def answer(self) -> Added:
        return Added(jsontext.dumps({"added": self.added, "ids": self.ids}))

    def opening(self) -> None:
        if self._repeat:
            remember(self._queue.store, self._repeat, self.answer())


def add_array(queue: Queue, specs: list[Spec], repeat: Repeat | None = None) -> Added:
    """Add all of these or none; workers see them all at once, and are never kept waiting long.

    `added` counts those that are new, `ids` names them all, in order.
    """
    if repeat:
        with queue.store.transaction():
            earlier = answered(queue.store, repeat)
        if earlier:
            return earlier
    with _Array(queue, repeat) as adding:
        for spec in specs:
            adding.add(spec)
    queue.ring_work()
    return adding.answer()


# ---------------------------------------------------------------- repeats


def answered(store: Store, repeat: Repeat) -> Added | None:
    """What this key was answered, if it was; in a transaction. Raises Conflict when it asked for something else."""
    found = store.run("select digest, answer from answers where key = ? and at_us > ?", (repeat.key, clock.now_us() - REPEAT_US))
    if not found:
        return None
    digest, answer = found[0]
    if bytes(digest) != repeat.digest:
        why = "it came with another request before"
        raise Conflict("this Idempotency-Key is taken", why=why, hint="use another key for another job", field="Idempotency-Key")
    job_id, _, text = answer.partition(" ")
    return Added(text, job_id)


def remember(store: Store, repeat: Repeat, answer: Added) -> None:
    """In the transaction that adds, so that there is never one without the other."""
    now = clock.now_us()
    store.run(
        "delete from answers where key in (select key from answers where at_us <= ? order by at_us limit ?)",
        (now - REPEAT_US, FORGET_AT_ONCE),
    )
    taken = store.run(
        "insert into answers (key, at_us, digest, answer) values (?, ?, ?, ?) on conflict (key) do nothing returning key",
        (repeat.key, now, repeat.digest, f"{answer.id} {answer.text}"),
    )
    if not taken:
        raise Conflict("this Idempotency-Key is being used", why="by a request of the same moment", hint="try again")
