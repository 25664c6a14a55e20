"""What is shown of jobs, runs and all else: plain objects for `--json` and the API, one shape of each."""

from __future__ import annotations

from time import gmtime, strftime

from . import codec, jsontext
from .model import TAG
from .schedule import rate_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .model import Attempt, Dependency, HistoryEntry, Job, Limit, Schedule, WorkerRow


def iso(at_us: int | None) -> str | None:
    """UTC in whole seconds: `2025-11-08T14:00:00Z`.

    >>> iso(1762610400_900_000)
    '2025-11-08T14:00:00Z'
    """
    return None if at_us is None else strftime("%Y-%m-%dT%H:%M:%SZ", gmtime(at_us // 1_000_000))


def iso_exact(at_us: int | None) -> str | None:
    """UTC with microseconds, for attempts and exports, where a second is a long time."""
    return None if at_us is None else f"{strftime('%Y-%m-%dT%H:%M:%S', gmtime(at_us // 1_000_000))}.{at_us % 1_000_000:06d}Z"


def waits_until(job: Job) -> int | None:
    return job.due_us if job.stage in ("later", "held") else None


def job_object(job: Job) -> dict[str, Any]:
    """The job model of the documents first, then ours; the shape of `--json` and of the API."""
    duration = None
    if job.started_us is not None and job.finished_us is not None:
        duration = round((job.finished_us - job.started_us) / 1e6, 6)
    return {
        "id": job.id,
        "command": job.command,
        "state": job.state,
        "attempts": job.attempts,
        "max_retries": job.max_retries,
        "created_at": iso(job.created_us),
        "updated_at": iso(job.updated_us),
        "next_run_at": iso(waits_until(job)),
        "priority": job.priority,
        "timeout": job.timeout_s,
        "run_at": iso(job.run_at_us),
        "started_at": iso(job.started_us),
        "finished_at": iso(job.finished_us),
        "duration_seconds": duration,
        "exit_code": job.exit_code,
        "log_file": log_name(job) if job.run else None,
        "number": job.number,
        "queue": job.queue,
        "waiting_for": waiting_for(job),
        "argv": jsontext.loads(job.work or "[]") if job.kind == "argv" else None,
        "call": call_object(job.work) if job.kind == "call" else None,
        "function": function_object(job.work) if job.kind == "function" else None,
        "reason": job.reason,
        "run": job.run,
        "interruptions": job.interruptions,
        "label": job.label,
        "key": job.key,
        "where": [word[len(TAG) :] for word in job.needs.split() if word.startswith(TAG)],
        "limit_key": job.limit_key,
        "cwd": job.cwd,
    }


def call_object(text: str | None) -> dict[str, Any]:
    from . import calls  # few jobs are calls, and their module is not small

    return calls.shown(codec.call_from(text))


def function_object(text: str | None) -> dict[str, Any]:
    stored = jsontext.loads(text or "{}")
    args, kwargs = jsontext.loads(stored.get("args", "[]")), jsontext.loads(stored.get("kwargs", "{}"))
    return {"name": stored["name"], "args": args, "kwargs": kwargs}


def log_name(job: Job) -> str:
    return f"job_logs/{job.id}.log"


def waiting_for(job: Job) -> str | None:
    """Why a job that has not ended is not running: `time`, `release`, `jobs`, `slot`; null when it runs or has ended.

    >>> from .lifecycle import a_job
    >>> waiting_for(a_job(stage="held"))
    'release'
    """
    return {"ready": "slot", "claimed": "slot", "later": "time", "held": "release", "blocked": "jobs"}.get(job.stage)


def dependency_object(dependency: Dependency) -> dict[str, Any]:
    other = dependency.other
    return {"id": other.id, "condition": dependency.condition, "state": other.state, "decided": dependency.decided}


def attempt_object(attempt: Attempt) -> dict[str, Any]:
    return {
        "run": attempt.run,
        "started_at": iso_exact(attempt.started_us),
        "ended_at": iso_exact(attempt.ended_us),
        "exit_code": attempt.exit_code,
        "reason": attempt.reason,
        "cpu_seconds": attempt.cpu_s,
        "memory_max_bytes": attempt.memory_max,
        "worker": attempt.worker,
        "pid": attempt.pid,
        "log_start": attempt.log_start,
        "log_end": attempt.log_end,
    }


def history_object(entry: HistoryEntry) -> dict[str, Any]:
    return {
        "at": iso_exact(entry.at_us),
        "event": entry.event,
        "stage": entry.stage,
        "run": entry.run,
        "by": entry.actor,
        "note": entry.note,
    }


def limit_object(limit: Limit) -> dict[str, Any]:
    return {
        "key": limit.name,
        "parallel": limit.parallel,
        "rate": rate_text(limit.interval_us),
        "not_before": iso(limit.next_us),
    }


def schedule_object(schedule: Schedule, last: str | None) -> dict[str, Any]:
    return {
        "name": schedule.name,
        "cron": schedule.cron,
        "zone": schedule.zone,
        "overlap": schedule.overlap,
        "catch_up": schedule.catch_up,
        "paused": bool(schedule.paused),
        "next_at": iso(schedule.next_us),
        "jobs": schedule.fired,
        "skipped": schedule.skipped,
        "last_job": last,
        "note": schedule.note,
        "command": template_command(schedule),
    }


def template_command(schedule: Schedule) -> str:
    return str(jsontext.loads(schedule.template)["command"])


def worker_object(row: WorkerRow, running: list[str]) -> dict[str, Any]:
    return {
        "id": row.id,
        "host": row.host,
        "pid": row.pid,
        "slots": row.slots,
        "queues": row.queues.split(",") if row.queues else None,
        "offers": row.offers.split(),
        "started_at": iso(row.started_us),
        "stopping": row.stopping,
        "running": running,
    }
