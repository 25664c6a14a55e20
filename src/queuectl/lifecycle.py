"""What may happen to a job: one table of (stage, event) and the rule each pair leads to.

`step(job, event, now)` is the only place that decides a job's next stage; it is pure, and a pair that is not in
`RULES` is the error. Two transitions are decided by the database, because only it can make them atomic: `claim`
(ready → running or claimed) and `due` (later → ready); they stand in `DECIDED_BY_SQL` so that the table is whole.
"""

from __future__ import annotations

from . import model
from .errors import Conflict
from .model import (
    BLOCKED,
    CANCELLED,
    CLAIMED,
    COMPLETED,
    DEAD,
    HELD,
    LATER,
    READY,
    RUNNING,
    state_of,
)
from .record import Record
from .schedule import Backoff

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, TypeAlias

    from .model import Job, Options, Outcome, Stage


# ---------------------------------------------------------------- events


class Started(Record):
    """A claimed job's process runs."""

    at_us: int
    name = "start"


class Finished(Record):
    """A run ended, or could not be started; `backoff` says when a failure may run again."""

    outcome: Outcome
    options: Options
    backoff: Backoff
    jitter: float = 0.0  # 0…1, drawn by the caller: this module draws nothing
    name = "finish"


class GivenBack(Record):
    """A worker hands back what it has not started, or what it was told to stop; no attempt is charged."""

    note: str = ""
    name = "give back"


class Interrupted(Record):
    """A run was cut and nobody knows how it ended: reboot, power, the machine gone."""

    why: str
    options: Options
    backoff: Backoff
    name = "interrupt"


class Cancel(Record):
    name = "cancel"


class Hold(Record):
    note: str = ""
    name = "hold"


class Release(Record):
    name = "release"


class Retry(Record):
    """Run again, now: a dead job with its attempts forgotten, a failed one without waiting for its backoff."""

    name = "retry"


class Met(Record):
    """One of the jobs it waits for has ended as it must."""

    name = "met"


class Unmet(Record):
    """One of the jobs it waits for has ended otherwise."""

    why: str
    name = "unmet"


class Edited(Record):
    """Somebody wants a waiting job otherwise: the columns as they shall be, `due_us` only if its time is changed."""

    columns: dict[str, Any]
    note: str = ""
    name = "edit"


if TYPE_CHECKING:
    Event: TypeAlias = Started | Finished | GivenBack | Interrupted | Cancel | Hold | Release | Retry | Edited | Met | Unmet
    Rule: TypeAlias = Callable[[Job, Any, int], tuple[Job, str]]


class Change(Record):
    """A decision to be written: the job as it was read, as it shall be, and the line for its history."""

    before: Job
    after: Job
    event: str
    note: str
    at_us: int
    actor: str = ""
    outcome: Outcome | None = None  # how the run that this change closes ended


# ---------------------------------------------------------------- rules


def start(job: Job, event: Started, now: int) -> tuple[Job, str]:
    return enter(job, RUNNING, started_us=event.at_us, finished_us=None, exit_code=None, reason=None), ""


def finish(job: Job, event: Finished, now: int) -> tuple[Job, str]:
    """Success completes; a failure waits for its next run while it has retries, else it is dead.

    A run that somebody asked to cancel is cancelled however it failed; one that succeeded all the same is complete.
    """
    outcome = event.outcome
    ended: dict[str, Any] = {
        "attempts": job.attempts + 1,
        "started_us": outcome.started_us,
        "finished_us": outcome.ended_us,
        "exit_code": outcome.exit_code,
        "reason": outcome.reason or None,
    }
    if outcome.succeeded:
        return enter(job, COMPLETED, **ended), outcome.note
    if job.stop == "cancel":
        return enter(job, CANCELLED, **ended | {"reason": "cancelled"}), ""
    # By a clock that was set back since, it has not ended yet.
    return failed(job.but(**ended), event, min(outcome.ended_us, now))


def failed(closed: Job, event: Finished | Interrupted, ended_us: int) -> tuple[Job, str]:
    jitter = event.jitter if isinstance(event, Finished) else 0.0
    if closed.exit_code is not None and closed.exit_code in event.options.no_retry:
        return enter(closed, DEAD), f"exit status {closed.exit_code} is not retried"
    outcome = event.outcome if isinstance(event, Finished) else None
    if closed.attempts > closed.max_retries or (outcome and outcome.final):
        return enter(closed, DEAD), outcome.note if outcome else ""
    due = ended_us + round(event.backoff.delay_s(closed.attempts, jitter) * 1e6)
    due = max(due, outcome.not_before_us) if outcome else due
    return enter(closed, HELD if closed.stop == "hold" else LATER, due_us=due), ""


