"""Jobs out of one queue and into another: an object per job that holds everything needed to restore it.

What a job wrote stays behind, and so does its environment unless it is asked for: it may hold secrets.
"""

from __future__ import annotations

from base64 import b64decode, b64encode

from . import bell, calls, clock, codec, payload, shown
from .bulk import BulkAdd
from .errors import Conflict, InvalidInput
from .model import (
    BLOCKED,
    CANCELLED,
    COMPLETED,
    DEAD,
    HELD,
    LATER,
    READY,
    STATES,
    Argv,
    Call,
    Function,
    Job,
    Options,
    Shell,
    Spec,
    state_of,
)
from .newjob import new_job
from .record import Record
from .store.dependents import CONDITIONS
from .work import work_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from .model import Stage, State, Work
    from .queue import Queue

NUMBER_MAX = 10**15
STDIN_BYTES_MAX = 64_000_000  # one line of an export holds it whole
SPEC_KEYS = tuple([name for name in codec.FIELDS if name not in ("delay", "run_at", *CONDITIONS)])
OPTION_KEYS = {name: place for name, (place, _) in codec.FIELDS.items() if place in Options.fields}
TIME_KEYS = ("created_at", "updated_at", "run_at", "next_run_at", "started_at", "finished_at")
FACT_KEYS = ("number", "state", "held", "attempts", "interruptions", "exit_code", "reason", "stdin")
SHOWN_KEYS = ("duration_seconds", "log_file", "waiting_for", "run")  # of `list --json`: they follow from the others
WORK_KEYS = ("command", "argv", "call", "function")
KEYS = frozenset((*WORK_KEYS, *SPEC_KEYS, *TIME_KEYS, *FACT_KEYS, *SHOWN_KEYS))


class Entry(Record):
    """A job as it was somewhere else."""

    spec: Spec
    number: int  # the one it had; 0: none, or it is not to be kept
    state: State
    held: bool
    attempts: int | None
    interruptions: int
    exit_code: int | None
    reason: str | None
    times: dict[str, int | None]
    stdin: bytes | None


# ---------------------------------------------------------------- out


def job_line(queue: Queue, job: Job, with_env: bool = False) -> dict[str, Any]:
    """The job as `entry` reads it. Raises InvalidInput when its standard input is too large for one line."""
    options = codec.options_from(job.options)
    line = {
        "id": job.id,
        "number": job.number,
        "command": job.command,
        **_work_object(job),
        "state": job.state,
        "held": job.stage in (HELD, BLOCKED),  # what a job waits for stays behind: somebody must say that it may run
        "attempts": job.attempts,
        "interruptions": job.interruptions,
        "exit_code": job.exit_code,
        "reason": job.reason,
        **{key: getattr(job, key) for key in ("queue", "priority", "max_retries", "key", "limit_key", "label", "cwd", "umask")},
        "where": shown.job_object(job)["where"],
        "timeout": job.timeout_s,
        **{name: shown.iso_exact(at) for name, at in zip(TIME_KEYS, _times(job), strict=True)},
        **{name: getattr(options, place) for name, place in OPTION_KEYS.items()},
        "no_retry": list(options.no_retry),
        "stdin": _stdin(queue, job),
    }
    if with_env:
        line["env"] = {_text(name): _text(value) for name, value in queue.environment(job).items()}
    return line


def _times(job: Job) -> tuple[int | None, ...]:
    return job.created_us, job.updated_us, job.run_at_us, shown.waits_until(job), job.started_us, job.finished_us


def _stdin(queue: Queue, job: Job) -> str | None:
    if job.stdin is None:
        return None
    queue.store.fetch_input(job.stdin, payload.path_of(queue.place, job.stdin))
    with open(payload.path_of(queue.place, job.stdin), "rb") as file:
        content = file.read(STDIN_BYTES_MAX + 1)
    if len(content) > STDIN_BYTES_MAX:
        why = f"its standard input has more than {STDIN_BYTES_MAX} bytes"
        raise InvalidInput(f"job {job.id} cannot be exported", why=why, hint="select other jobs")
    return b64encode(content).decode()


