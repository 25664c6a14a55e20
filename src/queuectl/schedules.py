"""Recurring schedules: what runs again and again, by a cron expression. Workers add the jobs at their instants."""

from __future__ import annotations

import os

from . import clock, codec, cron, jsontext
from .errors import Conflict, InvalidInput, NotFound
from .model import Schedule
from .newjob import new_job
from .store import recurring, sql

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .model import Job, Spec
    from .queue import Queue

OVERLAPS = ("skip", "allow")
# What makes no sense of a job that is added again and again, and what to do instead.
REFUSED = {
    "id": "each job gets a number; --label names them all",
    "key": "each instant adds one job as it is",
    "delay_s": "the cron expression says when",
    "run_at_us": "the cron expression says when",
    "stdin": "have the command read a file",
}


def add(
    queue: Queue, name: str, expression: str, spec: Spec, *, zone: str | None = None, overlap: str = "skip", catch_up: str = "one"
) -> Schedule:
    """A schedule that adds a job like this one at every instant the expression names. Raises InvalidInput, Conflict."""
    for field, hint in REFUSED.items():
        if getattr(spec, field) is not None:
            raise InvalidInput(f"a schedule's job has no {field.partition('_')[0]} of its own", hint=hint, field=field)
    if spec.waits_for_jobs:
        raise InvalidInput("a schedule's job waits for no other", hint="have one command do both", field="after")
    name = codec.queue_name(name)
    fields, zone = cron.expression(expression), zone or local_zone()
    cron.timezone(zone)
    codec.one_of(overlap, "overlap", OVERLAPS)
    codec.one_of(catch_up, "catch_up", cron.CATCH_UPS)
    with queue.store.transaction():
        if queue.store.run(sql.SCHEDULE, (name,)):
            raise Conflict(f"schedule {name} exists already", why="", hint=f"'queuectl schedule remove {name}' first")
        config = queue.settings.read()
        job = new_job(spec.but(label=spec.label or name), queue.origin(spec, config), config, 0)
        template = jsontext.dumps(dict(zip(type(job).fields, job.values(), strict=True)))
        at = cron.next_after(fields, zone, clock.now_us())
        queue.store.run(sql.ADD_SCHEDULE, (name, fields, zone, overlap, catch_up, at, job.env, template))
    queue.ring_work()
    return get(queue, name)


def local_zone() -> str:
    """The time zone of this machine, by name."""
    named = os.environ.get("TZ", "").lstrip(":")
    if not named and os.path.islink("/etc/localtime"):
        named = os.path.realpath("/etc/localtime").partition("/zoneinfo/")[2]
    try:
        cron.timezone(named or "UTC")
    except InvalidInput:
        return "UTC"
    return named or "UTC"


def all_of(queue: Queue) -> list[Schedule]:
    return [Schedule(*row) for row in queue.store.run(sql.SCHEDULES)]


def get(queue: Queue, name: str) -> Schedule:
    found = queue.store.run(sql.SCHEDULE, (name,))
    if not found:
        raise NotFound(f"there is no schedule {name[:140]!r}", hint="'queuectl schedule list' shows what there is")
    return Schedule(*found[0])


def pause(queue: Queue, name: str) -> None:
    with queue.store.transaction():
        get(queue, name)
        queue.store.run(sql.PAUSE_SCHEDULE, (None, name))


def resume(queue: Queue, name: str) -> None:
    """What was missed meanwhile is not made up for."""
    with queue.store.transaction():
        schedule = get(queue, name)
        at = cron.next_after(schedule.cron, schedule.zone, clock.now_us())
        queue.store.run(sql.RESUME_SCHEDULE, (at, name))
    queue.ring_work()


def remove(queue: Queue, name: str) -> None:
    """The jobs it has added stay."""
    with queue.store.transaction():
        schedule = get(queue, name)
        queue.store.run(sql.REMOVE_SCHEDULE, (name,))
        queue.store.forget_envs({schedule.env} if schedule.env is not None else set())


def run_now(queue: Queue, name: str) -> Job:
    """Add its job now, whatever the time is."""
    with queue.store.transaction():
        job = recurring.new_job(queue.store, get(queue, name), clock.now_us())
        queue.store.insert([job], queue.actor)
    queue.ring_work()
    return job
