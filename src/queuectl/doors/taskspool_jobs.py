"""TaskSpooler's requests as jobs of queue `taskspool`, and the answers, to the letter of its document.

Its jobs are numbered 1, 2, 3 … by a count of their own that never goes back; job n has the id `ts-n`. Only this
module knows the words of the protocol.
"""

from __future__ import annotations

import os
from datetime import UTC, datetime

from .. import bell, clock, codec, jsontext, payload
from ..errors import InvalidInput, QueueError
from ..model import CLAIMED, FAIL, READY, RUNNING, Job, Options, Query, Shell, Spec
from ..newjob import new_job
from ..record import Record
from ..store import find

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from datetime import tzinfo
    from typing import Any, TypeAlias

    from ..queue import Queue
    from .taskspool_files import Outputs

    Answer: TypeAlias = dict[str, Any]
    HasLeft: TypeAlias = Callable[[], bool]

QUEUE = "taskspool"
PREFIX = "ts-"
COUNT = "taskspool_count"
ACTOR = "taskspool"
ANSWER_MAX = 64_000_000  # bytes of output that one answer carries
# Run once: never again by itself after a failure, nor after a run that was cut and that nobody saw the end of.
OPTIONS = Options(if_interrupted=FAIL, stderr_apart=True)
# A command that is longer than one argument may be is read from a file. Its own standard input is empty all the same.
FROM_STDIN = 'eval "$(cat)" </dev/null'

NEXT_NUMBER = """
insert into meta (key, value) values (?, 1) on conflict (key) do update set value = meta.value + 1 returning value"""
LAST_NUMBER = "select value from meta where key = ?"
OF_QUEUE = "select coalesce(parallel, ?), paused from queues where name = ?"
FIRST_READY = "select number from jobs where queue = ? and stage = 'ready' order by priority desc, number limit ?"
STARTS_AFTER = """
select attempts.id, jobs.name from attempts join jobs on jobs.number = attempts.job
where attempts.id > ? and jobs.queue = ?"""


# ---------------------------------------------------------------- what is asked


class Enqueue(Record):
    command: str


class Overview(Record):
    pass


class Look(Record):
    number: str  # as it was written, digits perhaps with a sign


class Refusal(Record):
    why: str


def understood(request: bytes) -> Enqueue | Overview | Look | Refusal:
    """What a request means.

    >>> understood(b"queue: ls -lh /var"), understood(b"status:all"), understood(b"status: 3")
    (Enqueue(command='ls -lh /var'), Overview(), Look(number='3'))
    >>> understood(b"status: three").why, understood(b"Status: 3").why
    ('Invalid job ID', 'Unknown command')
    """
    try:
        text = request.decode()
    except UnicodeDecodeError:
        return Refusal("Unknown command")
    word, colon, rest = text.partition(":")
    rest = rest.strip()
    if word == "queue" and colon:
        return Enqueue(rest) if rest else Refusal("No command given")
    if word == "status" and colon:
        digits = rest[1:] if rest[:1] in ("-", "+") else rest
        if rest == "all":
            return Overview()
        return Look(rest) if digits.isascii() and digits.isdigit() else Refusal("Invalid job ID")
    return Refusal("Unknown command")


# ---------------------------------------------------------------- what is done and answered


