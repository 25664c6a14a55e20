"""What operations do: each calls a verb of the queue and gives back plain JSON. No rule about jobs is written down here."""

from __future__ import annotations

import os

from .. import clock, codec, config, dependencies, limits, report, schedules, shown, spool_rows, spools, workers
from ..errors import Conflict, InvalidInput, NotFound
from ..model import ENDED, Query
from ..store import pages
from .asked import ACT_AT_ONCE, ACT_MAX, wanted

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from ..model import Job, Schedule, Spec
    from ..queue import Queue
    from .asked import Given


def list_jobs(queue: Queue, given: Given) -> Any:
    jobs, following = pages.page(queue.store, wanted(given))
    return {"jobs": [shown.job_object(job) for job in jobs], "next": following}


def delete_job(queue: Queue, given: Given) -> Any:
    job = queue.get(given["id"])
    if not job.ended:
        raise Conflict(f"job {job.id} cannot be removed", why=f"it is {job.state}", hint="cancel it first")
    queue.prune(Query(ids=(job.id,)))
    return shown.job_object(job)


def changing(verb: str) -> Callable[[Queue, Given], Any]:
    """One verb, applied to one job that must allow it."""

    def run(queue: Queue, given: Given) -> Any:
        changed = getattr(queue, verb)(given["id"])
        return shown.job_object(changed[0] if changed else queue.get(given["id"]))

    return run


def act(queue: Queue, given: Given) -> Any:
    """One verb, applied to many jobs; those that do not allow it are passed over."""
    action = given["action"]
    if ("ids" in given) == ("where" in given):
        raise InvalidInput("say which jobs are meant", why="either ids or where", field="ids")
    if action == "priority":
        given = {**given, "value": codec.FIELDS["priority"][1](given.get("value"))}
    matched = changed = 0
    for jobs in _meant(queue, given):
        allowed = [job for job in jobs if _allows(job, action)]
        matched += len(jobs)
        changed += len(allowed) if given.get("dry_run") else _apply(queue, action, allowed, given.get("value"))
    return {"matched": matched, "changed": changed}


def _meant(queue: Queue, given: Given) -> list[list[Job]]:
    """The jobs that are meant, all found before any is changed, in pieces."""
    found: list[list[Job]] = []
    if "ids" in given:
        for at in range(0, len(given["ids"]), ACT_AT_ONCE):
            named = [queue.store.job_by_id(job_id) for job_id in given["ids"][at : at + ACT_AT_ONCE]]
            found.append([job for job in named if job is not None])
        return found
    meant = wanted(given["where"]).but(limit=ACT_AT_ONCE, sort="oldest")
    total = 0
    while True:
        jobs, following = pages.page(queue.store, meant)
        total += len(jobs)
        if total > ACT_MAX:
            raise InvalidInput(f"more than {ACT_MAX} jobs are meant", hint="narrow the selection, for example by queue or state")
        found.append(jobs)
        if following is None:
            return found
        meant = meant.but(after=following)


def _allows(job: Job, action: str) -> bool:
    from ..lifecycle import RULES

    if action == "delete":
        return job.stage in ENDED
    event = {"priority": "edit"}.get(action, action)
    return (job.stage, event) in RULES and not (job.stage == "later" and event == "retry" and not job.attempts)


def _apply(queue: Queue, action: str, jobs: list[Job], value: Any) -> int:
    if not jobs:
        return 0
    span = Query(ranges=tuple((job.number, job.number) for job in jobs))
    match action:
        case "delete":
            return len(queue.prune(span))
        case "priority":
            return len([queue.edit(job.id, priority=value) for job in jobs])
        case _:
            return len(getattr(queue, action)(span))


def dependants(queue: Queue, given: Given) -> Any:
    found = dependencies.dependants(queue.store, queue.get(given["id"]))
    return {"dependants": [shown.job_object(d.other) for d in found]}


def explain(queue: Queue, given: Given) -> Any:
    from ..explain import explain as reasons

    job = queue.get(given["id"])
    return {"id": job.id, "state": job.state, "reasons": reasons(queue, job)}


