"""Nouns ⇄ plain JSON: strict in what is accepted, one shape in what is shown."""

from __future__ import annotations

from . import jsontext
from .errors import InvalidInput
from .model import Argv, Call, Function, Options, Shell, Spec
from .schedule import SECONDS_MAX, duration_s, instant_us

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from .model import Work

PRIORITY_MAX = 2**31 - 1
RETRIES_MAX = 1_000_000
ARGUMENT_MAX = 131_071  # Linux refuses a longer single argument at exec; shell text is one argument of sh
ID_LENGTH_MAX = 128
AWAITED_MAX = 1000  # jobs that one job may wait for
ID_FIRST = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789")
ID_REST = ID_FIRST | frozenset("._-")
ARGUMENTS_MAX = 50_000  # bytes of JSON that a function may be given: they come to its process as one variable
SELECTION_WORDS = frozenset(("all", "last", "none"))
SIZES = {"k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12}
BYTES_MAX = 2**62


# ---------------------------------------------------------------- what comes in


def job_id(value: Any) -> str | None:
    """A job id as text. A JSON number is taken as text.

    >>> job_id("build-7"), job_id(12)
    ('build-7', '12')
    """
    if value is None:
        return None
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str):
        raise InvalidInput("id must be text", why=f"it is {_kind(value)}", field="id")
    if not value or value[0] not in ID_FIRST or not ID_REST.issuperset(value) or len(value) > ID_LENGTH_MAX:
        hint = f"1 to {ID_LENGTH_MAX} of A-Z a-z 0-9 . _ -, the first a letter or digit"
        raise InvalidInput(f"id {_short(value)} is not allowed", hint=hint, field="id")
    if value in SELECTION_WORDS or value.startswith("last-") or _is_range(value):
        raise InvalidInput(f"id {value!r} is not allowed", why="it means a selection of jobs", field="id")
    return value


def _is_range(text: str) -> bool:
    left, dash, right = text.partition("-")
    return bool(dash) and left.isdigit() and right.isdigit()


def queue_name(value: Any) -> str:
    return _name(value, "queue", "queue name")


def _name(value: Any, field: str, what: str) -> str:
    if not isinstance(value, str) or not value or value[0] not in ID_FIRST or not ID_REST.issuperset(value):
        hint = "use letters, digits, . _ -, the first a letter or digit"
        raise InvalidInput(f"{what} {_short(value)} is not allowed", hint=hint, field=field)
    if len(value) > ID_LENGTH_MAX:
        raise InvalidInput(f"{what} is longer than {ID_LENGTH_MAX} characters", field=field)
    return value


def command_text(value: Any, field: str = "command") -> str:
    if not isinstance(value, str):
        raise InvalidInput(f"{field} must be text", why=f"it is {_kind(value)}", field=field)
    if not value.strip():
        raise InvalidInput(f"{field} is empty", hint="say what to run", field=field)
    return _argument(value, field)


def words(values: Any) -> tuple[str, ...]:
    """A program and its arguments."""
    if not isinstance(values, (list, tuple)) or not values:
        raise InvalidInput("argv must be a list with at least the program", field="argv")
    for word in values:
        if not isinstance(word, str):
            raise InvalidInput("argv must be a list of texts", why=f"one is {_kind(word)}", field="argv")
        _argument(word, "argument")
    if not values[0]:
        raise InvalidInput("the program's name is empty", field="argv")
    return tuple(values)


def _argument(text: str, field: str) -> str:
    if "\0" in text:
        raise InvalidInput(f"{field} contains a NUL byte", why="no program can be given one", field=field)
    try:
        size = len(text.encode())
    except UnicodeEncodeError:
        raise InvalidInput(f"{field} is not valid UTF-8", hint="put the bytes into a file", field=field) from None
    if size > ARGUMENT_MAX:
        why = f"it has {size} bytes and the system takes {ARGUMENT_MAX} in one argument"
        raise InvalidInput(f"{field} is too long", why=why, hint="put it into a script, or use --stdin", field=field)
    return text


def label_text(value: Any, field: str = "label") -> str | None:
    if value is None:
        return None
    if not isinstance(value, str) or not value or len(value) > 255 or any(c in value for c in "\0\n\r"):
        raise InvalidInput(f"{field} must be one line of 1 to 255 characters", field=field)
    try:
        value.encode()
    except UnicodeEncodeError:
        raise InvalidInput(f"{field} is not valid UTF-8", field=field) from None
    return value


