"""The everyday commands against a server (QUEUECTL_URL=http://…): those that read the store or its files ask the API."""

from __future__ import annotations

import os

from .. import codec, jsontext, signals
from ..errors import InvalidInput, NotAllowed, NotFound
from ..model import STATES
from ..remote import RemoteQueue
from .command import Arguments, Command
from .enqueue import asked_spec
from .list import print_array
from .logs import writer
from .open import selection
from .text import note, out, safe, table, took

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any

    from ..model import Job

# These ask the queue's verbs alone, wherever it is; or nothing of it.
SAME = frozenset(
    (
        *("enqueue", "list", "cancel", "hold", "release", "retry", "clean", "edit", "rerun", "dlq list", "dlq retry"),
        *("config set", "config get", "config list", "config unset", "completion", "send"),
    )
)


def instead(name: str, command: Command) -> Command:
    """The command as it works against a server. Raises NotAllowed for those that need the store."""
    if name in SAME:
        return command
    if name not in RUNS:
        hint = "run it on the machine of the queue, without QUEUECTL_URL"
        raise NotAllowed(f"'queuectl {name}' needs the store itself", why=f"{os.environ['QUEUECTL_URL']} is a server", hint=hint)
    return command.but(run=RUNS[name])


def the_server() -> RemoteQueue:
    return RemoteQueue(os.environ["QUEUECTL_URL"])


def _print(arguments: Arguments, found: dict[str, Any], names: Iterable[str]) -> int:
    """As JSON whole, else a line for each of these."""
    if arguments.json:
        out(jsontext.dumps(found) + "\n")
    else:
        out("".join([f"{name:<28}{safe(_text(found.get(name)))}\n" for name in names]))
    return 0


def _text(value: Any) -> str:
    return "-" if value is None else jsontext.dumps(value) if isinstance(value, (dict, list)) else str(value)


def status(arguments: Arguments) -> int:
    found = the_server().call("status")
    code = _print(arguments, found, (*STATES, "active_workers"))
    if not arguments.json:
        out("".join([f"warning: {safe(line)}\n" for line in found["warnings"]]))
    return code


def metrics(arguments: Arguments) -> int:
    found = the_server().call("metrics")
    return _print(arguments, found, [name for name in found if name != "queues"])


def show(arguments: Arguments) -> int:
    if arguments.env:
        raise NotAllowed("environments are not shown by a server", hint="run it on the machine of the queue")
    queue = the_server()
    job_id = arguments.words[0]
    found = queue.call("get", id=job_id)
    runs, changes = queue.call("attempts", id=job_id)["attempts"], queue.call("history", id=job_id)["history"]
    if arguments.json:
        out(jsontext.dumps({**found, "attempts_made": runs, "history": changes}) + "\n")
        return 0
    out("".join([f"{name + ':':<18}{safe(_text(value))}\n" for name, value in found.items() if value is not None]))
    for run in runs:
        how = run["reason"] or ("-" if run["exit_code"] is None else f"exit {run['exit_code']}")
        out(f"run {run['run']}:".ljust(18) + safe(f"started {run['started_at']}, {how}, cpu {took(run['cpu_seconds'])}") + "\n")
    for entry in changes:
        out(f"{'':<18}{entry['at']}  {safe(entry['event'])} → {safe(entry['stage'])}, by {safe(entry['by'])}\n")
    return 0


def explain(arguments: Arguments) -> int:
    queue = the_server()
    for word in arguments.words:
        found = queue.call("explain", id=word)
        if arguments.json:
            out(jsontext.dumps(found) + "\n")
        else:
            out(f"job {found['id']} is {found['state']}\n" + "".join([f"  {safe(line)}\n" for line in found["reasons"]]))
    return 0


def logs(arguments: Arguments) -> int:
    queue, write = the_server(), writer(bool(arguments.raw))
    if arguments.tail is not None or arguments.stderr:
        raise NotAllowed("--tail and --stderr need the log itself", hint="leave them out, or run it on the machine of the queue")
    job = queue.get(arguments.words[0])
    if arguments.follow:
        _follow(queue, job, write)
        return 0
    run = None if arguments.attempt is None else codec.whole(arguments.attempt, "attempt", 1, 10**9)
    for piece in queue.logs(job.id, run):
        write(piece)
    return 0


def _follow(queue: RemoteQueue, job: Job, write: Callable[[bytes], None]) -> Job:
    for piece in queue.follow(job):
        write(piece)
    return queue.get(job.id)


