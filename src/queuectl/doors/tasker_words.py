"""TaskPusher's words: what a push asks for, what a task looks like, where a page goes on.

A uid is the job's number, padded with zeros: uids sort as their tasks were added, as text too, and none comes twice.
"""

from __future__ import annotations

from email.parser import BytesParser
from email.policy import HTTP
from urllib.parse import parse_qsl

from .. import codec, jsontext, output, shown
from ..calls import FIELDS as CALL_FIELDS
from ..errors import InvalidInput, NotFound
from ..store.pages import Wanted, page

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ..model import Job, Spec
    from ..queue import Queue

QUEUE = "tasker"
UID_DIGITS = 16
PAGE = 100
RESPONSE_MAX = 1_000_000  # bytes of an answer that are shown
FIELDS_MAX = 100
TRUTHS = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
NOT_TAKEN = frozenset(("command", "argv", "function", "args", "kwargs", "cwd", "env", "umask"))
# path → the states it lists
LISTS: dict[str, tuple[str, ...]] = {
    "waiting": ("pending", "failed"),
    "runing": ("processing",),
    "running": ("processing",),
    "completed": ("completed",),
    "errors": ("dead", "cancelled"),
}
STATUS = {"pending": 0, "failed": 0, "processing": 1, "completed": 2, "dead": 3, "cancelled": 3}


def uid_of(job: Job) -> str:
    """
    >>> from ..lifecycle import a_job
    >>> uid_of(a_job(number=42))
    '0000000000000042'
    """
    return f"{job.number:0{UID_DIGITS}}"


def number_of(uid: str) -> int | None:
    return int(uid) if uid.isascii() and uid.isdigit() and len(uid) <= 18 else None


# ---------------------------------------------------------------- what comes in


def fields_of(kind: str, body: bytes) -> dict[str, Any]:
    """The fields of a push, from a form or from JSON."""
    name = kind.partition(";")[0].strip().lower()
    if name == "application/json":
        value = jsontext.loads(_text(body))
        if not isinstance(value, dict):
            raise InvalidInput("a push must be a JSON object", hint='{"url": "http://…"}')
        return _plain(value)
    if name in ("application/x-www-form-urlencoded", ""):
        pairs = parse_qsl(_text(body), keep_blank_values=True, max_num_fields=FIELDS_MAX)
    elif name == "multipart/form-data":
        pairs = _parts(kind, body)
    else:
        raise InvalidInput(f"content type {name[:60]!r} is not taken", hint="send a form, or application/json")
    given = dict(pairs)
    if len(given) != len(pairs):
        raise InvalidInput("a field is given twice", hint="give each once")
    return {field: _from_form(field, text) for field, text in given.items()}


def _text(body: bytes) -> str:
    try:
        return body.decode()
    except UnicodeDecodeError:
        raise InvalidInput("the request is not UTF-8") from None


def _parts(kind: str, body: bytes) -> list[tuple[str, str]]:
    message = BytesParser(policy=HTTP).parsebytes(b"Content-Type: " + kind.encode("latin-1", "replace") + b"\r\n\r\n" + body)
    found = []
    for part in message.iter_parts():
        content = part.get_payload(decode=True)
        field = part.get_param("name", header="content-disposition")
        if not isinstance(field, str) or not isinstance(content, bytes):
            raise InvalidInput("the form is not understood", hint="send application/x-www-form-urlencoded")
        found.append((field, _text(content)))
    return found


def _plain(value: dict[str, Any]) -> dict[str, Any]:
    """The reference's own spelling of a task means the same: `{"type": "WebTask", "cmd": URL, "extra": ""}`."""
    fields = dict(value)
    kind = fields.pop("type", "WebTask")
    if kind != "WebTask":
        raise InvalidInput(f"type {str(kind)[:40]!r} is unknown", hint="WebTask is the only one", field="type")
    fields.pop("extra", None)
    if "cmd" in fields and "url" not in fields:
        fields["url"] = fields.pop("cmd")
    return fields


def _from_form(field: str, text: str) -> Any:
    """A form knows only texts: headers are JSON or a line each, truths are words, an empty field is none."""
    if field == "headers":
        if text.lstrip()[:1] in ("{", "["):
            return jsontext.loads(text)
        lines = [line.partition(":") for line in text.splitlines() if line.strip()]
        return [(name.strip(), value.strip()) for name, _, value in lines]
    if field == "verify" and text.lower() in TRUTHS:
        return TRUTHS[text.lower()]
    return text