def whole(value: Any, field: str, least: int, most: int) -> int:
    """A whole number inside its bounds; digits in text are accepted, as a command line gives them."""
    if isinstance(value, str):
        digits = value[1:] if value[:1] in ("-", "+") else value
        if digits.isascii() and digits.isdigit() and len(digits) < 30:
            value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise InvalidInput(f"{field} must be a whole number", why=f"it is {_short(value)}", field=field)
    if not least <= value <= most:
        raise InvalidInput(f"{field} {_short(value)} is out of range", hint=f"{least} to {most}", field=field)
    return value


def seconds(value: Any, field: str) -> float:
    """Seconds, zero or more: a number, or text such as `90`, `10m`, `2h30m`."""
    if isinstance(value, str):
        if value.lstrip().startswith("-"):
            raise InvalidInput(f"{field} {value} is negative", hint="0 or more", field=field)
        return duration_s(value, field)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or value != value:
        raise InvalidInput(f"{field} must be a number of seconds", why=f"it is {_short(value)}", field=field)
    if not 0 <= value <= SECONDS_MAX:
        raise InvalidInput(f"{field} {value} is out of range", hint=f"0 to {SECONDS_MAX} seconds", field=field)
    return float(value)


def instant(value: Any, field: str = "run_at") -> int:
    if not isinstance(value, str):
        raise InvalidInput(f"{field} must be text in ISO-8601", why=f"it is {_kind(value)}", field=field)
    return instant_us(value, field)


def exit_codes(value: Any) -> tuple[int, ...]:
    if isinstance(value, str):
        value = value.replace(",", " ").split()
    if not isinstance(value, (list, tuple)):
        raise InvalidInput("no_retry must be a list of exit statuses", field="no_retry")
    return tuple(whole(code, "no_retry", -64, 255) for code in value)


def job_ids(value: Any, field: str) -> tuple[str, ...]:
    """Ids of other jobs: in a list, or with commas between.

    >>> job_ids("5, build", "after"), job_ids([7], "after")
    (('5', 'build'), ('7',))
    """
    if isinstance(value, str):
        value = [part.strip() for part in value.split(",")]
    elif isinstance(value, int) and not isinstance(value, bool):
        value = [value]
    if not isinstance(value, (list, tuple)) or len(value) > AWAITED_MAX:
        raise InvalidInput(f"{field} must be a list of at most {AWAITED_MAX} job ids", field=field)
    try:
        return tuple([str(job_id(one)) for one in value if one is not None])
    except InvalidInput as fault:
        raise InvalidInput(f"{field}: {fault.what}", why=fault.why, hint=fault.hint, field=field) from None


def tags(value: Any) -> tuple[str, ...]:
    """What a worker must be tagged with: names in a list, or with commas between.

    >>> tags("gpu,big")
    ('gpu', 'big')
    """
    if isinstance(value, str):
        value = [part.strip() for part in value.split(",")]
    if not isinstance(value, (list, tuple)):
        raise InvalidInput("where must be a list of tags", field="where")
    return tuple([_name(tag, "where", "where: tag") for tag in value])


def truth(value: Any, field: str) -> bool:
    if not isinstance(value, bool):
        raise InvalidInput(f"{field} must be true or false", why=f"it is {_short(value)}", field=field)
    return value


def environment(value: Any) -> dict[str, str]:
    if not isinstance(value, dict):
        raise InvalidInput("env must be an object of names and texts", field="env")
    for name, text in value.items():
        if not isinstance(name, str) or not isinstance(text, str) or not name or "=" in name or "\0" in name + text:
            raise InvalidInput(f"env {_short(name)} is not allowed", why="a name without '=' and a text are needed", field="env")
        try:
            (name + text).encode("utf-8", "surrogateescape")  # as `os.environ` holds bytes that are not UTF-8
        except UnicodeEncodeError:
            raise InvalidInput(f"env {_short(name)} is not valid UTF-8", field="env") from None
    return value


