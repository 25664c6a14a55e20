"""Adding TaskSpooler's jobs: numbered 1, 2, 3 … by a count of their own that never goes back, run once."""

from __future__ import annotations

import os

from .. import bell, clock, codec, payload
from ..errors import InvalidInput, QueueError
from ..model import CLAIMED, FAIL, READY, RUNNING, Job, Options, Shell, Spec
from ..newjob import new_job
from ..record import Record
from .taskspool_words import QUEUE, id_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, TypeAlias

    from ..queue import Queue
    from .taskspool_files import Outputs

    Answer: TypeAlias = dict[str, Any]
    HasLeft: TypeAlias = Callable[[], bool]

ACTOR = "taskspool"
COUNT = "taskspool_count"
# Run once: never again by itself after a failure, nor after a run that was cut and that nobody saw the end of.
OPTIONS = Options(if_interrupted=FAIL, stderr_apart=True)
# A command that is longer than one argument may be is read from a file. Its own standard input is empty all the same.
FROM_STDIN = 'eval "$(cat)" </dev/null'

NEXT_NUMBER = """
insert into meta (key, value) values (?, '1')
on conflict (key) do update set value = cast(cast(meta.value as bigint) + 1 as text) returning cast(value as bigint)"""
LAST_NUMBER = "select value from meta where key = ?"
OF_QUEUE = "select coalesce(parallel, ?), paused from queues where name = ?"
FIRST_READY = "select number from jobs where queue = ? and stage = 'ready' order by priority desc, number limit ?"


class Lane:
    """The queue `taskspool` and its slots."""

    def __init__(self, queue: Queue, limit: int) -> None:
        self.queue = queue
        self.limit = limit

    def open(self) -> None:
        with self.queue.store.transaction():
            self.queue.store.lane_of(QUEUE)
            self.queue.store.run("update queues set parallel = ? where name = ?", (self.limit, QUEUE))

    def free(self, waiting: bool) -> int:
        """Slots that no running job holds and, when `waiting` counts too, that no waiting job will take."""
        [(slots, paused)] = self.queue.store.run(OF_QUEUE, (self.limit, QUEUE))
        stages = (RUNNING, CLAIMED, READY) if waiting else (RUNNING, CLAIMED)
        busy = sum(n for queue, _, stage, n in self.queue.store.counts() if queue == QUEUE and stage in stages)
        return 0 if paused else max(0, min(slots, self.limit) - busy)

    def promised(self) -> frozenset[int]:
        """The waiting jobs that have a slot. They were answered with "started" and are a commit away from it: the
        worker was woken. To be told the opposite in between would only puzzle."""
        free = self.free(waiting=False)
        return frozenset(number for (number,) in self.queue.store.run(FIRST_READY, (QUEUE, free))) if free else frozenset()

    def last_number(self) -> int:
        """The highest number given so far, 0 when there was none."""
        found = self.queue.store.run(LAST_NUMBER, (COUNT,))
        return int(found[0][0]) if found else 0

    def wake(self) -> None:
        """A worker that an earlier server left may have made room: ours would learn of it seconds later."""
        if self.promised():
            self.queue.ring(bell.WORK)


class Wish(Record):
    """A command that a client wants run: shell text, and the file of the job's standard input or None."""

    command: str
    has_left: HasLeft
    work: Shell
    stdin: str | None
    refused: str = ""


class Intake:
    """Adds the jobs of many clients in one transaction."""

    def __init__(self, lane: Lane, outputs: Outputs) -> None:
        self._lane = lane
        self._queue = lane.queue
        self._outputs = outputs
        self._cwd = os.getcwd()

    def add_all(self, wanted: list[tuple[str, HasLeft]]) -> list[Answer | None]:
        """Add the jobs of all clients that are still there, None for the others: all of them or, when the store
        fails, none."""
        wishes: list[Wish] = []
        try:
            for command, has_left in wanted:
                wishes.append(self._wish(command, has_left))
            with self._queue.store.transaction():
                answers = self._add(wishes)
        except (QueueError, OSError) as fault:
            answers = [{"error": str(fault)} for _ in wanted]
            self._forget(wishes)
        else:
            self._queue.ring(bell.WORK)
            self._forget([wish for wish, answer in zip(wishes, answers, strict=True) if answer is None])
        return answers

    def _wish(self, command: str, has_left: HasLeft) -> Wish:
        """What is to be run, with the command stored in a file when it is too long for an argument."""
        try:
            if len(command.encode()) <= codec.ARGUMENT_MAX:
                return Wish(command, has_left, Shell(codec.command_text(command)), None)
            if "\0" in command:
                raise InvalidInput("command contains a NUL byte", why="no program can be given one")
        except InvalidInput as fault:
            return Wish(command, has_left, Shell(""), None, str(fault))
        return Wish(command, has_left, Shell(FROM_STDIN), payload.store_bytes(self._queue.place, command.encode()))

    def _forget(self, wishes: list[Wish]) -> None:
        for wish in wishes:
            if wish.stdin is not None:
                payload.remove(self._queue.place, wish.stdin)

    def _add(self, wishes: list[Wish]) -> list[Answer | None]:
        config, now = self._queue.settings.read(), clock.now_us()
        origin = self._queue.origin(Spec(work=Shell("-"), cwd=self._cwd), config)
        free = self._lane.free(waiting=True)
        jobs: list[Job] = []
        answers: list[Answer | None] = []
        for wish in wishes:
            if wish.refused:
                answers.append({"error": wish.refused})
            elif wish.has_left():
                answers.append(None)
            else:
                spec = Spec(work=wish.work, stdin=wish.stdin, queue=QUEUE, max_retries=0, options=OPTIONS)
                jobs.append(self._placed(new_job(spec, origin, config, now)))
                answers.append({"message": f"Job {'started' if len(jobs) <= free else 'queued'}: {wish.command}"})
        self._queue.store.insert(jobs, ACTOR)
        return answers

    def _placed(self, job: Job) -> Job:
        lane = self._queue.store.lane_of(QUEUE)
        return job.but(name=self._next_id(), number=self._queue.number_for(None), lane=lane)

    def _next_id(self) -> str:
        """The id of the next job, with its files made. Numbers whose id somebody chose for another job are passed over."""
        store = self._queue.store
        while True:
            [(number,)] = store.run(NEXT_NUMBER, (COUNT,))
            if not store.job_by_id(id_of(number)):
                break
        try:
            self._outputs.begin(number)
        except OSError:
            pass  # the disk is full, a folder has that name: the job runs, and its output is in the answers
        return id_of(number)