def give_back(job: Job, event: GivenBack, now: int) -> tuple[Job, str]:
    if job.stop == "cancel":
        return enter(job, CANCELLED, finished_us=now, reason="cancelled"), ""
    return enter(job, HELD if job.stop == "hold" else READY), event.note


def interrupt(job: Job, event: Interrupted, now: int) -> tuple[Job, str]:
    """The run is counted as an interruption, not as an attempt, unless the job asked for `fail`."""
    cut = job.but(interruptions=job.interruptions + 1, finished_us=now, exit_code=None, reason="interrupted")
    if job.stop == "cancel":
        return enter(cut, CANCELLED, reason="cancelled"), event.why
    if event.options.if_interrupted == model.FAIL:
        after, note = failed(cut.but(attempts=job.attempts + 1), event, now)
        return after, note or event.why
    if event.options.if_interrupted == model.HOLD or job.stop == "hold":
        return enter(cut, HELD), event.why
    if cut.interruptions >= model.INTERRUPTIONS_MAX:
        return enter(cut, HELD), f"interrupted {cut.interruptions} times, the last time: {event.why}"
    return enter(cut, READY), event.why


def cancel_waiting(job: Job, event: Cancel, now: int) -> tuple[Job, str]:
    return enter(job, CANCELLED, finished_us=now, reason="cancelled"), ""


def ask_cancel(job: Job, event: Cancel, now: int) -> tuple[Job, str]:
    """The worker that has the job ends it; until then it is what it is."""
    return job.but(stop="cancel"), "asked the worker to stop it"


def hold(job: Job, event: Hold, now: int) -> tuple[Job, str]:
    return enter(job, HELD, due_us=job.due_us), event.note


def ask_hold(job: Job, event: Hold, now: int) -> tuple[Job, str]:
    return job.but(stop="hold"), event.note


def release(job: Job, event: Release, now: int) -> tuple[Job, str]:
    if job.awaits:
        return enter(job, BLOCKED, due_us=job.due_us, interruptions=0), ""
    waits = job.due_us is not None and job.due_us > now
    return enter(job, LATER if waits else READY, due_us=job.due_us if waits else None, interruptions=0), ""


def met(job: Job, event: Met, now: int) -> tuple[Job, str]:
    """The last of those it waits for lets it run, when its time has come."""
    left = job.awaits - 1
    if left or job.stage == HELD:
        return enter(job, job.stage, due_us=job.due_us, awaits=left), ""
    waits = job.due_us is not None and job.due_us > now
    return enter(job, LATER if waits else READY, due_us=job.due_us if waits else None, awaits=0), ""


def unmet(job: Job, event: Unmet, now: int) -> tuple[Job, str]:
    """It would wait for ever: it is cancelled, and whoever waits for it hears of that."""
    return enter(job, CANCELLED, finished_us=now, reason=event.why[:255], awaits=0), event.why


def retry(job: Job, event: Retry, now: int) -> tuple[Job, str]:
    return enter(job, READY, attempts=0, interruptions=0, finished_us=None, exit_code=None, reason=None, awaits=0), ""


def retry_now(job: Job, event: Retry, now: int) -> tuple[Job, str]:
    if not job.attempts:
        raise refusal(job, event)  # it waits for its own time, not for a backoff
    return enter(job, READY), "without waiting"


def edit(job: Job, event: Edited, now: int) -> tuple[Job, str]:
    """With another time it waits for that, or is ready."""
    due = event.columns.get("due_us", job.due_us)
    edited = job.but(**event.columns)
    return (enter(edited, LATER, due_us=due) if due is not None and due > now else enter(edited, READY)), event.note


def edit_kept(job: Job, event: Edited, now: int) -> tuple[Job, str]:
    """What waits for somebody goes on to do so."""
    return enter(job.but(**event.columns), job.stage, due_us=event.columns.get("due_us", job.due_us)), event.note


def enter(job: Job, stage: Stage, **changes: Any) -> Job:
    """The job in another stage: whoever held it lets go, and no request to stop it outlives the run."""
    kept = job.worker if stage == RUNNING else None
    stop = job.stop if stage == RUNNING else None
    due = changes.pop("due_us", None)
    state = state_of(stage, changes.get("attempts", job.attempts))
    return job.but(stage=stage, state=state, worker=kept, stop=stop, due_us=due, **changes)


