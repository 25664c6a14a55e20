"""The table of what can be asked of a queue from afar: name, method, path, arguments, verb.

The routes of the API, its OpenAPI document, docs/api.md and the Python client are all made from `OPERATIONS`. A row's
`run` calls a verb of the queue and gives back plain JSON; no rule about jobs is written down here.
"""

from __future__ import annotations

import os

from . import clock, codec, config, dependencies, limits, report, spools, workers
from .adding import add_array
from .errors import Conflict, InvalidInput, NotFound
from .model import ENDED, Query
from .record import Record
from .schedule import SECONDS_MAX, interval_us
from .select import checked_states
from .store import pages, stats
from .store.pages import Wanted

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, TypeAlias

    from .model import Job
    from .queue import Queue

    Given: TypeAlias = dict[str, Any]
    Schema: TypeAlias = dict[str, Any]

BASE = "/api/v1"
PAGE_MAX = 500
ARRAY_MAX = 20_000  # jobs of one request
ACT_MAX = 100_000  # jobs that one request may change
ACT_AT_ONCE = 500
WAIT_S_MAX = 60


class Argument(Record):
    """One thing that may be given: where (path, query, body), its schema, what it means, what accepts it."""

    name: str
    where: str
    schema: Schema
    about: str
    check: Callable[[Any], Any]
    required: bool = False


class Operation(Record):
    """One row. `kind` says how a door serves it: `json`, `bytes` and `stream` read files and follow changes, `add` may
    share a commit with others. `gives` is the schema of a good answer."""

    name: str
    method: str
    path: str
    about: str
    run: Callable[[Queue, Given], Any] | None
    arguments: tuple[Argument, ...] = ()
    writes: bool = False
    kind: str = "json"
    status: int = 200
    gives: Schema = {}  # noqa: RUF012 - a record's default, never changed

    @property
    def takes_body(self) -> bool:
        return any(argument.where == "body" for argument in self.arguments) or self.kind == "add"


def checked(operation: Operation, where: str, values: Given) -> Given:
    """The arguments of one place, each checked. Raises InvalidInput naming the first that is wrong or unknown."""
    known = {argument.name: argument for argument in operation.arguments if argument.where == where}
    for name in values:
        if name not in known:
            hint = "known: " + ", ".join(known) if known else "none is taken here"
            raise InvalidInput(f"unknown {'parameter' if where == 'query' else 'field'} {name[:60]!r}", hint=hint, field=name[:60])
    for name, argument in known.items():
        if argument.required and name not in values:
            raise InvalidInput(f"{name} is missing", hint=argument.about, field=name)
    return {name: known[name].check(value) for name, value in values.items()}


# ---------------------------------------------------------------- schemas


TEXT: Schema = {"type": "string"}
BOOL: Schema = {"type": "boolean"}
TIME: Schema = {"type": "string", "format": "date-time"}
JOB: Schema = {"$ref": "#/components/schemas/Job"}
JOBS: Schema = {"type": "array", "items": JOB}
SECONDS: Schema = {"oneOf": [{"type": "number", "minimum": 0, "maximum": SECONDS_MAX}, {"type": "string"}]}
BYTES: Schema = {"oneOf": [{"type": "integer", "minimum": 0, "maximum": codec.BYTES_MAX}, {"type": "string"}]}
ID: Schema = {"type": "string", "minLength": 1, "maxLength": 128, "pattern": "^[A-Za-z0-9][A-Za-z0-9._-]*$"}
LINE: Schema = {"type": "string", "minLength": 1, "maxLength": 255}
MANY_LINES: Schema = {"type": "array", "items": TEXT}


def whole(least: int, most: int) -> Schema:
    return {"type": "integer", "minimum": least, "maximum": most}


def one_of(*choices: str) -> Schema:
    return {"type": "string", "enum": list(choices)}


def nullable(schema: Schema) -> Schema:
    if isinstance(schema.get("type"), str) and "enum" not in schema:
        return {**schema, "type": [schema["type"], "null"]}
    return {"oneOf": [*schema.get("oneOf", [schema]), {"type": "null"}]}


def obj(required: tuple[str, ...] = (), **properties: Schema) -> Schema:
    return {"type": "object", "properties": properties, **({"required": list(required)} if required else {})}


