"""Editing a job that waits, and copying one: from fields as they were given to the columns that are written."""

from __future__ import annotations

import os

from . import calls, codec
from .errors import Conflict, InvalidInput
from .lifecycle import Edited
from .model import READY, TAG, Call, Spec, state_of
from .newjob import needs_of
from .work import target_of, work_columns, work_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .locate import Place
    from .model import Job, Work

PLAIN = ("priority", "label", "max_retries", "queue", "limit_key")  # a field of the same name in Spec and Job
WORK = ("command", "argv", "url", "function")
EDITABLE = (*("command", "argv", "function"), "args", "kwargs", *calls.FIELDS, *PLAIN, "timeout", "run_at", "delay")


def edited(job: Job, fields: dict[str, Any], now: int) -> Edited:
    """The event that makes a job what these fields say. Raises InvalidInput naming the field."""
    given = dict(fields)
    if not given:
        raise InvalidInput("nothing to change is given", hint="known: " + ", ".join(EDITABLE))
    for name in given:
        if name not in EDITABLE:
            raise InvalidInput(f"{name[:60]} cannot be changed", hint="known: " + ", ".join(EDITABLE), field=name[:60])
    names = ", ".join(given)
    work = _work(job, given)
    if work:
        _refuse_packet(job)
    spec = codec.spec(work or work_of(job), given)
    columns: dict[str, Any] = {name: getattr(spec, name) for name in PLAIN if name in given}
    if columns.get("max_retries", 0) is None:
        raise InvalidInput("max_retries must be a number", field="max_retries")
    if "timeout" in given:
        columns["timeout_s"] = spec.timeout_s
    if "run_at" in given or "delay" in given:
        columns["run_at_us"] = spec.run_at_us
        columns["due_us"] = spec.run_at_us if spec.delay_s is None else now + round(spec.delay_s * 1e6)
    return Edited(columns | (_work_columns(job, work, given) if work else {}), names)


def _work(job: Job, given: dict[str, Any]) -> Work | None:
    """What is to run from now on, taken out of these fields; None when they leave it as it is. A call keeps what is not given."""
    of_calls = [name for name in given if name in calls.FIELDS]
    before = work_of(job) if of_calls else None
    if isinstance(before, Call) and not any(name in given for name in WORK if name != "url"):
        return calls.changed(before, {name: given.pop(name) for name in of_calls})
    return codec.work_from(given) if any(name in given for name in WORK) else None


def _work_columns(job: Job, work: Work, given: dict[str, Any]) -> dict[str, Any]:
    """What is run, what that needs, and the limit key where it was the old target's."""
    tags = tuple(word[len(TAG) :] for word in job.needs.split() if word.startswith(TAG))
    columns = {**work_columns(work), "needs": needs_of(Spec(work=work, where=tags))}
    if "limit_key" not in given and job.limit_key == target_of(work_of(job)):
        columns["limit_key"] = target_of(work)
    return columns


def copied(job: Job, place: Place, now: int) -> Job:
    """The row of a new job that does the same, ready to run; still without its number and lane. Raises Conflict."""
    _refuse_packet(job)
    fresh: dict[str, Any] = dict.fromkeys(("name", "key", "run_at_us", "due_us", "started_us", "finished_us"))
    fresh |= dict.fromkeys(("exit_code", "reason", "worker", "stop"))
    fresh |= {"attempts": 0, "interruptions": 0, "run": 0, "version": 1, "created_us": now, "updated_us": now}
    if job.stdin:
        fresh["stdin"] = _stdin_again(job.stdin, place)
    return job.but(stage=READY, state=state_of(READY, 0), **fresh)


def _refuse_packet(job: Job) -> None:
    if job.kind == "packet":
        hint = "'queuectl spool retry' runs a failed one again"
        raise Conflict(f"job {job.id} is a packet's run", why="its spool says what is run, and when", hint=hint)


def _stdin_again(name: str, place: Place) -> str:
    """Its input under another name: each job removes its own."""
    from . import payload

    source = os.open(payload.path_of(place, name), os.O_RDONLY | os.O_NOFOLLOW)
    try:
        return payload.store(place, source)
    finally:
        os.close(source)