def size_bytes(value: Any, field: str) -> int:
    """Bytes: a whole number, or text such as `500M`, `2G` (powers of ten).

    >>> size_bytes("500M", "memory"), size_bytes(4096, "memory")
    (500000000, 4096)
    """
    unit = SIZES.get(value[-1:].lower(), 1) if isinstance(value, str) else 1
    count = value[:-1] if unit > 1 else value
    if isinstance(count, str) and not count.isdecimal():
        raise InvalidInput(f"{field} {_short(value)} is not a size", hint="write bytes, or 500M, 2G", field=field)
    return whole(whole(count, field, 0, BYTES_MAX) * unit, field, 0, BYTES_MAX)


def one_of(value: Any, field: str, choices: tuple[str, ...]) -> str:
    if value not in choices:
        raise InvalidInput(f"{field} {_short(value)} is unknown", hint=", ".join(choices[:-1]) + " or " + choices[-1], field=field)
    return str(value)


def _optional(check: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda value: None if value is None else check(value)


# One row per field that a job may be given from outside: JSON key → (place in Spec, check).
FIELDS: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "id": ("id", job_id),
    "queue": ("queue", queue_name),
    "priority": ("priority", lambda v: whole(v, "priority", -PRIORITY_MAX, PRIORITY_MAX)),
    "max_retries": ("max_retries", _optional(lambda v: whole(v, "max_retries", 0, RETRIES_MAX))),
    "timeout": ("timeout_s", _optional(lambda v: seconds(v, "timeout"))),
    "delay": ("delay_s", _optional(lambda v: seconds(v, "delay"))),
    "run_at": ("run_at_us", _optional(instant)),
    "key": ("key", lambda v: label_text(v, "key")),
    "after": ("after", lambda v: job_ids(v, "after")),
    "after_any": ("after_any", lambda v: job_ids(v, "after_any")),
    "after_failed": ("after_failed", lambda v: job_ids(v, "after_failed")),
    "where": ("where", tags),
    "limit_key": ("limit_key", lambda v: label_text(v, "limit_key")),
    "label": ("label", label_text),
    "cwd": ("cwd", _optional(lambda v: command_text(v, "cwd"))),
    "umask": ("umask", _optional(lambda v: whole(v, "umask", 0, 0o777))),
    "env": ("env", _optional(environment)),
    "if_interrupted": ("if_interrupted", lambda v: one_of(v, "if_interrupted", ("rerun", "hold", "fail"))),
    "no_retry": ("no_retry", exit_codes),
    "grace": ("grace_s", _optional(lambda v: seconds(v, "grace"))),
    "stderr_apart": ("stderr_apart", lambda v: truth(v, "stderr_apart")),
    "leftovers": ("leftovers", lambda v: one_of(v, "leftovers", ("leave", "kill"))),
    "memory": ("memory", _optional(lambda v: size_bytes(v, "memory"))),
    "processes": ("processes", _optional(lambda v: whole(v, "processes", 1, 10**7))),
    "cpu_time": ("cpu_time_s", _optional(lambda v: seconds(v, "cpu_time"))),
    "nice": ("nice", _optional(lambda v: whole(v, "nice", -20, 19))),
    "max_output": ("max_output", _optional(lambda v: size_bytes(v, "max_output"))),
    "callback": ("callback", _optional(lambda v: _calls().url(v, "callback"))),
    "callback_sign": ("callback_sign", _optional(lambda v: _calls().secret_name(v, "callback_sign"))),
}
NOT_FROM_OUTSIDE = ("state", "attempts", "created_at", "updated_at", "next_run_at", "started_at", "finished_at")


def _calls() -> Any:
    """What checks the fields of a call: loaded by the few jobs that have one."""
    from . import calls

    return calls


def spec(work: Work, fields: dict[str, Any]) -> Spec:
    """A checked Spec from JSON-like fields. Raises InvalidInput naming the first field that is wrong."""
    given: dict[str, Any] = {}
    options: dict[str, Any] = {}
    for name, value in fields.items():
        if name not in FIELDS:
            raise _unknown_field(name)
        place, check = FIELDS[name]
        (options if place in Options.fields else given)[place] = check(value)
    if given.get("delay_s") is not None and given.get("run_at_us") is not None:
        raise InvalidInput("delay and run_at are both given", hint="give one of them", field="delay")
    if isinstance(work, Call):
        options.setdefault("if_interrupted", _calls().if_interrupted(work))
    if options:
        given["options"] = Options(**options)
    return Spec(work=work, **given)