def several(name: str, items: Schema | None = None) -> Schema:
    return obj((name,), **{name: {"type": "array", "items": items or {"type": "object"}}})


# Every field that a job may be given, see `codec.FIELDS`.
JOB_FIELDS: dict[str, Schema] = {
    "command": {**TEXT, "description": "shell text"},
    "argv": {**MANY_LINES, "minItems": 1, "description": "a program and its arguments, run without a shell"},
    "id": {"oneOf": [ID, {"type": "integer"}, {"type": "null"}]},
    "queue": ID,
    "priority": whole(-codec.PRIORITY_MAX, codec.PRIORITY_MAX),
    "max_retries": nullable(whole(0, codec.RETRIES_MAX)),
    "timeout": nullable(SECONDS),
    "delay": nullable(SECONDS),
    "run_at": nullable(TIME),
    "key": nullable(LINE),
    "url": {**TEXT, "description": "an HTTP call instead of a command"},
    "method": TEXT,
    "headers": {"type": "object", "additionalProperties": TEXT},
    "body": nullable(TEXT),
    "expect_status": TEXT,
    "expect_body": nullable(TEXT),
    "redirects": whole(0, 50),
    "verify": BOOL,
    "proxy": nullable(TEXT),
    "sign": nullable(TEXT),
    "function": {**TEXT, "description": "a Python function that a worker has registered"},
    "args": {"type": "array"},
    "kwargs": {"type": "object"},
    "after": MANY_LINES,
    "after_any": MANY_LINES,
    "after_failed": MANY_LINES,
    "where": MANY_LINES,
    "callback": nullable(TEXT),
    "callback_sign": nullable(TEXT),
    "limit_key": nullable(LINE),
    "label": nullable(LINE),
    "cwd": nullable(TEXT),
    "umask": nullable(whole(0, 0o777)),
    "env": nullable({"type": "object", "additionalProperties": TEXT}),
    "if_interrupted": one_of("rerun", "hold", "fail"),
    "no_retry": {"type": "array", "items": whole(-64, 255)},
    "grace": nullable(SECONDS),
    "stderr_apart": BOOL,
    "leftovers": one_of("leave", "kill"),
    "memory": nullable(BYTES),
    "processes": nullable(whole(1, 10**7)),
    "cpu_time": nullable(SECONDS),
    "nice": nullable(whole(-20, 19)),
    "max_output": nullable(BYTES),
}


# ---------------------------------------------------------------- arguments


def _text(value: Any, name: str, longest: int) -> str:
    if not isinstance(value, str) or not 0 < len(value) <= longest or "\0" in value or not _encodable(value):
        raise InvalidInput(f"{name} must be text of 1 to {longest} characters", field=name)
    return value


def _encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:  # half of a surrogate pair, as JSON can spell it
        return False
    return True


def _flag(value: Any, name: str) -> bool:
    """A switch: JSON's own, or as a query spells it."""
    known = {"true": True, "1": True, "": True, "false": False, "0": False}
    found = value if isinstance(value, bool) else known.get(value) if isinstance(value, str) else None
    if found is None:
        raise InvalidInput(f"{name} must be true or false", field=name)
    return found


def _object(value: Any, name: str) -> Given:
    if not isinstance(value, dict):
        raise InvalidInput(f"{name} must be an object", field=name)
    return value


def _ids(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list) or len(value) > ACT_MAX:
        raise InvalidInput(f"ids must be a list of at most {ACT_MAX} ids", field="ids")
    return tuple(_text(str(one) if isinstance(one, int) else one, "ids", 128) for one in value)


def _states(value: Any) -> tuple[str, ...]:
    return checked_states([_text(value, "state", 200)])


def _parallel(value: Any) -> int | None:
    return None if value is None else codec.whole(value, "parallel", 1, 1_000_000)


def _rate(value: Any) -> int | None:
    return None if value is None else interval_us(_text(value, "rate", 40))


