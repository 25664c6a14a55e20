"""queuectl export, queuectl import."""

from __future__ import annotations

from .. import jsontext, tinydb, transfer
from ..errors import InvalidInput
from .command import SELECTION, Arguments, Command, Option
from .open import NO_WORKER, named, selection, source, the_queue
from .text import note, out

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any, BinaryIO


def write(arguments: Arguments) -> int:
    with the_queue(create=False) as queue:
        query = named(queue, selection(arguments))
        for job in queue.stream(query.but(oldest_first=True)):
            if job.kind == "packet" and not job.ended:
                continue  # it lies in its spool's folder, from where it is taken again
            out(jsontext.dumps(transfer.job_line(queue, job, bool(arguments.with_env))) + "\n")
    return 0


def read(arguments: Arguments) -> int:
    with source(arguments.words[0]) as file, the_queue() as queue:
        first = file.readline()
        found = None if _is_line(first) else _document(first + file.read())
        n = transfer.restore(queue, found.entries if found else _lines(first, file))
        for name, value in (found.settings if found else {}).items():
            queue.settings.set(name, value)
    for remark in found.remarks if found else ():
        note(remark)
    if found and found.settings:
        note("settings taken over: " + ", ".join(found.settings))
    out(f"{n}\n")
    if n and not queue.heard:
        note(NO_WORKER)
    return 0


def _is_line(first: bytes) -> bool:
    """Whether this is the first line of an export, and not the beginning of one JSON document."""
    try:
        value = jsontext.loads(_text(first, 1))
    except InvalidInput:
        return False
    return isinstance(value, dict) and ("command" in value or "argv" in value)


def _lines(first: bytes, rest: BinaryIO) -> Iterator[transfer.Entry]:
    number, line = 1, first
    while line:
        text = _text(line, number).strip()
        if text:
            try:
                yield transfer.entry(jsontext.loads(text))
            except InvalidInput as fault:
                raise InvalidInput(f"line {number}: {fault.what}", why=fault.why, hint="nothing was imported") from None
        number, line = number + 1, rest.readline()


def _document(content: bytes) -> tinydb.Found:
    """A jobs_database.json, or the list that `queuectl list --json` prints: that one has the newest first."""
    value: Any = jsontext.loads(_text(content, 1))
    if isinstance(value, list):
        value = {"list": value[::-1]}
    elif isinstance(value, dict) and ("command" in value or "argv" in value):
        value = {"list": [value]}
    if not isinstance(value, dict):
        raise InvalidInput("the file holds no jobs", hint="import reads what export writes, or a jobs_database.json")
    return tinydb.read(value)


def _text(content: bytes, line: int) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise InvalidInput(f"the file is not UTF-8 from line {line} on", hint="nothing was imported") from None


COMMANDS = {
    "export": Command(
        write,
        options=(*SELECTION, Option(("--with-env",), "their environments too, secrets in clear")),
        words="JOB",
        most=None,
        example="queuectl export --state pending > jobs.jsonl",
        about="Oldest first; everything but what the jobs wrote. JOB is an id, a range 5-9, last-3, all, %label or @queue.",
    ),
    "import": Command(
        read,
        words="FILE",
        least=1,
        most=1,
        example="queuectl import jobs_database.json",
        about="An export (-: standard input) or a jobs_database.json with its dead-letter table and configuration. "
        "States and attempts are kept; what ran there waits here. All of it or nothing; prints how many.",
    ),
}
