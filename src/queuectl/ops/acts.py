"""What operations do: each calls a verb of the queue and gives back plain JSON. No rule about jobs is written down here."""

from __future__ import annotations

import os
from time import monotonic

from .. import clock, codec, config, dependencies, limits, report, schedules, shown, spool_rows, spools, workers
from ..editing import edited
from ..errors import Conflict, InvalidInput, NotFound
from ..lifecycle import RULES, Cancel, Hold, Release, Retry
from ..model import ENDED, Query
from ..store import pages
from .asked import ACT_AT_ONCE, ACT_S, wanted

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

    from ..lifecycle import Event
    from ..model import Job, Schedule, Spec
    from ..queue import Queue
    from .asked import Given

EVENTS: dict[str, Callable[[], Event]] = {"cancel": Cancel, "hold": Hold, "release": Release, "retry": Retry}


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
    """One verb, applied to many jobs; those that do not allow it are passed over. What does not fit into the time of a
    request is left to the next one, that gives `next` as `after`."""
    action = given["action"]
    if ("ids" in given) == ("where" in given):
        raise InvalidInput("say which jobs are meant", why="either ids or where", field="ids")
    if action == "priority":
        given = {**given, "value": codec.FIELDS["priority"][1](given.get("value"))}
    done: dict[str, Any] = {"matched": 0, "changed": 0, "next": None}
    end = monotonic() + ACT_S
    for jobs, following in _meant(queue, given):
        allowed = [job for job in jobs if _allows(job, action)]
        done["matched"] += len(jobs)
        done["changed"] += len(allowed) if given.get("dry_run") else _apply(queue, action, allowed, given.get("value"))
        done["next"] = following
        if monotonic() > end:
            break
    return done


def _meant(queue: Queue, given: Given) -> Iterator[tuple[list[Job], str | None]]:
    """The jobs that are meant, in pieces, each with the place where the next begins. The pieces follow the numbers, up to
    the newest job at the beginning: none comes twice, whatever is changed or added meanwhile."""
    if "ids" in given:
        named = (queue.store.job_by_id(job_id) for job_id in given["ids"])
        jobs = list({job.number: job for job in named if job is not None}.values())
        yield jobs, None
        return
    at, upto = _place(given["after"]) if "after" in given else (-1, pages.newest(queue.store))
    meant = wanted(given["where"]).but(limit=ACT_AT_ONCE, sort="oldest")
    while at < upto:
        jobs, following = pages.page(queue.store, meant.but(after=None if at < 0 else str(at)))
        at = upto if following is None else int(following)
        yield [job for job in jobs if job.number <= upto], f"{at}.{upto}" if at < upto else None


def _place(after: str) -> tuple[int, int]:
    at, dot, upto = after.partition(".")
    if not (dot and at.isascii() and at.isdigit() and upto.isascii() and upto.isdigit() and len(after) < 40):
        raise InvalidInput(f"cursor {after[:40]!r} is not understood", hint="give 'next' of the answer before", field="after")
    return int(at), int(upto)


def _allows(job: Job, action: str) -> bool:
    if action == "delete":
        return job.stage in ENDED
    event = {"priority": "edit"}.get(action, action)
    return (job.stage, event) in RULES and not (job.stage == "later" and event == "retry" and not job.attempts)


def _apply(queue: Queue, action: str, jobs: list[Job], value: Any) -> int:
    if not jobs:
        return 0
    if action == "delete":
        return len(queue.prune(Query(ranges=_spans(jobs))))
    if action == "priority":
        now = clock.now_us()
        return len(queue.change_each(jobs, lambda job: edited(job, {"priority": value}, now)))
    event = EVENTS[action]()
    return len(queue.change_each(jobs, lambda job: event))


def _spans(jobs: list[Job]) -> tuple[tuple[int, int], ...]:
    """The numbers of jobs in ascending order, as few spans."""
    spans: list[tuple[int, int]] = []
    for job in sorted(jobs, key=lambda job: job.number):
        if spans and spans[-1][1] == job.number - 1:
            spans[-1] = (spans[-1][0], job.number)
        else:
            spans.append((job.number, job.number))
    return tuple(spans)


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