def _text(value: bytes) -> str:
    return value.decode("utf-8", "surrogateescape")


# ---------------------------------------------------------------- in


def entry(value: Any) -> Entry:
    """A job from an object of an export or of `list --json`. Raises InvalidInput naming what is wrong."""
    if not isinstance(value, dict):
        raise InvalidInput("an exported job must be a JSON object")
    unknown = sorted(set(value) - KEYS)
    if unknown:
        raise InvalidInput(f"unknown field {unknown[0][:60]!r}", hint="'queuectl export' writes what import reads")
    given = {key: value[key] for key in SPEC_KEYS if value.get(key) is not None}
    spec = codec.spec(_work(value), given)
    state = value.get("state", "pending")
    if state not in STATES:
        raise InvalidInput(f"unknown state {str(state)[:60]!r}", hint="one of " + ", ".join(STATES), field="state")
    number = codec.whole(value.get("number") or 0, "number", 0, NUMBER_MAX)
    named_by_number = spec.id == str(number)
    return Entry(
        spec=spec.but(id=None) if named_by_number else spec,
        number=number,
        state=state,
        held=codec.truth(value.get("held", False), "held"),
        attempts=_count(value, "attempts"),
        interruptions=_count(value, "interruptions") or 0,
        exit_code=None if value.get("exit_code") is None else codec.whole(value["exit_code"], "exit_code", -(2**31), 2**31),
        reason=codec.label_text(value.get("reason"), "reason"),
        times={name: _moment(value.get(name), name) for name in TIME_KEYS},
        stdin=_bytes(value.get("stdin")),
    )


def _work_object(job: Job) -> dict[str, Any]:
    """What it runs, whole: a call with its headers, whatever they hold."""
    match work_of(job):
        case Argv() as argv:
            return {"argv": list(argv.words)}
        case Call() as call:
            return {"call": calls.call_object(call)}
        case Function():
            return {"function": shown.function_object(job.work)}
        case _:
            return {"argv": None}


def _work(value: dict[str, Any]) -> Work:
    if value.get("argv") is not None:
        return Argv(codec.words(value["argv"]))
    call, function = value.get("call"), value.get("function")
    for field, object_ in (("call", call), ("function", function)):
        if object_ is not None and not isinstance(object_, dict):
            raise InvalidInput(f"{field} must be an object", field=field)
    if call is not None:
        unknown = sorted(set(call) - set(calls.FIELDS))
        if unknown or "url" not in call:
            what = f"unknown field {unknown[0][:60]!r} in call" if unknown else "call names no url"
            raise InvalidInput(what, field="call")
        return calls.taken_from(dict(call))
    if function is not None:
        return codec.function(function.get("name"), function.get("args", []), function.get("kwargs", {}))
    if "command" not in value:
        raise InvalidInput("command is missing", field="command")
    return Shell(codec.command_text(value["command"]))


def _count(value: dict[str, Any], name: str) -> int | None:
    return None if value.get(name) is None else codec.whole(value[name], name, 0, 10**9)


def _moment(value: Any, field: str) -> int | None:
    """Microseconds since 1970 from ISO-8601, or from seconds since 1970, as some programs write them."""
    if value is None:
        return None
    if isinstance(value, (int, float)):
        return round(codec.seconds(value, field) * 1e6)
    return codec.instant(value, field)


def _bytes(value: Any) -> bytes | None:
    try:
        return None if value is None else b64decode(value, validate=True)
    except (ValueError, TypeError):
        raise InvalidInput("stdin is not base64", field="stdin") from None