RULES: dict[tuple[Stage, str], Rule] = {
    (READY, "cancel"): cancel_waiting,
    (READY, "hold"): hold,
    (READY, "edit"): edit,
    (LATER, "cancel"): cancel_waiting,
    (LATER, "hold"): hold,
    (LATER, "edit"): edit,
    (LATER, "retry"): retry_now,
    (HELD, "cancel"): cancel_waiting,
    (HELD, "release"): release,
    (HELD, "edit"): edit_kept,
    (BLOCKED, "cancel"): cancel_waiting,
    (BLOCKED, "hold"): hold,
    (BLOCKED, "edit"): edit_kept,
    (BLOCKED, "met"): met,
    (BLOCKED, "unmet"): unmet,
    (HELD, "met"): met,
    (HELD, "unmet"): unmet,
    (CLAIMED, "start"): start,
    (CLAIMED, "finish"): finish,
    (CLAIMED, "give back"): give_back,
    (CLAIMED, "interrupt"): interrupt,
    (CLAIMED, "cancel"): ask_cancel,
    (CLAIMED, "hold"): ask_hold,
    (RUNNING, "finish"): finish,
    (RUNNING, "give back"): give_back,
    (RUNNING, "interrupt"): interrupt,
    (RUNNING, "cancel"): ask_cancel,
    (DEAD, "retry"): retry,
    (CANCELLED, "retry"): retry,
}

# What the two transitions that SQL makes lead to, and what `finish`, `give back` and the like may lead to: for the
# diagram in the docs and for the test that walks every pair.
DECIDED_BY_SQL: dict[tuple[Stage, str], tuple[Stage, ...]] = {
    (READY, "claim"): (RUNNING, CLAIMED),
    (LATER, "due"): (READY,),
}

LEADS_TO: dict[Rule, tuple[Stage, ...]] = {
    start: (RUNNING,),
    finish: (COMPLETED, LATER, HELD, DEAD, CANCELLED),
    give_back: (READY, HELD, CANCELLED),
    interrupt: (READY, HELD, LATER, DEAD, CANCELLED),
    cancel_waiting: (CANCELLED,),
    ask_cancel: (),  # stays where it is, with `stop` set
    hold: (HELD,),
    ask_hold: (),
    release: (READY, LATER, BLOCKED),
    met: (READY, LATER, BLOCKED, HELD),
    unmet: (CANCELLED,),
    retry: (READY,),
    retry_now: (READY,),
    edit: (READY, LATER),
    edit_kept: (),
}

REFUSALS: dict[tuple[str, str], tuple[str, str]] = {
    ("cancel", "completed"): ("it is already completed", "there is nothing left to cancel"),
    ("cancel", "dead"): ("it is in the dead-letter queue and will not run", "'queuectl clean' removes it"),
    ("cancel", "cancelled"): ("it is already cancelled", "'queuectl retry' makes it run again"),
    ("edit", "pending"): ("a worker is about to start it", "hold it first, or add another"),
    ("edit", "failed"): ("a worker is about to start it", "hold it first, or add another"),
    ("edit", "processing"): ("it is running", "'queuectl cancel' ends it"),
    ("hold", "processing"): ("it is running", "'queuectl cancel' ends it"),
    ("hold", "pending"): ("it is already held", "'queuectl release' lets it run"),
    ("hold", "failed"): ("it is already held", "'queuectl release' lets it run"),
    ("release", "pending"): ("it is not held", "'queuectl explain' says why it waits"),
    ("release", "failed"): ("it is not held", "'queuectl retry' runs it now"),
    ("retry", "pending"): ("it has not failed", "'queuectl explain' says why it waits"),
    ("retry", "failed"): ("it is due or held already", "'queuectl explain' says why it waits"),
    ("retry", "processing"): ("it is running", "wait for its end or cancel it first"),
    ("retry", "completed"): ("it completed", "add it again with 'queuectl enqueue'"),
}


def step(job: Job, event: Event, now: int) -> Change:
    """The change that an event makes to a job. Raises Conflict when the table has no rule for it.

    >>> step(a_job(stage="dead", attempts=4), Retry(), now=7).after.state
    'pending'
    """
    rule = RULES.get((job.stage, event.name))
    if rule is None:
        raise refusal(job, event)
    after, note = rule(job, event, now)
    after = after.but(updated_us=now, version=job.version + 1)
    outcome = event.outcome if isinstance(event, Finished) else None
    return Change(before=job, after=after, event=event.name, note=note, at_us=now, outcome=outcome)


def refusal(job: Job, event: Event) -> Conflict:
    why, hint = REFUSALS.get((event.name, job.state), (f"it is {job.state}", "'queuectl show' tells its state"))
    return Conflict(f"cannot {event.name} job {job.id}", why=why, hint=hint)


def a_job(**fields: Any) -> model.Job:
    """A plain job for examples and tests of the pure core."""
    plain: dict[str, Any] = dict.fromkeys(model.Job.fields)
    numbers = ("lane", "priority", "attempts", "interruptions", "run", "created_us", "updated_us", "awaits")
    plain.update(dict.fromkeys(numbers, 0))
    plain.update(number=1, queue="default", kind="shell", command="true", needs="command", stage=READY, max_retries=3, version=1)
    plain.update(fields)
    plain["state"] = state_of(plain["stage"], plain["attempts"])
    return model.Job(**plain)
