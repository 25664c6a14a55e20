"""A queue seen as a whole: how many jobs are where, who works, what is dead and why, what comes next, how it went.

Nothing here counts jobs: sums are kept with each write, and what is read row by row is bounded.
"""

from __future__ import annotations

from . import shown, trouble
from .model import STATES
from .store import sql, stats
from .store.sums import MINUTE_US
from .workers import living

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .queue import Queue

DEAD_LOOKED_AT = 10_000  # dead jobs, the newest, that are grouped
DEAD_GROUPS = 100
RUNS_LOOKED_AT = 10_000  # runs spread evenly over its time that a series takes its durations from
SPANS = {"hour": (3600, 60), "day": (86400, 900), "week": (604800, 7200)}  # seconds, and of one step


def status(queue: Queue) -> dict[str, Any]:
    """Counts of all states, and the slots of living workers. O(1)."""
    workers = living(queue.store)
    paused = [name for (name,) in queue.store.run("select name from queues where paused <> 0 order by name")]
    return {
        **stats.by_state(queue.store),
        "active_workers": sum(row.slots for row in workers if row.runs_commands),
        "worker_processes": len(workers),
        "paused": paused,
        "warnings": trouble.warnings(queue.place, queue.settings.read().min_free),
        "store": queue.place.name,
    }


def overview(queue: Queue) -> dict[str, Any]:
    """What a page shows at the top: `status`, and what else is worth a glance."""
    found = status(queue)
    worries = _worries(found)
    waiting = _oldest_waiting(queue)
    [(store_id,)] = queue.store.run("select value from meta where key = 'store_id'")
    return {
        **found,
        "warnings": [worry["text"] for worry in worries],
        "health": worries,
        "queues": stats.by_queue(queue.store),
        "slots_busy": found["processing"],
        "slots": found["active_workers"],
        "oldest_waiting_at": shown.iso(min(waiting.values(), default=None)),
        "next_due_at": shown.iso(queue.store.next_due()),
        "store_id": store_id,
    }


def _worries(found: dict[str, Any]) -> list[dict[str, str]]:
    """What a person should know, worst first: how bad it is, in words, and which page of the dashboard tells more."""
    worries = [("bad", text, "settings") for text in found["warnings"]]
    waiting = found["pending"] + found["failed"]
    if not found["worker_processes"]:
        worries.append(
            ("bad", f"no worker is running, and {waiting} jobs wait", "workers")
            if waiting
            else ("info", "no worker is running", "workers")
        )
    if found["dead"]:
        worries.append(("warn", f"{found['dead']} job{'' if found['dead'] == 1 else 's'} in the dead-letter queue", "dead"))
    worries += [("info", f"queue {name} is paused", "queues") for name in found["paused"]]
    return [{"level": level, "text": text, "see": see} for level, text, see in worries]


def _oldest_waiting(queue: Queue) -> dict[str, int]:
    """queue → when the job was added that starts next in it, for each queue with ready jobs; O(lanes)."""
    found: dict[str, int] = {}
    head = "select created_us from jobs where lane = ? and stage = 'ready' order by priority desc, number limit 1"
    for lane, name in queue.store.run(sql.READY_LANES):
        for (created,) in queue.store.run(head, (lane,)):
            found[name] = min(created, found.get(name, created))
    return found


def queues(queue: Queue, now_us: int) -> list[dict[str, Any]]:
    """Each queue with its switches, its limits and how many jobs of it are in each state."""
    from . import limits
    from .schedule import rate_text

    counts, waiting = stats.by_queue(queue.store), _oldest_waiting(queue)
    return [
        {
            "queue": row.name,
            "paused": row.paused,
            "parallel": row.parallel,
            "rate": rate_text(row.interval_us),
            **counts.get(row.name, {str(state): 0 for state in STATES}),
            "oldest_waiting_seconds": round((now_us - waiting[row.name]) / 1e6, 3) if row.name in waiting else None,
        }
        for row in limits.of_queues(queue)
    ]


def workers(queue: Queue) -> list[dict[str, Any]]:
    """Who runs, since when, on what."""
    found = []
    for row in living(queue.store):
        jobs = queue.store.jobs_of_worker(row.id)
        running = [{"id": j.id, "command": j.command[:500], "since": shown.iso(j.started_us)} for j in jobs if j.stage == "running"]
        found.append({**shown.worker_object(row, []), "running": running})
    return found