def set_queue(queue: Queue, given: Given) -> Any:
    changes: Given = {}
    if "paused" in given:
        changes["paused"] = int(given["paused"])
    if "parallel" in given:
        changes["parallel"] = given["parallel"]
    if "rate" in given:
        changes["interval_us"] = given["rate"]
    limits.set_queue(queue, given["name"], must_exist=changes == {"paused": 0} or not changes, **changes)
    return next(row for row in report.queues(queue, clock.now_us()) if row["queue"] == given["name"])


def set_limit(queue: Queue, given: Given) -> Any:
    if given.get("parallel") is None and given.get("rate") is None:
        raise InvalidInput("no limit is given", hint="give parallel, rate or both; DELETE removes a limit", field="parallel")
    limits.set_key(queue, given["key"], given.get("parallel"), given.get("rate"))
    return next(shown.limit_object(row) for row in limits.of_keys(queue) if row.name == given["key"])


def remove_limit(queue: Queue, given: Given) -> Any:
    limits.remove_key(queue, given["key"])
    return {"key": given["key"]}


def attach_spool(queue: Queue, given: Given) -> Any:
    terms = spool_rows.Terms(command=given["command"], queue=given.get("queue", "default"))
    name = given.get("name") or os.path.basename(os.path.realpath(given["folder"]))
    return spools.shown(queue, spools.attach(queue, name, given["folder"], terms, os.environb))


def detach_spool(queue: Queue, given: Given) -> Any:
    return {"name": given["name"], "detached": spools.detach(queue, given["name"])}


def retry_spool(queue: Queue, given: Given) -> Any:
    return spools.shown(queue, spools.retry(queue, given["name"]))


def skip_spool(queue: Queue, given: Given) -> Any:
    return {"name": given["name"], "skipped": spools.skip(queue, given["name"], given.get("number"))}


def schedules_shown(queue: Queue) -> list[Any]:
    return [_schedule(queue, schedule) for schedule in schedules.all_of(queue)]


def _schedule(queue: Queue, schedule: Schedule) -> Any:
    last = queue.store.job(schedule.job) if schedule.job is not None else None
    return shown.schedule_object(schedule, last.id if last else None)


def job_asked(value: Any) -> Spec:
    if not isinstance(value, dict):
        raise InvalidInput("job must be an object", field="job")
    return codec.spec_from_object(value)


def add_schedule(queue: Queue, given: Given) -> Any:
    terms = {name: given[name] for name in ("zone", "overlap", "catch_up") if name in given}
    return _schedule(queue, schedules.add(queue, given["name"], given["cron"], given["job"], **terms))


def schedule_act(word: str) -> Callable[[Queue, Given], Any]:
    def act(queue: Queue, given: Given) -> Any:
        if word == "run":
            return shown.job_object(schedules.run_now(queue, given["name"]))
        getattr(schedules, word)(queue, given["name"])
        return _schedule(queue, schedules.get(queue, given["name"]))

    return act


def remove_schedule(queue: Queue, given: Given) -> Any:
    schedules.remove(queue, given["name"])
    return {"name": given["name"]}


def stop_worker(queue: Queue, given: Given) -> Any:
    meant = [row for row in workers.living(queue.store) if row.id == given["id"]]
    if not meant:
        raise NotFound(f"there is no worker {given['id']}", hint="'queuectl worker list' shows those that run")
    workers.ask(queue, meant, given.get("how", "finish"))
    return {"id": given["id"], "asked": given.get("how", "finish")}


def settings(queue: Queue, given: Given) -> Any:
    built_in, now = config.Config(), queue.settings.read()
    return {
        "settings": [
            {"name": name, "value": getattr(now, name), "default": getattr(built_in, name), "meaning": about}
            for name, (_, about) in config.SETTINGS.items()
        ]
    }


def set_config(queue: Queue, given: Given) -> Any:
    """All of it is checked before any is stored; null puts a setting back."""
    if not given:
        raise InvalidInput("no setting is given", hint="known: " + ", ".join(config.SETTINGS))
    for name, value in given.items():
        queue.settings.unset(name) if value is None else queue.settings.set(name, value)
    return settings(queue, {})