def _unknown_field(name: str) -> InvalidInput:
    if name in NOT_FROM_OUTSIDE:
        return InvalidInput(f"{name} cannot be given", why="the queue itself keeps it", field=name)
    known = "known: command, argv, url, function, " + ", ".join(FIELDS)
    return InvalidInput(f"unknown field {_short(name)}", hint=known, field=name)


def spec_from_json(text: str) -> Spec:
    """A Spec from a JSON object such as `{"id": "job1", "command": "sleep 2"}`."""
    value = jsontext.loads(text)
    if not isinstance(value, dict):
        raise InvalidInput("a job must be a JSON object", why=f"this is {_kind(value)}", hint='{"command": "sleep 2"}')
    return spec_from_object(value)


def spec_from_object(value: dict[str, Any]) -> Spec:
    fields = dict(value)
    return spec(work_from(fields), fields)


def work_from(fields: dict[str, Any]) -> Work:
    """What is to be run, taken out of these fields: exactly one of the four kinds of work."""
    given = [name for name in ("command", "argv", "url", "function") if name in fields]
    if len(given) != 1:
        why = f"both {given[0]} and {given[1]} are given" if given else "command is missing"
        raise InvalidInput("a job needs one command", why=why, hint='{"command": "sleep 2"}', field="command")
    match given[0]:
        case "argv":
            return Argv(words(fields.pop("argv")))
        case "url":
            return _calls().taken_from(fields)  # type: ignore[no-any-return]
        case "function":
            return function(fields.pop("function"), fields.pop("args", []), fields.pop("kwargs", {}))
        case _:
            return Shell(command_text(fields.pop("command")))


def function(name: Any, args: Any = (), kwargs: Any = None) -> Function:
    """A Python function by its name, with arguments that JSON can hold.

    >>> function("resize", ["a.png"], {"width": 9})
    Function(name='resize', args='["a.png"]', kwargs='{"width": 9}')
    """
    name = _name(name, "function", "function name")
    if not isinstance(args, (list, tuple)):
        raise InvalidInput("args must be a list", why=f"it is {_kind(args)}", field="args")
    if kwargs is not None and not isinstance(kwargs, dict):
        raise InvalidInput("kwargs must be an object", why=f"it is {_kind(kwargs)}", field="kwargs")
    return Function(name, _json_text(list(args), "args"), _json_text(kwargs or {}, "kwargs"))


def _json_text(value: Any, field: str) -> str:
    try:
        text = jsontext.dumps(value)
        size = len(text.encode())
    except (TypeError, ValueError, RecursionError) as fault:
        raise InvalidInput(f"{field} cannot be written as JSON", why=str(fault)[:80], field=field) from None
    if size > ARGUMENTS_MAX:
        raise InvalidInput(f"{field} are too long", why=f"{size} bytes of JSON", hint="put them into a file", field=field)
    return text


def _kind(value: Any) -> str:
    names = {dict: "an object", list: "a list", str: "text", bool: "true or false", type(None): "null"}
    return names.get(type(value), "a number")


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


# ---------------------------------------------------------------- as it is stored


def call_from(text: str | None) -> Call:
    """The call that a row holds as JSON."""
    stored = jsontext.loads(text or "{}")
    return Call(**stored | {"headers": tuple([(name, value) for name, value in stored.get("headers", ())])})


PLAIN: Options = Spec(work=Shell("")).options  # the one instance that every plain Spec shares


def options_text(options: Options) -> str | None:
    """The JSON that is stored; None when every option is its default, as it is for nearly every job."""
    if options is PLAIN or options == PLAIN:
        return None
    given = {f: getattr(options, f) for f in Options.fields if getattr(options, f) != getattr(PLAIN, f)}
    return jsontext.dumps(given) if given else None


def options_from(text: str | None) -> Options:
    if text is None:
        return PLAIN
    stored = jsontext.loads(text)
    if "no_retry" in stored:
        stored["no_retry"] = tuple(stored["no_retry"])
    return Options(**stored)


def quoted(arguments: tuple[str, ...]) -> str:
    """The arguments as shell text that a person can paste.

    >>> quoted(("echo", "it's", "a b", ""))
    "echo 'it'\\\\''s' 'a b' ''"
    """
    return " ".join([word if word and SAFE.issuperset(word) else "'" + word.replace("'", "'\\''") + "'" for word in arguments])


SAFE = ID_REST | frozenset("/:=,+@%^")