def as_it_was(job: Job, was: Entry, now: int) -> Job:
    """A new job put into the state it had elsewhere. What ran there is no run of ours: it waits to run again.

    >>> from .lifecycle import a_job
    >>> dead = entry({"command": "false", "state": "dead", "attempts": 4})
    >>> [getattr(as_it_was(a_job(), dead, 0), name) for name in ("state", "attempts")]
    ['dead', 4]
    """
    times = was.times
    due = times["next_run_at"] or times["run_at"]
    stage = _stage(was, due, now)
    attempts = was.attempts if was.attempts is not None else _likely_attempts(was.state, job.max_retries)
    cut = was.state == "processing"
    return job.but(
        stage=stage,
        state=state_of(stage, attempts),
        attempts=attempts,
        interruptions=was.interruptions,
        run_at_us=times["run_at"],
        due_us=due if stage in (LATER, HELD) else None,
        created_us=times["created_at"] or now,
        updated_us=times["updated_at"] or now,
        started_us=None if cut else times["started_at"],
        finished_us=None if cut else times["finished_at"],
        exit_code=None if cut else was.exit_code,
        reason=was.reason,
    )


def _stage(was: Entry, due: int | None, now: int) -> Stage:
    ended: dict[str, Stage] = {"completed": COMPLETED, "dead": DEAD, "cancelled": CANCELLED}
    if was.state in ended:
        return ended[was.state]
    if was.held:
        return HELD
    return LATER if due is not None and due > now else READY


def _likely_attempts(state: State, max_retries: int) -> int:
    """For files that do not tell."""
    return {"completed": 1, "failed": 1, "dead": max_retries + 1}.get(state, 0)


class Restoring(BulkAdd):
    """`with Restoring(queue) as restoring: restoring.add(entry)`: all of them at the end of the block, or none.

    A job that had no id but its number keeps the number where it was never used here; else the number becomes its id.
    """

    def __init__(self, queue: Queue) -> None:
        super().__init__(queue, Spec(work=Shell("-")))
        self._actor = f"import by {queue.actor}"
        self._payloads: list[str] = []

    def add(self, was: Entry) -> None:
        if was.stdin is not None:
            self._payloads.append(payload.store_bytes(self._queue.place, was.stdin))
            was = was.but(spec=was.spec.but(stdin=self._payloads[-1]))
        super().add(was)

    def _rows(self, entries: list[Entry]) -> list[Job]:
        store, now = self._queue.store, clock.now_us()
        first = free = store.take_numbers(0)
        jobs = []
        for was in entries:
            spec, number = was.spec, was.number
            if number < free:
                spec = spec if spec.id is not None or not number else spec.but(id=str(number))
                number = free
            free = number + 1
            job = as_it_was(new_job(spec, self._origin(spec), self._config, now), was, now)
            jobs.append(job.but(number=number, lane=self._lane(job, first)))
        store.take_numbers(free - first)
        self._refuse_known(jobs)
        return jobs

    def _refuse_known(self, jobs: list[Job]) -> None:
        ids: set[str] = set()
        keys: set[tuple[str, str]] = set()
        for job in jobs:
            if job.id in ids or self._queue.store.job_by_id(job.id):
                raise Conflict(f"job {job.id} exists already", hint="nothing was imported")
            if job.key is not None:
                if (job.queue, job.key) in keys or self._queue.store.job_by_key(job.queue, job.key):
                    raise Conflict(f"key {job.key!r} of job {job.id} is taken", hint="nothing was imported")
                keys.add((job.queue, job.key))
            ids.add(job.id)

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        done = False
        try:
            super().__exit__(kind, *rest)
            done = kind is None
        finally:
            for name in [] if done else self._payloads:
                payload.remove(self._queue.place, name)


def restore(queue: Queue, entries: Iterable[Entry]) -> int:
    """Put jobs into the queue as they were elsewhere, all or none; returns how many. Raises Conflict."""
    with Restoring(queue) as restoring:
        for was in entries:
            restoring.add(was)
    queue.heard = queue.ring(bell.WORK)
    return restoring.added
