"""Nouns as a server's answers tell them, and as requests do: jobs, attempts, what shall run."""

from __future__ import annotations

import json

from . import codec, shown
from .errors import NotAllowed
from .model import Argv, Attempt, Call, Function, Job, Options, Shell, Spec
from .schedule import instant_us

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .model import Work


def body_of(spec: Spec) -> dict[str, Any]:
    """What the API is given for a job: what is not default.

    >>> body_of(Spec(work=Argv(("echo", "a b")), priority=5))
    {'argv': ['echo', 'a b'], 'priority': 5}
    """
    if spec.stdin is not None:
        raise NotAllowed("input cannot be sent", why="the queue is behind a server", hint="put it into a file that the job reads")
    found = _work_body(spec.work)
    plain = Spec(work=spec.work)
    for name, (place, _) in codec.FIELDS.items():
        source, usual = (spec.options, plain.options) if place in Options.fields else (spec, plain)
        value = getattr(source, place)
        if value != getattr(usual, place):
            found[name] = _plain(place, value)
    return found


def _plain(place: str, value: Any) -> Any:
    if place == "run_at_us":
        return shown.iso_exact(value)
    return list(value) if isinstance(value, tuple) else value


def _work_body(work: Work) -> dict[str, Any]:
    match work:
        case Shell():
            return {"command": work.text}
        case Argv():
            return {"argv": list(work.words)}
        case Function():
            return {"function": work.name, "args": json.loads(work.args), "kwargs": json.loads(work.kwargs)}
        case Call():
            given = {field: getattr(work, field) for field in Call.fields}
            given["headers"] = dict(work.headers)
            return {field: value for field, value in given.items() if field == "url" or value != Call.defaults.get(field)}


STAGE_OF = {"processing": "running", "completed": "completed", "dead": "dead", "cancelled": "cancelled"}
STAGE_WAITING = {"slot": "ready", "time": "later", "release": "held", "jobs": "blocked"}


def job_of(found: dict[str, Any]) -> Job:
    """The job that the API shows. What it does not show (lane, version, environment) is empty."""
    plain: dict[str, Any] = dict.fromkeys(Job.fields)
    same = ("number", "queue", "command", "state", "priority", "attempts", "max_retries", "interruptions", "run", "label", "key")
    plain |= {name: found[name] for name in (*same, "limit_key", "exit_code", "reason", "cwd")}
    kind, work = _kind_of(found)
    return Job(
        **plain
        | {
            "name": None if found["id"] == str(found["number"]) else found["id"],
            "kind": kind,
            "work": work,
            "stage": STAGE_OF.get(found["state"]) or STAGE_WAITING.get(found["waiting_for"], "ready"),
            "timeout_s": found["timeout"],
            "needs": "",
            "lane": 0,
            "version": 0,
            "run_at_us": instant_of(found["run_at"]),
            "due_us": instant_of(found["next_run_at"]),
            "created_us": instant_of(found["created_at"]),
            "updated_us": instant_of(found["updated_at"]),
            "started_us": instant_of(found["started_at"]),
            "finished_us": instant_of(found["finished_at"]),
        }
    )


def _kind_of(found: dict[str, Any]) -> tuple[str, str | None]:
    for kind in ("argv", "call", "function"):
        if found.get(kind) is not None:
            return kind, json.dumps(found[kind])
    return "shell", None


def instant_of(text: str | None) -> int | None:
    return None if text is None else instant_us(text)


def attempt_of(job: Job, found: dict[str, Any]) -> Attempt:
    return Attempt(
        job=job.number,
        run=found["run"],
        worker=found["worker"],
        pid=found["pid"],
        started_us=instant_of(found["started_at"]) or 0,
        ended_us=instant_of(found["ended_at"]),
        exit_code=found["exit_code"],
        reason=found["reason"],
        cpu_s=found["cpu_seconds"],
        memory_max=found["memory_max_bytes"],
        log_start=found["log_start"],
        log_end=found["log_end"],
    )
