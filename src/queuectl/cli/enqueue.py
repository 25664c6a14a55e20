"""queuectl enqueue: the everyday command, so every import is chosen."""

from __future__ import annotations

import os

from .. import codec, jsontext
from ..errors import InvalidInput
from ..model import Argv, Shell, Spec
from .command import JSON, Arguments, Command, Option
from .open import NO_WORKER, source, the_queue
from .text import note, out

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from ..model import Job, Work

# Options that are fields of the job model under the same name.
FIELDS = (
    *("id", "queue", "priority", "max_retries", "delay", "run_at", "timeout", "key", "label", "where", "limit_key"),
    *("after", "after_any", "after_failed"),
    *("cwd", "if_interrupted", "no_retry", "grace", "leftovers"),
    *("memory", "processes", "cpu_time", "nice", "max_output"),
    *("callback", "callback_sign"),
)
JOB_OPTIONS = (
    Option(("--id",), "the job's id; left out: the next number", "ID"),
    Option(("--queue",), "the queue it goes to", "QUEUE"),
    Option(("--priority",), "larger runs first, default 0", "N"),
    Option(("--max-retries",), "retries after the first run", "N"),
    Option(("--delay",), "not before this long from now: seconds, 10m, 2h30m", "TIME"),
    Option(("--run-at",), "not before this time, ISO-8601; without an offset UTC", "TIME"),
    Option(("--timeout",), "end the run and all it started after this long; 0: never", "TIME"),
    Option(("--after",), "run when these jobs have completed; when one fails for good, be cancelled", "IDS"),
    Option(("--after-any",), "run when these jobs have ended, however", "IDS"),
    Option(("--after-failed",), "run when these jobs have failed for good or were cancelled", "IDS"),
    Option(("--key",), "add only once: a repeat answers with the first job", "KEY"),
    Option(("--label",), "a word to select jobs by", "LABEL"),
    Option(("--where",), "only workers with these tags run it", "TAGS"),
    Option(("--limit-key",), "what limits hang on that it shares with others, see 'limit set'", "KEY"),
    Option(("--cwd",), "folder to run in, default this one", "FOLDER"),
    Option(("--env",), "one more variable of its environment", "NAME=VALUE", many=True),
    Option(("--env-file",), "more variables, a NAME=VALUE a line", "FILE"),
    Option(("--if-interrupted",), "when a run was cut and nobody knows how it ended: rerun, hold or fail", "WHAT"),
    Option(("--no-retry",), "exit statuses that are not retried", "CODES"),
    Option(("--grace",), "time between TERM and KILL when it is ended", "TIME"),
    Option(("--leftovers",), "processes that a run leaves behind: leave (and report those in its process group) or kill", "WHAT"),
    Option(("--memory",), "address space each of its processes may take, for example 2G", "SIZE"),
    Option(("--processes",), "how many processes its user may have, as seen by the job", "N"),
    Option(("--cpu-time",), "processor time each of its processes may use", "TIME"),
    Option(("--nice",), "its niceness, -20 to 19", "N"),
    Option(("--max-output",), "bytes kept of each run's output, for example 50M; 0: all", "SIZE"),
    Option(("--stdin",), "store standard input now and give it to the job"),
    Option(("--command",), "shell text", "TEXT"),
    Option(("--command-file",), "a file that holds the shell text", "FILE"),
    Option(("--callback",), "tell this URL of the job's end, by a call with the job as JSON", "URL"),
    Option(("--callback-sign",), "sign that call with the secret of this name", "SECRET"),
)
CALL_OPTIONS = (
    Option(("--url",), "the job is an HTTP call of this address", "URL"),
    Option(("--method",), "of the call, default GET, with --data POST", "METHOD"),
    Option(("--header",), "send this too: 'Name: value'", "HEADER", many=True),
    Option(("--data",), "its body; @FILE: what a file holds, @-: standard input", "TEXT"),
    Option(("--expect-status",), "statuses that are a success, default 2xx; for example 200 or 2xx,304", "STATUSES"),
    Option(("--expect-body",), "text that the answer must contain", "TEXT"),
    Option(("--redirects",), "how many to follow, default 10", "N"),
    Option(("--proxy",), "call by this proxy", "URL"),
    Option(("--no-verify",), "do not check the target's certificate"),
    Option(("--sign",), "sign the call with the secret of this name, as Standard Webhooks has it", "SECRET"),
)


def run(arguments: Arguments) -> int:
    if getattr(arguments, "from"):
        return _add_pile(arguments)
    if arguments.jsonl:
        raise InvalidInput("--jsonl says what the lines of --from are", hint="give --from FILE too, or --job-file")
    with the_queue() as queue:
        job = queue.add(asked_spec(arguments, queue))
        heard = queue.heard
    out((_shown(job) if arguments.json else job.id) + "\n")
    if not heard:
        note(NO_WORKER)
    return 0


def _shown(job: Job) -> str:
    from .. import shown

    return jsontext.dumps(shown.job_object(job))


def asked_spec(arguments: Arguments, queue: Any) -> Spec:
    """The job that the command line asks for, its standard input stored. Raises InvalidInput."""
    spec = _spec(arguments)
    if arguments.stdin:
        from .. import payload

        spec = spec.but(stdin=payload.store(queue.place, 0))
    if spec.env is None and (arguments.env or arguments.env_file):
        spec = spec.but(env=_environment(arguments, queue))
    return spec


