"""What an operation is and what can be given to it: arguments, each with its place, its schema and what accepts it."""

from __future__ import annotations

from .. import codec, config, report
from ..errors import InvalidInput
from ..record import Record
from ..schedule import SECONDS_MAX, interval_us
from ..select import checked_states
from ..store import pages
from ..store.pages import Wanted

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, TypeAlias

    from ..queue import Queue

    Given: TypeAlias = dict[str, Any]
    Schema: TypeAlias = dict[str, Any]

BASE = "/api/v1"
PAGE_MAX = 500
ARRAY_MAX = 20_000  # jobs of one request
IDS_MAX = 100_000  # jobs that one request may name
ACT_S = 10.0  # a request that changes many jobs is answered after so long, with the place to go on from
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
    share a commit with others, `long` takes its time and holds nobody up. `gives` is the schema of a good answer."""

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
    if not isinstance(value, list) or len(value) > IDS_MAX:
        raise InvalidInput(f"ids must be a list of at most {IDS_MAX} ids", field="ids")
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
SCHEDULE = NAME.but(about="a schedule's name", check=lambda v: codec.queue_name(v))
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


def setting(name: str) -> Callable[[Any], Any]:
    return lambda value: None if value is None else config.checked(name, value)


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
EVERY = Argument("every", "query", BOOL, "every change, however many: never `many`", lambda v: _flag(v, "every"))
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
