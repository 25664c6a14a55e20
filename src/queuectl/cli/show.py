"""queuectl show."""

from __future__ import annotations

from .. import dependencies, envs, jsontext, shown
from .command import JSON, Arguments, Command, Option
from .open import the_queue
from .text import out, safe, took

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ..model import Job
    from ..queue import Queue


LISTS = ("awaits", "awaited_by", "attempts_made", "history", "environment")


def run(arguments: Arguments) -> int:
    with the_queue() as queue:
        job = queue.get(arguments.words[0])
        found = everything(queue, job, bool(arguments.env))
    if arguments.json:
        out(jsontext.dumps(found) + "\n")
        return 0
    for name, value in found.items():
        if name not in LISTS and value is not None:
            out(f"{name + ':':<18}{safe(str(value))}\n")
    for name in ("awaits", "awaited_by"):
        for one in found[name]:
            out(f"{name + ':':<18}{safe(one['id'])}, {safe(one['condition'])}, {one['state']}\n")
    for attempt in found["attempts_made"]:
        out(f"run {attempt['run']}:".ljust(18) + safe(_attempt(attempt)) + "\n")
    for entry in found["history"]:
        note = f" ({entry['note']})" if entry["note"] else ""
        out(f"{'':<18}{entry['at']}  {safe(entry['event'])} → {safe(entry['stage'])}, by {safe(entry['by'])}{safe(note)}\n")
    for name, value in found.get("environment", {}).items():
        out(f"  {safe(name)}={safe(value)}\n")
    return 0


def everything(queue: Queue, job: Job, with_env: bool) -> dict[str, Any]:
    found = {
        **shown.job_object(job),
        "awaits": [shown.dependency_object(d) for d in dependencies.of(queue.store, job)],
        "awaited_by": [shown.dependency_object(d) for d in dependencies.dependants(queue.store, job)],
        "attempts_made": [shown.attempt_object(a) for a in queue.attempts(job)],
        "history": [shown.history_object(h) for h in queue.history(job)],
    }
    if with_env:
        found["environment"] = envs.masked(queue.environment(job))
    return found


def _attempt(attempt: dict[str, Any]) -> str:
    parts = [f"started {attempt['started_at']}"]
    if attempt["ended_at"]:
        parts.append(f"ended {attempt['ended_at']}")
        parts.append(attempt["reason"] or "")
        parts.append(f"exit {attempt['exit_code']}" if attempt["exit_code"] is not None else "")
    if attempt["cpu_seconds"] is not None:
        parts.append(f"cpu {took(attempt['cpu_seconds'])}")
        parts.append(f"memory {attempt['memory_max_bytes'] / 1e6:.1f} MB" if attempt["memory_max_bytes"] else "")
    return ", ".join([part for part in parts if part])


COMMANDS = {
    "show": Command(
        run,
        options=(JSON, Option(("--env",), "its environment too, secrets masked")),
        words="JOB",
        least=1,
        most=1,
        example="queuectl show 7",
    )
}