JOB_ID = Argument("id", "path", ID, "a job's id", lambda v: _text(v, "id", 128), required=True)
NAME = Argument("name", "path", ID, "a queue's name", codec.queue_name, required=True)
SPOOL = NAME.but(about="a spool's name", check=lambda v: codec.queue_name(v))
KEY = Argument("key", "path", LINE, "a limit key", lambda v: _text(v, "key", 255), required=True)
WORKER = Argument("id", "path", whole(1, 2**62), "a worker's number", lambda v: codec.whole(v, "id", 1, 2**62), required=True)
PARALLEL = Argument("parallel", "body", nullable(whole(1, 1_000_000)), "how many may run at once; null: no limit", _parallel)
RATE = Argument("rate", "body", nullable(TEXT), "how often one may start: 10/s, 30/min, 100/h; null: no limit", _rate)
STATE_LIST: Schema = {"type": "string", "pattern": "^[a-z]+(,[a-z]+)*$"}


def limit(default: int, most: int = PAGE_MAX) -> Argument:
    about = f"how many at most, {default} unless said"
    return Argument("limit", "query", whole(1, most), about, lambda v: codec.whole(v, "limit", 1, most))


FILTERS = (
    Argument("state", "query", STATE_LIST, "only jobs in these states, with commas between", _states),
    Argument("queue", "query", ID, "only jobs of this queue", codec.queue_name),
    Argument("label", "query", LINE, "only jobs with this label", lambda v: codec.label_text(v)),
    Argument(
        "q", "query", {**LINE, "maxLength": 500}, "only jobs with this text in id, command or label", lambda v: _text(v, "q", 500)
    ),
    Argument("since", "query", TIME, "only jobs added at or after this moment", lambda v: codec.instant(v, "since")),
    Argument(
        "reason",
        "query",
        LINE,
        "only jobs whose latest run ended for this reason; none: by itself",
        lambda v: _text(v, "reason", 255),
    ),
    Argument(
        "exit_code", "query", whole(-64, 999), "only jobs with this exit status", lambda v: codec.whole(v, "exit_code", -64, 999)
    ),
)
PLACES = {"state": "states", "q": "text", "since": "since_us"}  # filter → field of Wanted, where they differ


def wanted(given: Given) -> Wanted:
    """The filters that were given, as a noun."""
    names = {*[f.name for f in FILTERS], "sort", "limit", "after"}
    return Wanted(**{PLACES.get(name, name): value for name, value in given.items() if name in names})


def _where(value: Any) -> Given:
    """The same filters as a JSON object."""
    found = _object(value, "where")
    operation = Operation("", "", "", "", None, tuple(f.but(where="query") for f in FILTERS))
    if isinstance(found.get("state"), list):
        found = {**found, "state": ",".join([_text(state, "state", 20) for state in found["state"]])}
    return checked(operation, "query", found)


# ---------------------------------------------------------------- what they do


def list_jobs(queue: Queue, given: Given) -> Any:
    jobs, following = pages.page(queue.store, wanted(given))
    return {"jobs": [codec.job_object(job) for job in jobs], "next": following}


def delete_job(queue: Queue, given: Given) -> Any:
    job = queue.get(given["id"])
    if not job.ended:
        raise Conflict(f"job {job.id} cannot be removed", why=f"it is {job.state}", hint="cancel it first")
    queue.prune(Query(ids=(job.id,)))
    return codec.job_object(job)


def changing(verb: str) -> Callable[[Queue, Given], Any]:
    """One verb, applied to one job that must allow it."""

    def run(queue: Queue, given: Given) -> Any:
        changed = getattr(queue, verb)(given["id"])
        return codec.job_object(changed[0] if changed else queue.get(given["id"]))

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
    from .lifecycle import RULES

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
    return {"dependants": [codec.job_object(d.other) for d in found]}


def explain(queue: Queue, given: Given) -> Any:
    from .explain import explain as reasons

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
    return next(codec.limit_object(row) for row in limits.of_keys(queue) if row.name == given["key"])


def remove_limit(queue: Queue, given: Given) -> Any:
    limits.remove_key(queue, given["key"])
    return {"key": given["key"]}


def attach_spool(queue: Queue, given: Given) -> Any:
    terms = spools.Terms(command=given["command"], queue=given.get("queue", "default"))
    name = given.get("name") or os.path.basename(os.path.realpath(given["folder"]))
    return spools.shown(queue, spools.attach(queue, name, given["folder"], terms, os.environb))


def detach_spool(queue: Queue, given: Given) -> Any:
    return {"name": given["name"], "detached": spools.detach(queue, given["name"])}


def retry_spool(queue: Queue, given: Given) -> Any:
    return spools.shown(queue, spools.retry(queue, given["name"]))