def _spec(arguments: Arguments) -> Spec:
    sources = arguments.given("command", "command_file", "job_file", "url")
    sources += (["--"] if arguments.rest else []) + arguments.words[:1]
    if len(sources) != 1:
        why = "there are several" if sources else "none was given"
        hint = "give a JSON object, --command, --command-file, --job-file, --url, or -- program arg …"
        raise InvalidInput("exactly one command is needed", why=why, hint=hint, field="command")
    if arguments.words and len(arguments.words) > 1:
        why, hint = f"{len(arguments.words)} were given", "write -- before a program and its arguments"
        raise InvalidInput("too many words", why=why, hint=hint)
    fields = {name: value for name in FIELDS if (value := getattr(arguments, name)) is not None}
    if arguments.job_file or arguments.words:
        return _from_json(_file_text(arguments.job_file) if arguments.job_file else arguments.words[0], fields)
    if arguments.url is not None:
        from .call_options import call_fields

        return codec.spec_from_object(fields | call_fields(arguments, _file_text))
    _refuse_call_options(arguments)
    return codec.spec(_work(arguments), fields)


def _refuse_call_options(arguments: Arguments) -> None:
    given = arguments.given(*[option.name for option in CALL_OPTIONS])
    if given:
        flag = "--" + given[0].replace("_", "-")
        raise InvalidInput(f"{flag} is for calls", why="there is no --url", hint="give --url URL", field=given[0])


def _work(arguments: Arguments) -> Work:
    if arguments.rest:
        return Argv(codec.words(arguments.rest))
    if arguments.command_file:
        return Shell(codec.command_text(_file_text(arguments.command_file)))
    return Shell(codec.command_text(arguments.command))


def _from_json(text: str, fields: dict[str, Any]) -> Spec:
    """A JSON job; options on the command line win over nothing: what both give is refused."""
    if text.lstrip()[:1] not in ("{", "[", '"', "") and "{" not in text:
        hint = f"write: queuectl enqueue --command {codec.quoted((text,))}"
        why = f"this is neither: {text[:60]!r}"
        raise InvalidInput("a job is a JSON object, or comes after --command or --", why=why, hint=hint)
    value = jsontext.loads(text)
    if not isinstance(value, dict):
        return codec.spec_from_json(text)  # which says what is wrong
    twice = sorted(set(fields) & set(value))
    if twice:
        raise InvalidInput(f"{twice[0]} is given twice", why="in the JSON and as an option", field=twice[0])
    return codec.spec_from_object(value | fields)


def _file_text(path: str) -> str:
    """A UTF-8 text file, with or without a byte order mark, stripped at both ends."""
    try:
        if path == "-":
            import sys

            return sys.stdin.buffer.read().decode("utf-8-sig").strip()
        with open(path, encoding="utf-8-sig") as file:
            return file.read().strip()
    except UnicodeDecodeError:
        raise InvalidInput(f"{path} is not UTF-8 text", hint="save it as UTF-8") from None
    except OSError as fault:
        raise InvalidInput(f"cannot read {path}", why=fault.strerror or "") from None


def _environment(arguments: Arguments, queue: Any) -> dict[str, str]:
    from .. import envs

    base = envs.captured(os.environb, queue.settings.read().capture_env)
    found = {os.fsdecode(name): os.fsdecode(value) for name, value in base.items()}
    lines = _file_text(arguments.env_file).splitlines() if arguments.env_file else []
    for text in [line.strip() for line in lines if line.strip() and not line.lstrip().startswith("#")] + (arguments.env or []):
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise InvalidInput(f"{text[:60]!r} is not NAME=VALUE", field="env")
        found[name] = value
    return codec.environment(found)


def _add_pile(arguments: Arguments) -> int:
    """A command a line, or with --jsonl a JSON job a line: all of them or none."""
    if arguments.words or arguments.rest or arguments.given("command", "command_file", "job_file", "stdin", "id", "url"):
        raise InvalidInput("--from brings its own commands", hint="leave out the other command, --id and --stdin")
    fields = {name: value for name in FIELDS if (value := getattr(arguments, name)) is not None}
    with the_queue() as queue:
        if arguments.env or arguments.env_file:
            fields["env"] = _environment(arguments, queue)
        n = queue.add_many(_pile(arguments, fields), **fields)
        out(f"{n}\n")
    if n and not queue.heard:
        note(NO_WORKER)
    return 0


def _pile(arguments: Arguments, fields: dict[str, Any]) -> Iterator[Spec | Work]:
    with source(getattr(arguments, "from")) as file:
        for number, line in enumerate(file, 1):
            try:
                text = line.decode("utf-8-sig" if number == 1 else "utf-8").strip()
                if not text:
                    continue
                if arguments.jsonl:
                    yield _from_json(text, fields)
                else:
                    yield Shell(codec.command_text(text))
            except UnicodeDecodeError:
                raise InvalidInput(f"line {number} is not UTF-8", hint="nothing was added") from None
            except InvalidInput as fault:
                raise InvalidInput(f"line {number}: {fault.what}", why=fault.why, hint=fault.hint or "nothing was added") from None


COMMANDS = {
    "enqueue": Command(
        run,
        options=(
            *JOB_OPTIONS,
            *CALL_OPTIONS,
            Option(("--job-file",), "a file that holds the job as JSON", "FILE"),
            Option(("--from",), "add a command a line from this file (-: standard input), all or none", "FILE"),
            Option(("--jsonl",), "with --from: each line is a JSON job"),
            JSON.but(help="print the job as JSON instead of its id"),
        ),
        words="JSON",
        most=None,
        takes_rest=True,
        example="queuectl enqueue --priority 5 -- ffmpeg -i 'my film.mkv' film.mp4",
        about="One job: a JSON object, --command, a file, or -- program arg … (kept as an argument list). Prints its id.",
    )
}