def dead(queue: Queue, limit: int = DEAD_GROUPS) -> dict[str, Any]:
    """The dead-letter queue by reason: the newest ten thousand dead jobs, in groups that died alike."""
    rows = queue.store.run(
        f"select reason, exit_code, number, {sql.ID} from jobs where state = 'dead' order by number desc limit ?", (DEAD_LOOKED_AT,)
    )
    alike: dict[tuple[str | None, int | None], list[tuple[int, str]]] = {}
    for reason, exit_code, number, job_id in rows:
        alike.setdefault((reason, exit_code), []).append((number, job_id))
    largest = sorted(alike.items(), key=lambda item: (-len(item[1]), -item[1][0][0]))[:limit]
    return {"groups": [_group(queue, *kind, jobs) for kind, jobs in largest], "total": stats.by_state(queue.store)["dead"]}


def _group(queue: Queue, reason: str | None, exit_code: int | None, jobs: list[tuple[int, str]]) -> dict[str, Any]:
    job = queue.store.job(jobs[0][0])
    newest = None if job is None else shown.job_object(job)
    ids = [job_id for _, job_id in jobs[:5]]
    return {"reason": reason, "exit_code": exit_code, "count": len(jobs), "newest": newest, "ids": ids}


def schedule(queue: Queue, limit: int) -> list[dict[str, Any]]:
    """What is due next."""
    from .model import Job
    from .store import sql

    statement = f"select {sql.JOB} from jobs where stage = 'later' order by due_us limit ?"
    return [shown.job_object(Job(*row)) for row in queue.store.run(statement, (limit,))]


def series(queue: Queue, span: str, now_us: int) -> dict[str, Any]:
    """How it went over time: for each step the runs that succeeded and failed, all of them; how long half of them took
    and had waited, of one run in `one_in`."""
    length_s, step_s = SPANS[span]
    step = step_s * 1_000_000
    first = (now_us // step - length_s // step_s + 1) * step
    ended = {at: [0, 0] for at in range(first, now_us + 1, step)}
    for minute, good, bad in queue.store.run(sql.MINUTES, (first // MINUTE_US,)):
        sums = ended.get(minute * MINUTE_US // step * step, [0, 0])
        sums[0], sums[1] = sums[0] + int(good), sums[1] + int(bad)
    one_in = -(-sum(map(sum, ended.values())) // RUNS_LOOKED_AT) or 1
    took, waited = _times(queue, first, step, one_in)
    return {
        "step_s": step_s,
        "duration_percentiles": _percentiles([time for times in took.values() for time in times]),
        "wait_percentiles": _percentiles([time for times in waited.values() for time in times]),
        "points": [
            {
                "at": shown.iso(at),
                "completed": good,
                "failed": bad,
                "duration_p50_s": _half(took.get(at, [])),
                "wait_p50_s": _half(waited.get(at, [])),
            }
            for at, (good, bad) in ended.items()
        ],
        "one_in": one_in,
    }


# Runs spread evenly over the newest. A first run waited since it was added or due; how long a retry did is its backoff,
# and nobody's concern.
SOME_RUNS = """
with recursive picked (id, n) as (
  select max(id), 1 from attempts union all select id - ?, n + 1 from picked where n < ? and id > ?)
select ended_us, attempts.started_us,
  case when attempts.run = 1 then case when jobs.run_at_us > jobs.created_us then jobs.run_at_us else jobs.created_us end end
from picked join attempts on attempts.id = picked.id left join jobs on jobs.number = attempts.job
where ended_us >= ?"""


def _times(queue: Queue, first: int, step: int, one_in: int) -> tuple[dict[int, list[float]], dict[int, list[float]]]:
    """How long runs took, and how long they had waited before, by the step in which they ended; in seconds."""
    took: dict[int, list[float]] = {}
    waited: dict[int, list[float]] = {}
    for ended, started, due in queue.store.run(SOME_RUNS, (one_in, RUNS_LOOKED_AT, one_in, first)):
        at = ended // step * step
        took.setdefault(at, []).append((ended - started) / 1e6)
        if due is not None:
            waited.setdefault(at, []).append(max(0.0, (started - due) / 1e6))
    return took, waited


def _half(times: list[float]) -> float | None:
    return stats.percentile(sorted(times), 50)


def _percentiles(values: list[float]) -> dict[str, float | None]:
    values.sort()
    return {f"p{p}": stats.percentile(values, p) for p in (50, 90, 99)}