def skip_spool(queue: Queue, given: Given) -> Any:
    return {"name": given["name"], "skipped": spools.skip(queue, given["name"], given.get("number"))}


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


def _setting(name: str) -> Callable[[Any], Any]:
    return lambda value: None if value is None else config.checked(name, value)


# ---------------------------------------------------------------- the table


def fields(names: tuple[str, ...], about: str = "as for a new job") -> tuple[Argument, ...]:
    """Fields of a job, in a body; their checks come with the verb."""
    return tuple(Argument(name, "body", JOB_FIELDS.get(name, {}), about, lambda value: value) for name in names)


PARTIAL = Argument(
    "partial", "query", BOOL, "an array: add what can be added, and say of each what became of it", lambda v: _flag(v, "partial")
)
RUN = Argument("run", "query", whole(1, 10**9), "only this run", lambda v: codec.whole(v, "run", 1, 10**9))
STREAM = Argument(
    "stream", "query", one_of("out", "err"), "of a job that keeps stderr apart", lambda v: codec.one_of(v, "stream", ("out", "err"))
)
OFFSET = Argument("offset", "query", whole(0, 2**62), "begin at this byte", lambda v: codec.whole(v, "offset", 0, 2**62))
DOWNLOAD = Argument("download", "query", BOOL, "as a file to be saved", lambda v: _flag(v, "download"))
WAIT = Argument(
    "wait",
    "query",
    {"type": "number", "minimum": 0, "maximum": WAIT_S_MAX},
    "answer when the job has ended, or after so many seconds",
    lambda v: min(float(WAIT_S_MAX), codec.seconds(v, "wait")),
)
SORT = Argument(
    "sort",
    "query",
    one_of(*pages.SORTS),
    "newest, oldest, by latest change, or (ready jobs) as they will start",
    lambda v: codec.one_of(v, "sort", pages.SORTS),
)
AFTER = Argument("after", "query", {**TEXT, "maxLength": 60}, "'next' of the page before", lambda v: _text(v, "after", 60))
SPAN = Argument("span", "query", one_of(*report.SPANS), "hour unless said", lambda v: codec.one_of(v, "span", tuple(report.SPANS)))
ACTIONS = ("retry", "cancel", "hold", "release", "delete", "priority")
EDITED = (
    "command",
    "argv",
    "url",
    "function",
    "args",
    "kwargs",
    "priority",
    "label",
    "timeout",
    "max_retries",
    "run_at",
    "delay",
    "queue",
    "limit_key",
)


def verb(name: str, about: str) -> Operation:
    return Operation(name, "POST", f"/jobs/{{id}}/{name}", about, changing(name), (JOB_ID,), writes=True, gives=JOB)