class TaskSpool:
    """Answers requests, many in one transaction. `limit` is how many jobs may run at once."""

    def __init__(self, queue: Queue, limit: int, outputs: Outputs, zone: tzinfo | None = None) -> None:
        self.queue = queue
        self.limit = limit
        self.outputs = outputs
        self.zone = zone
        self._cwd = os.getcwd()
        self._seen = 0  # the last start, of any job, that the copies of outputs know of
        self._copying: dict[int, str] = {}  # number → id of the jobs whose output may still grow

    def open(self) -> None:
        """Make the queue with its limit, and find the outputs that an earlier server did not finish copying."""
        store = self.queue.store
        with store.transaction():
            store.lane_of(QUEUE)
            store.run("update queues set parallel = ? where name = ?", (self.limit, QUEUE))
            [(seen,)] = store.run("select coalesce(max(id), 0) from attempts")
        self._seen = int(seen)
        self._copying = {number: id_of(number) for number in self.outputs.numbers()}

    def answer(self, asked: list[tuple[bytes, HasLeft]]) -> list[bytes | None]:
        """The answers in the order of the requests; None for a client that has left and for whom nothing was done."""
        meant = [understood(request) for request, _ in asked]
        added = iter(self._add_all([(m.command, asked[i][1]) for i, m in enumerate(meant) if isinstance(m, Enqueue)]))
        answers = [next(added) if isinstance(m, Enqueue) else self._told(m) for m in meant]
        if any(isinstance(m, (Overview, Look)) for m in meant):
            self.copy_outputs()  # after: whoever is told that a job has ended finds its files whole
        return [None if answer is None else jsontext.dumps(answer).encode() for answer in answers]

    def _told(self, meant: Overview | Look | Refusal) -> Answer:
        try:
            match meant:
                case Overview():
                    return self._overview()
                case Look():
                    return self._look(meant.number)
                case Refusal():
                    return {"error": meant.why}
        except (QueueError, OSError) as fault:
            return {"error": str(fault)}

    # ------------------------------------------------------------ adding

    def _add_all(self, wanted: list[tuple[str, HasLeft]]) -> list[Answer | None]:
        """Add the jobs of all clients that are still there: all of them or, when the store fails, none."""
        if not wanted:
            return []
        works: list[tuple[Shell, str | None] | InvalidInput] = []
        try:
            works = [self._work(command) for command, _ in wanted]
            with self.queue.store.transaction():
                answers = self._add_in_transaction(wanted, works)
        except (QueueError, OSError) as fault:
            for work in works:
                self._forget(work)
            return [{"error": str(fault)} for _ in wanted]
        self.queue.heard = bell.ring(self.queue.place.run, bell.WORK)
        for answer, work in zip(answers, works, strict=True):
            if answer is None:
                self._forget(work)
        return answers

    def _work(self, command: str) -> tuple[Shell, str | None] | InvalidInput:
        """The shell text of a job and the file of its standard input, stored when the command is too long for one."""
        try:
            if len(command.encode()) <= codec.ARGUMENT_MAX:
                return Shell(codec.command_text(command)), None
            if "\0" in command:
                raise InvalidInput("command contains a NUL byte", why="no program can be given one")
            return Shell(FROM_STDIN), payload.store_bytes(self.queue.place, command.encode())
        except InvalidInput as fault:
            return fault

    def _forget(self, work: tuple[Shell, str | None] | InvalidInput) -> None:
        if isinstance(work, tuple) and work[1] is not None:
            payload.remove(self.queue.place, work[1])

    def _add_in_transaction(
        self, wanted: list[tuple[str, HasLeft]], works: list[tuple[Shell, str | None] | InvalidInput]
    ) -> list[Answer | None]:
        store, config, now = self.queue.store, self.queue.settings.read(), clock.now_us()
        origin = self.queue.origin(Spec(work=Shell("-"), cwd=self._cwd), config)
        free = self._free(waiting=True)
        jobs: list[Job] = []
        answers: list[Answer | None] = []
        for (command, has_left), work in zip(wanted, works, strict=True):
            if isinstance(work, InvalidInput):
                answers.append({"error": str(work)})
            elif has_left():
                answers.append(None)
            else:
                spec = Spec(work=work[0], stdin=work[1], queue=QUEUE, max_retries=0, options=OPTIONS)
                job = new_job(spec, origin, config, now)
                jobs.append(job.but(name=self._next_id(), number=self.queue.number_for(None), lane=store.lane_of(QUEUE)))
                answers.append({"message": f"Job {'started' if len(jobs) <= free else 'queued'}: {command}"})
        store.insert(jobs, ACTOR)
        return answers

    def _next_id(self) -> str:
        """The id of the next job, with its files made. Numbers whose id somebody chose for another job are passed over."""
        store = self.queue.store
        while True:
            [(number,)] = store.run(NEXT_NUMBER, (COUNT,))
            if not store.job_by_id(id_of(number)):
                break
        try:
            self.outputs.begin(number)
        except OSError:
            pass  # the disk is full, a folder has that name: the job runs, and its output is in the answers
        return id_of(number)

    def _free(self, waiting: bool) -> int:
        """Slots that no running job holds and, when `waiting` counts too, that no waiting job will take."""
        [(slots, paused)] = self.queue.store.run(OF_QUEUE, (self.limit, QUEUE))
        stages = (RUNNING, CLAIMED, READY) if waiting else (RUNNING, CLAIMED)
        busy = sum(n for queue, _, stage, n in self.queue.store.counts() if queue == QUEUE and stage in stages)
        return 0 if paused else max(0, min(slots, self.limit) - busy)

    # ------------------------------------------------------------ telling

    def _overview(self) -> Answer:
        jobs = find.find(self.queue.store, Query(queue=QUEUE, oldest_first=True))
        promised = self._promised()
        running = sum(_is_running(job, promised) for job in jobs)
        last = self.queue.store.run(LAST_NUMBER, (COUNT,))
        ours = sorted([(number, job) for job in jobs if (number := number_of(job.name)) is not None], key=lambda pair: pair[0])
        return {
            "queue_length": sum(not job.ended for job in jobs) - running,
            "active_workers": running,
            "max_concurrent_jobs": self.limit,
            "load_avg": [round(load, 2) for load in os.getloadavg()],
            "last_job_id": last[0][0] if last else 0,
            "jobs": [{**self._row(number, job, promised), **self._times(job)} for number, job in ours],
        }

    def _look(self, written: str) -> Answer:
        number = int(written) if len(written) < 19 else None
        job = self.queue.store.job_by_id(id_of(number)) if number is not None and number > 0 else None
        if job is None or job.queue != QUEUE:
            return {"error": f"Job ID {written if number is None else number} not found"}
        if self.outputs.sizes(job) > ANSWER_MAX:
            place = self.outputs.path(number or 0, ".out")
            return {"error": f"The output of job {number} is too large for an answer (it is in {place} and .err beside it)"}
        promised = self._promised() if job.stage == READY else frozenset()
        texts = {"stdout": self.outputs.text(job, ""), "stderr": self.outputs.text(job, ".err")}
        return {**self._row(number or 0, job, promised), **texts, **self._times(job)}

    def _row(self, number: int, job: Job, promised: frozenset[int]) -> Answer:
        return {
            "job_id": number,
            "status": _status(job, promised),
            "exit_code": job.exit_code if job.ended else None,
            "command": self._command(job),
        }

    def _command(self, job: Job) -> str:
        if job.stdin is None:
            return job.command
        with open(payload.path_of(self.queue.place, job.stdin), encoding="utf-8", newline="") as file:
            return file.read()

    def _promised(self) -> frozenset[int]:
        """The waiting jobs that have a slot. They were answered with "started" and are a commit away from it: the
        worker was woken. To be told the opposite in between would only puzzle."""
        free = self._free(waiting=False)
        return frozenset(number for (number,) in self.queue.store.run(FIRST_READY, (QUEUE, free))) if free else frozenset()

    def _times(self, job: Job) -> Answer:
        if self.zone is None:
            return {}
        return {"queued_time": self._clock(job.created_us), "run_time": self._clock(job.started_us)}

    def _clock(self, at_us: int | None) -> str | None:
        if at_us is None:
            return None
        return datetime.fromtimestamp(at_us // 1_000_000, UTC).astimezone(self.zone).strftime("%Y-%m-%dT%H:%M:%S %Z")

    # ------------------------------------------------------------ what goes on meanwhile

    def look(self) -> None:
        """Some job has started or ended."""
        self.copy_outputs()
        try:
            if self._promised():
                # A worker that an earlier server left may have made this room: ours would learn of it seconds later.
                bell.ring(self.queue.place.run, bell.WORK)
        except QueueError:
            pass  # only the quickness is lost

    @property
    def is_copying(self) -> bool:
        return bool(self._copying)

    def copy_outputs(self) -> None:
        """Bring the copies of what started jobs write up to date. When the store fails, later."""
        try:
            self._copy_outputs()
        except (QueueError, OSError):
            pass  # whoever asks for something is told; the copies are made up for

    def _copy_outputs(self) -> None:
        store = self.queue.store
        for seen, name in store.run(STARTS_AFTER, (self._seen, QUEUE)):
            self._seen = max(self._seen, seen)
            number = number_of(name)
            if number is not None:
                self._copying[number] = name
        for number, name in list(self._copying.items()):
            job = store.job_by_id(name)
            if job is None or self._copied(number, job):
                del self._copying[number]
                self.outputs.forget(number)

    def _copied(self, number: int, job: Job) -> bool:
        """True when nothing more will come: what waits will be met again at its start."""
        try:
            return self.outputs.copy(number, job) and job.stage not in (RUNNING, CLAIMED)
        except OSError:
            return False  # no space: it may come back


def id_of(number: int) -> str:
    return f"{PREFIX}{number}"


def number_of(name: str | None) -> int | None:
    """
    >>> number_of("ts-7"), number_of("ts-x"), number_of(None)
    (7, None, None)
    """
    digits = (name or "").removeprefix(PREFIX)
    return int(digits) if digits.isascii() and digits.isdigit() and name == f"{PREFIX}{int(digits)}" else None


def _is_running(job: Job, promised: Iterable[int]) -> bool:
    return job.stage in (RUNNING, CLAIMED) or (job.stage == READY and job.number in promised)


def _status(job: Job, promised: frozenset[int]) -> str:
    if job.ended:
        return "completed" if job.state == "completed" else "failed"
    return "running" if _is_running(job, promised) else "queued"