def spec_of(given: dict[str, Any]) -> Spec:
    """The job that a push asks for: a call of which exactly 200 is a success, not retried unless asked."""
    fields = {name: value for name, value in given.items() if name in CALL_FIELDS or value not in ("", None)}
    for name in fields:
        if name in NOT_TAKEN or not (name in CALL_FIELDS or name in codec.FIELDS):
            known = "url, method, headers, body, run_at, delay, timeout, max_retries, priority, queue, key"
            raise InvalidInput(f"unknown field {name[:60]!r}", hint=f"known: {known} …", field=name[:60])
    if "url" not in fields:
        raise InvalidInput("url is missing", hint="say which address is to be called", field="url")
    usual = {"expect_status": "200", "max_retries": 0, "queue": QUEUE}
    return codec.spec_from_object(usual | fields)


# ---------------------------------------------------------------- what goes out


def job_of(queue: Queue, uid: str) -> Job:
    """By uid, or by the id that somebody chose. Raises NotFound, also for what is no call."""
    number = number_of(uid)
    job = queue.store.job(number) if number is not None and len(uid) == UID_DIGITS else queue.store.job_by_id(uid)
    if job is None or job.kind != "call":
        raise NotFound(f"there is no task {uid[:60]!r}")
    return job


def task(job: Job, response: str = "", detail: str = "") -> dict[str, Any]:
    """A task as TaskPusher shows it; `Duration` is in nanoseconds, as Go counts."""
    call = codec.call_from(job.work)
    duration = (job.finished_us - job.started_us) * 1000 if job.started_us and job.finished_us else 0
    return {
        "ID": uid_of(job),
        "Type": "WebTask",
        "Status": STATUS[job.state],
        "State": job.state,
        "URL": call.url,
        "Method": call.method,
        "Response": response,
        "Duration": duration,
        "Error": error_of(job, detail),
        "Queue": job.queue,
        "Created": shown.iso(job.created_us),
        "Started": shown.iso(job.started_us),
        "Finished": shown.iso(job.finished_us),
    }


def error_of(job: Job, detail: str = "") -> str:
    """What went wrong, as a text that has the status number in it.

    >>> from ..lifecycle import a_job
    >>> error_of(a_job(stage="dead", reason="http 404")), error_of(a_job(stage="dead", reason="timeout"), "no answer after 3 s")
    ('status 404', 'timeout: no answer after 3 s')
    """
    if job.state == "completed" or not job.reason:
        return ""
    reason = "status " + job.reason[5:] if job.reason.startswith("http ") else job.reason
    return f"{reason}: {detail}" if detail else reason


def answer_of(queue: Queue, job: Job) -> tuple[str, str]:
    """(body of the answer, what the log says of its failure) of the latest run."""
    attempts = queue.attempts(job)
    if not attempts:
        return "", ""
    path, kept, size = queue.log_path(job), [], 0
    for piece in output.read_range(path, *output.run_range(attempts[-1])):
        kept.append(piece)
        size += len(piece)
        if size > RESPONSE_MAX:
            break
    return parsed_answer(b"".join(kept)[:RESPONSE_MAX])


def parsed_answer(log: bytes) -> tuple[str, str]:
    """
    >>> parsed_answer(b"queuectl: 302, redirected to http://a/b\\nHTTP/1.1 200 OK\\r\\nA: b\\r\\n\\r\\nhello")
    ('hello', '')
    >>> parsed_answer(b"queuectl: timeout: no whole answer after 3 s\\n")
    ('', 'no whole answer after 3 s')
    """
    lines, at = log.split(b"\n", 60), 0
    while at < len(lines) and lines[at].startswith(b"queuectl: ") and b", redirected to " in lines[at]:
        at += 1
    rest = b"\n".join(lines[at:])
    if rest.startswith(b"HTTP/"):
        return rest.partition(b"\r\n\r\n")[2].decode("utf-8", "replace"), ""
    _, _, detail = rest.decode("utf-8", "replace").removeprefix("queuectl: ").partition(": ")
    return "", detail.strip()


def listed(queue: Queue, what: str, last_uid: str | None) -> dict[str, Any]:
    """A page of tasks in the order in which they were added, and where the next one begins: null at the end.

    A place in that order, not a count, so that tasks which end meanwhile make none come twice or be left out.
    """
    after = None
    if last_uid:
        number = number_of(last_uid)
        if number is None:
            raise InvalidInput(f"last_uid {last_uid[:40]!r} is no uid", hint="give it as the page before did", field="last_uid")
        after = str(number)
    found: list[Job] = []
    while len(found) < PAGE:
        wanted = Wanted(states=LISTS[what], queue=QUEUE, sort="oldest", limit=PAGE - len(found), after=after)
        jobs, after = page(queue.store, wanted)
        found += [job for job in jobs if job.kind == "call"]
        if after is None:
            break
    return {"jobs": [task(job) for job in found], "last_uid": None if after is None else f"{int(after):0{UID_DIGITS}}"}