def run(arguments: Arguments) -> int:
    queue = the_server()
    spec = asked_spec(arguments, queue)
    job = queue.add(spec if spec.max_retries is not None else spec.but(max_retries=0))
    try:
        job = _follow(queue, job, writer(bool(arguments.raw)))
    except KeyboardInterrupt:
        note(f"job {job.id} goes on; 'queuectl logs -f {job.id}' follows it again, 'queuectl cancel {job.id}' ends it")
        return 130
    if job.reason:
        note(f"job {job.id} ended: {job.reason}")
    return signals.exit_status(job)


def wait(arguments: Arguments) -> int:
    timeout = None if arguments.timeout is None else codec.seconds(arguments.timeout, "timeout")
    if not arguments.words and not arguments.given("state", "queue", "label"):
        raise InvalidInput("say which jobs to wait for", hint="queuectl wait 5 7-9, or last, or all")
    queue = the_server()
    query = selection(arguments)
    jobs = queue.find(query)
    if not jobs and (query.ids or query.ranges):
        raise NotFound("no job matches", why="words and options narrow each other", hint="'queuectl list' with the same")
    jobs = queue.wait(*[job.id for job in jobs], timeout=timeout, any=bool(arguments.any))
    if len(jobs) == 1:
        return signals.exit_status(jobs[0])
    return 0 if all(job.state == "completed" for job in jobs if job.ended) else 1


def _listed(operation: str, shown: tuple[str, ...]) -> Callable[[Arguments], int]:
    """A command that shows one list of the API: as JSON, by name only, or as a table of some of its fields."""

    def run(arguments: Arguments) -> int:
        found = the_server().call(operation)[operation]
        if arguments.json:
            print_array(found)
        elif arguments.quiet:
            out("".join([str(row[shown[0]]) + "\n" for row in found]))
        else:
            table([name.upper() for name in shown], [[_cell(row.get(name)) for name in shown] for row in found])
        return 0

    return run


def _cell(value: Any) -> Any:
    return len(value) if isinstance(value, list) else "" if value is None or value is False else value


def _queue_switch(paused: bool) -> Callable[[Arguments], int]:
    def run(arguments: Arguments) -> int:
        name = codec.queue_name(arguments.words[0])
        the_server().call("set_queue", name=name, paused=paused)
        note(f"queue {name} {'is paused; what runs goes on' if paused else 'is served again'}")
        return 0

    return run


def _none_or(text: str | None) -> Any:
    return None if text in (None, "none") else text


def limit_queue(arguments: Arguments) -> int:
    given: dict[str, Any] = {}
    if len(arguments.words) > 1:
        given["parallel"] = _none_or(arguments.words[1])
    if arguments.rate is not None:
        given["rate"] = _none_or(arguments.rate)
    if not given:
        raise InvalidInput("no limit is given", hint="a number at once, --rate 10/s, or none")
    the_server().call("set_queue", name=codec.queue_name(arguments.words[0]), **given)
    note(f"queue {arguments.words[0]} has its limit")
    return 0


def limit_set(arguments: Arguments) -> int:
    given = {name: _none_or(getattr(arguments, name)) for name in ("parallel", "rate")}
    the_server().call("set_limit", key=arguments.words[0], **given)
    note(f"key {arguments.words[0]} has its limit")
    return 0


def limit_remove(arguments: Arguments) -> int:
    the_server().call("remove_limit", key=arguments.words[0])
    note(f"key {arguments.words[0]} has no limit")
    return 0


def worker_stop(arguments: Arguments) -> int:
    """Asks; whether they have ended, `worker list` tells."""
    queue = the_server()
    how = "now" if arguments.now else "leave" if arguments.leave else "finish"
    found = queue.call("workers")["workers"]
    for worker in found:
        queue.call("stop_worker", id=worker["id"], how=how)
    note(f"{len(found)} worker{'' if len(found) == 1 else 's'} told to stop" if found else "no worker is running")
    return 0


RUNS: dict[str, Callable[[Arguments], int]] = {
    "status": status,
    "metrics": metrics,
    "show": show,
    "explain": explain,
    "logs": logs,
    "run": run,
    "wait": wait,
    "queue list": _listed("queues", ("queue", "paused", "parallel", "rate", *STATES)),
    "queue pause": _queue_switch(True),
    "queue resume": _queue_switch(False),
    "queue limit": limit_queue,
    "limit list": _listed("limits", ("key", "parallel", "rate", "not_before")),
    "limit set": limit_set,
    "limit remove": limit_remove,
    "worker list": _listed("workers", ("id", "host", "pid", "slots", "started_at", "running")),
    "worker stop": worker_stop,
}
