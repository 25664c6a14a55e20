"""TaskSpooler's requests and the answers to them, to the letter of its document."""

from __future__ import annotations

import os
from datetime import UTC, datetime

from .. import jsontext, payload
from ..errors import QueueError
from ..model import CLAIMED, READY, RUNNING, Job, Query
from ..store import find
from .taskspool_adding import Intake, Lane
from .taskspool_files import Copies, Outputs
from .taskspool_words import QUEUE, Enqueue, Look, Overview, Refusal, id_of, number_of, understood

TYPE_CHECKING = False
if TYPE_CHECKING:
    from datetime import tzinfo

    from ..queue import Queue
    from .taskspool_adding import Answer, HasLeft

ANSWER_MAX = 64_000_000  # bytes of output that one answer carries


class TaskSpool:
    """Answers requests, many at once. `limit` is how many jobs may run at once."""

    def __init__(self, queue: Queue, limit: int, outputs: Outputs, zone: tzinfo | None = None) -> None:
        self.queue = queue
        self.copies = Copies(queue, outputs)
        self._outputs = outputs
        self._lane = Lane(queue, limit)
        self._intake = Intake(self._lane, outputs)
        self._zone = zone

    def open(self) -> None:
        self._lane.open()
        self.copies.open()

    def answer(self, asked: list[tuple[bytes, HasLeft]]) -> list[bytes | None]:
        """The answers in the order of the requests; None for a client that has left and for whom nothing was done."""
        meant = [understood(request) for request, _ in asked]
        wanted = [(m.command, has_left) for m, (_, has_left) in zip(meant, asked, strict=True) if isinstance(m, Enqueue)]
        added = iter(self._intake.add_all(wanted) if wanted else [])
        answers = [next(added) if isinstance(m, Enqueue) else self._told(m) for m in meant]
        if any(isinstance(m, (Overview, Look)) for m in meant):
            self.copies.follow()  # after: whoever is told that a job has ended finds its files whole
        return [None if answer is None else jsontext.dumps(answer).encode() for answer in answers]

    def look(self) -> None:
        """Some job has started or ended."""
        self.copies.follow()
        try:
            self._lane.wake()
        except QueueError:
            pass  # only the quickness is lost

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

    def _overview(self) -> Answer:
        jobs = find.find(self.queue.store, Query(queue=QUEUE, oldest_first=True))
        promised = self._lane.promised()
        running = sum(_is_running(job, promised) for job in jobs)
        ours = [(number, job) for job in jobs if (number := number_of(job.name)) is not None]
        return {
            "queue_length": sum(not job.ended for job in jobs) - running,
            "active_workers": running,
            "max_concurrent_jobs": self._lane.limit,
            "load_avg": [round(load, 2) for load in os.getloadavg()],
            "last_job_id": self._lane.last_number(),
            "jobs": [self._row(number, job, promised) | self._times(job) for number, job in sorted(ours, key=lambda pair: pair[0])],
        }

    def _look(self, written: str) -> Answer:
        number = int(written) if len(written) < 19 else 0
        job = self.queue.store.job_by_id(id_of(number)) if number > 0 else None
        if job is None or job.queue != QUEUE:
            return {"error": f"Job ID {int(written) if len(written) < 19 else written} not found"}
        if self._outputs.size(job) > ANSWER_MAX:
            place = self._outputs.path(number, ".out")
            return {"error": f"The output of job {number} is too large for an answer (it is in {place} and .err beside it)"}
        row = self._row(number, job, self._lane.promised() if job.stage == READY else frozenset())
        texts = {"stdout": self._outputs.text(job, ""), "stderr": self._outputs.text(job, ".err")}
        return row | texts | self._times(job)

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

    def _times(self, job: Job) -> Answer:
        if self._zone is None:
            return {}
        return {"queued_time": self._clock(job.created_us), "run_time": self._clock(job.started_us)}

    def _clock(self, at_us: int | None) -> str | None:
        if at_us is None:
            return None
        return datetime.fromtimestamp(at_us // 1_000_000, UTC).astimezone(self._zone).strftime("%Y-%m-%dT%H:%M:%S %Z")


def _is_running(job: Job, promised: frozenset[int]) -> bool:
    return job.stage in (RUNNING, CLAIMED) or (job.stage == READY and job.number in promised)


def _status(job: Job, promised: frozenset[int]) -> str:
    if job.ended:
        return "completed" if job.state == "completed" else "failed"
    return "running" if _is_running(job, promised) else "queued"