OPERATIONS: tuple[Operation, ...] = (
    Operation(
        "list",
        "GET",
        "/jobs",
        "A page of jobs; `next` is the cursor of the page after it.",
        list_jobs,
        (*FILTERS, SORT, limit(100), AFTER),
        gives=obj(("jobs", "next"), jobs=JOBS, next=nullable(TEXT)),
    ),
    Operation(
        "add",
        "POST",
        "/jobs",
        "Add a job, or an array of jobs: all or none, unless `partial`.",
        None,
        (PARTIAL,),
        writes=True,
        kind="add",
        status=201,
        gives=JOB,
    ),
    Operation(
        "act",
        "POST",
        "/jobs/actions",
        "Do the same to many jobs; those that do not allow it are passed over.",
        act,
        (
            Argument("action", "body", one_of(*ACTIONS), "what to do", lambda v: codec.one_of(v, "action", ACTIONS), required=True),
            Argument("ids", "body", {"type": "array", "items": TEXT}, "these jobs", _ids),
            Argument("where", "body", {"type": "object"}, "the jobs that these filters of the list mean", _where),
            Argument("value", "body", {}, "the priority", lambda v: v),
            Argument("dry_run", "body", BOOL, "only count", lambda v: _flag(v, "dry_run")),
        ),
        writes=True,
        gives=obj(("matched", "changed"), matched=whole(0, ACT_MAX), changed=whole(0, ACT_MAX)),
    ),
    Operation(
        "get",
        "GET",
        "/jobs/{id}",
        "One job; with `wait`, once it has ended.",
        lambda q, g: codec.job_object(q.get(g["id"])),
        (JOB_ID, WAIT),
        kind="wait",
        gives=JOB,
    ),
    Operation(
        "edit",
        "PATCH",
        "/jobs/{id}",
        "Change a job that waits.",
        lambda q, g: codec.job_object(q.edit(g.pop("id"), **g)),
        (JOB_ID, *fields(EDITED)),
        writes=True,
        gives=JOB,
    ),
    Operation(
        "delete",
        "DELETE",
        "/jobs/{id}",
        "Remove a job that has ended, with its log and history.",
        delete_job,
        (JOB_ID,),
        writes=True,
        gives=JOB,
    ),
    verb("cancel", "End it, or keep it from starting."),
    verb("hold", "Keep it from starting until it is released."),
    verb("release", "Let a held job run."),
    verb("retry", "Run a dead, cancelled or failed job again."),
    Operation(
        "rerun",
        "POST",
        "/jobs/{id}/rerun",
        "Add the same again as a new job.",
        lambda q, g: codec.job_object(q.rerun(g["id"])),
        (JOB_ID,),
        writes=True,
        status=201,
        gives=JOB,
    ),
    Operation(
        "attempts",
        "GET",
        "/jobs/{id}/attempts",
        "Its runs.",
        lambda q, g: {"attempts": [codec.attempt_object(a) for a in q.attempts(q.get(g["id"]))]},
        (JOB_ID,),
        gives=several("attempts"),
    ),
    Operation(
        "history",
        "GET",
        "/jobs/{id}/history",
        "Its changes.",
        lambda q, g: {"history": [codec.history_object(h) for h in q.history(q.get(g["id"]))]},
        (JOB_ID,),
        gives=several("history"),
    ),
    Operation(
        "explain",
        "GET",
        "/jobs/{id}/explain",
        "Why it waits, or how it ended.",
        explain,
        (JOB_ID,),
        gives=obj(("id", "state", "reasons"), id=TEXT, state=TEXT, reasons=MANY_LINES),
    ),
    Operation(
        "dependants",
        "GET",
        "/jobs/{id}/dependants",
        "The jobs that wait for it.",
        dependants,
        (JOB_ID,),
        gives=several("dependants"),
    ),
    Operation(
        "log",
        "GET",
        "/jobs/{id}/log",
        "What it wrote, as bytes; `Range` is understood.",
        None,
        (JOB_ID, RUN, STREAM, DOWNLOAD),
        kind="bytes",
    ),
    Operation(
        "follow",
        "GET",
        "/jobs/{id}/log/stream",
        "What it writes, as server-sent events: `output`, then `end`.",
        None,
        (JOB_ID, OFFSET),
        kind="stream",
    ),
    Operation(
        "queues",
        "GET",
        "/queues",
        "The queues, their switches, limits and counts.",
        lambda q, g: {"queues": report.queues(q, clock.now_us())},
        gives=several("queues"),
    ),
    Operation(
        "set_queue",
        "PATCH",
        "/queues/{name}",
        "Pause a queue, or limit it.",
        set_queue,
        (
            NAME,
            Argument("paused", "body", BOOL, "start no more jobs of it", lambda v: codec.truth(v, "paused")),
            PARALLEL,
            RATE,
        ),
        writes=True,
        gives={"type": "object"},
    ),
    Operation(
        "limits",
        "GET",
        "/limits",
        "The limits of keys.",
        lambda q, g: {"limits": [codec.limit_object(row) for row in limits.of_keys(q)]},
        gives=several("limits"),
    ),
    Operation(
        "set_limit",
        "PUT",
        "/limits/{key}",
        "Limit all jobs with this limit key.",
        set_limit,
        (KEY, PARALLEL, RATE),
        writes=True,
        gives={"type": "object"},
    ),
    Operation(
        "remove_limit",
        "DELETE",
        "/limits/{key}",
        "Remove the limit of a key.",
        remove_limit,
        (KEY,),
        writes=True,
        gives=obj(key=TEXT),
    ),
    Operation(
        "workers",
        "GET",
        "/workers",
        "Who runs, since when, on what.",
        lambda q, g: {"workers": report.workers(q)},
        gives=several("workers"),
    ),
    Operation(
        "stop_worker",
        "POST",
        "/workers/{id}/stop",
        "Ask a worker to end.",
        stop_worker,
        (
            WORKER,
            Argument(
                "how",
                "body",
                one_of("finish", "now", "leave"),
                "finish what runs, end it, or leave it running",
                lambda v: codec.one_of(v, "how", ("finish", "now", "leave")),
            ),
        ),
        writes=True,
        gives={"type": "object"},
    ),
    Operation(
        "spools",
        "GET",
        "/spools",
        "The attached folders of packets: which packet is next, and what they are at.",
        lambda q, g: {"spools": [spools.shown(q, spool) for spool in spools.all_of(q.store)]},
        gives=several("spools"),
    ),
    Operation(
        "attach_spool",
        "POST",
        "/spools",
        "Attach a folder of packets: a program is run for each, in their order.",
        attach_spool,
        (
            Argument("folder", "body", TEXT, "where it is, on the server", lambda v: _text(v, "folder", 4096), required=True),
            Argument("command", "body", MANY_LINES, "the program and its arguments", codec.words, required=True),
            Argument("name", "body", ID, "its name, the folder's unless said", lambda v: codec.queue_name(v)),
            Argument("queue", "body", ID, "the queue of its jobs, default unless said", codec.queue_name),
        ),
        writes=True,
        status=201,
        gives={"type": "object"},
    ),
    Operation(
        "detach_spool",
        "DELETE",
        "/spools/{name}",
        "Take no more packets of it; a packet that is on its way comes to its end.",
        detach_spool,
        (SPOOL,),
        writes=True,
        gives={"type": "object"},
    ),
    Operation(
        "retry_spool",
        "POST",
        "/spools/{name}/retry",
        "Run the packet again at which it has stopped.",
        retry_spool,
        (SPOOL,),
        writes=True,
        gives={"type": "object"},
    ),
    Operation(
        "skip_spool",
        "POST",
        "/spools/{name}/skip",
        "Go on after the packet at which it has stopped, or for which it waits in vain.",
        skip_spool,
        (
            SPOOL,
            Argument("number", "body", whole(0, 2**63), "only if it is this one", lambda v: codec.whole(v, "number", 0, 2**63)),
        ),
        writes=True,
        gives={"type": "object"},
    ),
    Operation(
        "status",
        "GET",
        "/status",
        "How many jobs are in each state, who works, what is wrong.",
        lambda q, g: report.overview(q),
        gives={"type": "object"},
    ),
    Operation(
        "metrics",
        "GET",
        "/metrics",
        "Throughput, success rate, durations.",
        lambda q, g: stats.metrics(q.store, clock.now_us()),
        gives={"type": "object"},
    ),
    Operation(
        "series",
        "GET",
        "/series",
        "How it went over time.",
        lambda q, g: report.series(q, g.get("span", "hour"), clock.now_us()),
        (SPAN,),
        gives=obj(("step_s", "points"), step_s={"type": "integer"}, points={"type": "array"}),
    ),
    Operation(
        "dead",
        "GET",
        "/dead",
        "The dead-letter queue, by reason.",
        lambda q, g: report.dead(q, g.get("limit", report.DEAD_GROUPS)),
        (limit(100, 100),),
        gives=obj(("groups", "total"), groups={"type": "array"}, total={"type": "integer"}),
    ),
    Operation(
        "schedule",
        "GET",
        "/schedule",
        "What is due next.",
        lambda q, g: {"jobs": report.schedule(q, g.get("limit", 100))},
        (limit(100),),
        gives=several("jobs", JOB),
    ),
    Operation("config", "GET", "/config", "The settings.", settings, gives=several("settings")),
    Operation(
        "set_config",
        "PATCH",
        "/config",
        "Change settings; null puts one back.",
        set_config,
        tuple(Argument(name, "body", {}, about, _setting(name)) for name, (_, about) in config.SETTINGS.items()),
        writes=True,
        gives=several("settings"),
    ),
    Operation("events", "GET", "/events", "What happens, as server-sent events; `Last-Event-ID` resumes.", None, kind="stream"),
)
BY_NAME: dict[str, Operation] = {operation.name: operation for operation in OPERATIONS}

__all__ = ["ARRAY_MAX", "BASE", "BY_NAME", "OPERATIONS", "Argument", "Operation", "add_array", "checked"]
