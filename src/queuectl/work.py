"""What a job runs, as a noun, as columns of its row, and as a line for people."""

from __future__ import annotations

from . import codec, jsontext
from .model import Argv, Call, Function, Shell

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from .model import Job, Work

KINDS: dict[type, str] = {Shell: "shell", Argv: "argv", Call: "call", Function: "function"}


def as_work(work: str | Sequence[str] | Work) -> Work:
    """Text is for the shell, a list is a program with its arguments."""
    if isinstance(work, (Shell, Argv)):
        return work
    if isinstance(work, Function):
        return codec.function(work.name, jsontext.loads(work.args), jsontext.loads(work.kwargs))
    if isinstance(work, Call):
        from .calls import checked

        return checked(work)
    return Shell(codec.command_text(work)) if isinstance(work, str) else Argv(codec.words(list(work)))


def work_columns(work: Work) -> dict[str, Any]:
    """The columns that say what is run."""
    return {"kind": KINDS[type(work)], "command": command_of(work), "work": work_text(work)}


def command_of(work: Work) -> str:
    """The work in one line, as a person reads it.

    >>> command_of(Call("https://example.org/hook", method="POST")), command_of(Function("resize", '["a.png"]', '{"width": 9}'))
    ('POST https://example.org/hook', 'resize("a.png", width=9)')
    """
    match work:
        case Shell():
            return work.text
        case Argv():
            return codec.quoted(work.words)
        case Call():
            return f"{work.method} {_shown(work.url)}"
        case Function():
            named = [f"{name}={jsontext.dumps(value)}" for name, value in jsontext.loads(work.kwargs).items()]
            return f"{work.name}({', '.join([jsontext.dumps(value) for value in jsontext.loads(work.args)] + named)})"


def _shown(url: str) -> str:
    if "@" not in url:
        return url
    from .calls import shown_url

    return shown_url(url)


def work_text(work: Work) -> str | None:
    """What is stored of it besides: JSON of what is not default, None for shell text."""
    match work:
        case Shell():
            return None
        case Argv():
            return jsontext.dumps(list(work.words))
        case Call() | Function():
            given, usual = {field: getattr(work, field) for field in type(work).fields}, type(work).defaults
            return jsontext.dumps({f: v for f, v in given.items() if f not in usual or v != usual[f]})


def work_of(job: Job) -> Work:
    """The noun that a row holds."""
    stored: Any = jsontext.loads(job.work) if job.work else None
    match job.kind:
        case "argv":
            return Argv(tuple(stored))
        case "call":
            return codec.call_from(job.work)
        case "function":
            return Function(**stored)
        case "packet":  # its payload stays with the spool
            return Argv(tuple(stored["command"]))
        case _:
            return Shell(job.command)


def target_of(work: Work) -> str | None:
    """The host and port that a call goes to: what its limits hang on unless it says otherwise."""
    if not isinstance(work, Call):
        return None
    from urllib.parse import urlsplit

    parts = urlsplit(work.url)
    return f"{parts.hostname}:{parts.port or (443 if parts.scheme == 'https' else 80)}"
