"""What other job queues called QueueCTL keep in a `jobs_database.json` (TinyDB: `{"table": {"1": {document}}}`).

Tolerant, because several programs wrote such files: the words of a document are brought to ours, and what has no place
here is named instead of being dropped in silence. Nothing here looks at a queue.
"""

from __future__ import annotations

from .config import SETTINGS, checked
from .errors import InvalidInput
from .record import Record
from .transfer import KEYS, Entry, entry

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

OUR_WORD = {
    "job_id": "id",
    "cmd": "command",
    "retries": "attempts",
    "retry_count": "attempts",
    "completed_at": "finished_at",
    "failed_at": "finished_at",
    "moved_to_dlq_at": "finished_at",
    "next_retry_at": "next_run_at",
    "timeout_seconds": "timeout",
    "last_error": "reason",
    "error": "reason",
    "return_code": "exit_code",
}
OUR_STATE = {"queued": "pending", "scheduled": "pending", "running": "processing", "done": "completed", "succeeded": "completed"}
OUR_SETTING = {"timeout": "job_timeout", "default_timeout": "job_timeout", "retries": "max_retries"}
REASON_MAX = 200
# The program that wrote tables of these names ran the smaller priority first and gave 10 to whoever asked for none.
SMALLER_FIRST = frozenset(("Jobs", "DLQ"))
ORDINARY = 10


class Found(Record):
    """What a file holds: jobs in the order they were added, settings, and words on what was left out."""

    entries: list[Entry]
    settings: dict[str, Any]
    remarks: list[str]


def read(tables: dict[str, Any]) -> Found:
    """Jobs and settings of all tables. Raises InvalidInput naming table and document."""
    jobs: dict[str, Entry] = {}
    settings: dict[str, Any] = {}
    left_out: set[str] = set()
    turned = False
    for table in sorted(tables, key=_dead_letters):  # a job that stands in both is dead
        documents = list(_documents(tables[table], table))
        if _snake(table) in ("config", "configuration", "settings"):
            settings |= _settings([document for _, document in documents], left_out)
            continue
        turned = turned or (table in SMALLER_FIRST and bool(documents))
        seen: set[str] = set()
        for place, document in documents:
            was = _job(document, table, place, left_out)
            name = was.spec.id or f"{table} {place}"
            if name in seen:
                raise InvalidInput(f"job {name} stands twice in table {table!r}", hint="nothing was imported")
            seen.add(name)
            jobs[name] = was
    remarks = [f"left out, it has no place here: {', '.join(sorted(left_out))}"] if left_out else []
    if turned:
        remarks.append("priorities were turned round: there the smaller ran first and 10 was ordinary")
    return Found(list(jobs.values()), settings, remarks)


def _dead_letters(table: str) -> bool:
    """
    >>> [_dead_letters(name) for name in ("dlq", "DLQ", "dead_letter_queue", "jobs")]
    [True, True, True, False]
    """
    return "dlq" in table.lower() or "dead" in table.lower()


def _documents(table: Any, name: str) -> list[tuple[str, dict[str, Any]]]:
    rows = list(table.items()) if isinstance(table, dict) else list(enumerate(table, 1)) if isinstance(table, list) else None
    if rows is None or not all(isinstance(document, dict) for _, document in rows):
        raise InvalidInput(f"table {name[:60]!r} holds no documents", hint='{"jobs": {"1": {"id": "a", "command": "true"}}}')
    return sorted(((str(place), document) for place, document in rows), key=lambda row: (len(row[0]), row[0]))


def _job(document: dict[str, Any], table: str, place: str, left_out: set[str]) -> Entry:
    fields: dict[str, Any] = {}
    for name, value in document.items():
        word = OUR_WORD.get(_snake(name), _snake(name))
        if value is None or word in fields:
            continue
        if word in KEYS:
            fields[word] = value
        else:
            left_out.add(f"field {name}")
    fields["state"] = "dead" if _dead_letters(table) else OUR_STATE.get(fields.get("state", ""), fields.get("state", "pending"))
    if "reason" in fields:
        fields["reason"] = " ".join(str(fields["reason"]).split())[:REASON_MAX] or None
    if fields.get("run_at") is not None and fields.get("run_at") == fields.get("created_at"):
        del fields["run_at"]  # that program wrote one for every job
    if table in SMALLER_FIRST and isinstance(fields.get("priority"), int):
        fields["priority"] = ORDINARY - fields["priority"]
    try:
        return entry(fields)
    except InvalidInput as fault:
        raise InvalidInput(f"table {table!r}, document {place}: {fault.what}", why=fault.why, hint="nothing was imported") from None


def _settings(documents: list[dict[str, Any]], left_out: set[str]) -> dict[str, Any]:
    """From `{"key": name, "value": value}`, one a document, or from a document of all of them."""
    found: dict[str, Any] = {}
    for document in documents:
        named = [document[word] for word in ("key", "name") if word in document]
        pairs = {str(named[0]): document["value"]} if named and "value" in document else document
        for name, value in pairs.items():
            ours = OUR_SETTING.get(_snake(name), _snake(name))
            if ours in SETTINGS:
                found[ours] = checked(ours, value)
            else:
                left_out.add(f"setting {name}")
    return found


def _snake(name: str) -> str:
    """
    >>> _snake("maxRetries"), _snake("max-retries"), _snake("Jobs"), _snake("DLQ")
    ('max_retries', 'max_retries', 'jobs', 'dlq')
    """
    spaced = "".join([f"_{c}" if c.isupper() and i and name[i - 1].islower() else c for i, c in enumerate(name)])
    return spaced.lower().replace("-", "_")
