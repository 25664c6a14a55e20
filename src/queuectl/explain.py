"""Why a job is not running, or how it ended: a sentence each."""

from __future__ import annotations

from . import clock, dependencies, limits, shown, spools, trouble
from .bell import NO_WORKER
from .model import CALL, COMMAND, TAG, Job, Limit, Query, Serving
from .schedule import ago, rate_text
from .store import find
from .workers import living

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .queue import Queue


def explain(queue: Queue, job: Job) -> list[str]:
    """Everything that keeps the job from running, or how it ended: a sentence each."""
    match job.stage:
        case "completed" | "dead" | "cancelled":
            return [_ended(job), *spools.stopped_by(queue, job)]
        case "running":
            started = ago((clock.now_us() - (job.started_us or 0)) / 1e6)
            stop = ["it is being stopped"] if job.stop else []
            return [f"it runs since {started} with worker {job.worker}", *stop]
        case "later":
            return [_waits_for_time(job), *_nobody_runs(queue, job)]
        case "held":
            notes = [entry.note for entry in queue.history(job) if entry.stage == "held" and entry.note]
            return [f"it is held{f': {notes[-1]}' if notes else ''}; 'queuectl release {job.id}' lets it run"]
        case "blocked":
            return _waits_for_jobs(queue, job)
        case _:
            return _waits_for_slot(queue, job)


MUST = {"after": "complete", "after_any": "end", "after_failed": "fail for good"}


def _waits_for_jobs(queue: Queue, job: Job) -> list[str]:
    awaited = [waits for waits in dependencies.of(queue.store, job) if not waits.decided]
    return [f"it waits for job {w.other.id}, which is {w.other.state}, to {MUST[w.condition]}" for w in awaited[:SHOWN_MAX]] + (
        [f"and for {len(awaited) - SHOWN_MAX} more"] if len(awaited) > SHOWN_MAX else []
    )


SHOWN_MAX = 20


def _ended(job: Job) -> str:
    if job.state == "completed":
        return f"it completed at {shown.iso(job.finished_us)}"
    if job.state == "cancelled":
        if job.reason != "cancelled":
            return f"it was cancelled because {job.reason}; 'queuectl retry {job.id}' runs it all the same"
        return f"it was cancelled at {shown.iso(job.finished_us)}; 'queuectl retry {job.id}' runs it again"
    how = job.reason or f"exit status {job.exit_code}"
    times = "once" if job.attempts == 1 else f"{job.attempts} times"
    return f"it failed {times}, at last with {how}; 'queuectl dlq retry {job.id}' runs it again"


def _waits_for_time(job: Job) -> str:
    assert job.due_us is not None
    left = max(0.0, (job.due_us - clock.now_us()) / 1e6)
    why = f"it failed {job.attempts} of {job.max_retries + 1} times and runs again" if job.attempts else "it is due"
    return f"{why} at {shown.iso(job.due_us)}, in {ago(left + 0.999)}"


def _waits_for_slot(queue: Queue, job: Job) -> list[str]:
    reasons = []
    for limit in [limit for limit in limits.of_queues(queue) if limit.name == job.queue]:
        if limit.paused:
            reasons.append(f"queue {job.queue} is paused; 'queuectl queue resume {job.queue}' starts it again")
        reasons += _limited(f"queue {job.queue}", limit)
    for limit in [limit for limit in limits.of_keys(queue) if limit.name == job.limit_key]:
        reasons += _limited(f"key {job.limit_key}", limit)
    if queue.store.run("select 1 from lanes where id = ? and adder is not null", (job.lane,)):
        reasons.append("the pile it belongs to is still being added")
    reasons += _nobody_runs(queue, job)
    if low := trouble.disk_is_low(queue.place, queue.settings.read().min_free):
        reasons.append(f"{low}; no new job starts here")
    if not reasons:
        ahead = _ahead_of(queue, job)
        reasons.append(f"it waits for a free slot; {ahead} ready jobs come before it" if ahead else "it is the next to start")
    return reasons


def _limited(what: str, limit: Limit) -> list[str]:
    reasons = [f"{what} runs at most {limit.parallel} at once"] if limit.parallel is not None else []
    if limit.interval_us is not None:
        reasons.append(f"{what} starts at most {rate_text(limit.interval_us)}")
    if limit.next_us is not None and limit.next_us > clock.now_us():
        reasons.append(f"{what} starts nothing before {shown.iso(limit.next_us)}")
    return reasons


def _ahead_of(queue: Queue, job: Job) -> int:
    query = Query(stages=("ready",), queue=job.queue)
    jobs = find.select(query, "count(*)")
    [(n,)] = queue.store.run(
        jobs[0].partition(" order by ")[0] + " and (priority > ? or (priority = ? and number < ?))",
        (*jobs[1], job.priority, job.priority, job.number),
    )
    return int(n)


def _nobody_runs(queue: Queue, job: Job) -> list[str]:
    workers = living(queue.store)
    # A worker has its keeper start a caller.
    needs = " ".join([COMMAND if word == CALL else word for word in job.needs.split()])
    serving = [row for row in workers if row.serving.serves(job.queue, needs) or row.serving.serves(job.queue, job.needs)]
    if serving:
        return []
    if job.queue in Serving.RESERVED:
        return [f"only a server runs queue {job.queue}, and none does" + "; 'taskspoold' starts it" * (job.queue == "taskspool")]
    if not workers:
        return [NO_WORKER]
    offered = {word for row in workers if row.serving.serves(job.queue, "") for word in row.serving.offers}
    if not offered:
        return [f"no worker serves queue {job.queue}"]
    missing = [word.removeprefix(TAG) for word in job.needs.split() if word not in offered]
    what = " and ".join(missing) if missing else "all of what it needs"
    return [f"no worker of queue {job.queue} offers {what}"]
