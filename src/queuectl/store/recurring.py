"""Recurring schedules at their instants: jobs are added in the transaction that finds them due, so that an instant runs
once, whoever else looks at it.
"""

from __future__ import annotations

from .. import cron, jsontext
from ..errors import InvalidInput
from ..model import Job, Schedule
from . import sql

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .base import Store

FIRE_MAX = 100  # schedules in one turn


def fire(store: Store, now: int) -> None:
    for row in store.run(sql.DUE_SCHEDULES, (now, FIRE_MAX)):
        schedule = Schedule(*row)
        assert schedule.next_us is not None
        try:
            instants, following = cron.due(schedule.cron, schedule.zone, schedule.next_us, now, schedule.catch_up)
        except InvalidInput as fault:  # a zone that this machine does not know
            store.run(sql.PAUSE_SCHEDULE, (str(fault)[:255], schedule.name))
            continue
        for instant in instants:
            schedule = _fired(store, schedule, instant, now)
        counts = (schedule.fired, schedule.skipped, schedule.job)
        store.run(sql.SCHEDULE_FIRED, (following, *counts, schedule.name))


def _fired(store: Store, schedule: Schedule, instant: int, now: int) -> Schedule:
    last = store.job(schedule.job) if schedule.job is not None and schedule.overlap == "skip" else None
    if last is not None and not last.ended:
        return schedule.but(skipped=schedule.skipped + 1)
    job = new_job(store, schedule, now)
    store.insert([job], f"schedule {schedule.name}")
    return schedule.but(fired=schedule.fired + 1, job=job.number)


def new_job(store: Store, schedule: Schedule, now: int) -> Job:
    """A job like the template, with a number and a lane; inside a transaction."""
    number = store.take_numbers(1)
    while store.number_is_chosen(number):
        number = store.take_numbers(1)
    job = Job(**jsontext.loads(schedule.template)).but(number=number, created_us=now, updated_us=now)
    return job.but(lane=store.lane_for(job))
