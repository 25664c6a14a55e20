"""A queue on another machine, or another user's: the same verbs, asked of its server over HTTP.

    queue = queuectl.open("http://builds.example:5000", token="qt_…")     # or http+unix:///path/of/http.sock
    queue.wait(queue.add(["make", "test"]).id)

What needs the store itself (workers, backups, input from standard input) is refused, and says so.
"""

from __future__ import annotations

import http.client
import json
import os
import socket
import threading
from time import monotonic
from urllib.parse import quote, unquote, urlencode, urlsplit

from . import codec, config, errors, ops
from .errors import InvalidInput, NotAllowed, QueueError, TryAgainLater, WaitTimeout
from .model import Argv, Attempt, Call, Function, HistoryEntry, Job, Options, Query, Shell, Spec
from .queue import Queue
from .record import Record
from .schedule import instant_us
from .work import as_work

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from typing import Any

    from .model import Work
    from .queue import Watch

SCHEMES = ("http", "https", "http+unix")
TIMEOUT_S = 90.0
PAGE = 500
ARRAY = 5_000
PIECE = 65536
FAULTS: dict[int, type[QueueError]] = {
    **dict.fromkeys((400, 405, 413, 415, 416), errors.InvalidInput),
    404: errors.NotFound,
    **dict.fromkeys((401, 403, 421), errors.NotAllowed),
    409: errors.Conflict,
    **dict.fromkeys((408, 429, 503), errors.TryAgainLater),
    504: errors.WaitTimeout,
}


def is_remote(url: str) -> bool:
    """
    >>> is_remote("http://localhost:5000"), is_remote("sqlite:///q.db")
    (True, False)
    """
    return url.partition("://")[0] in SCHEMES and "://" in url


class RemoteQueue(Queue):
    """A queue whose store is behind a server. Safe to share between threads; one request at a time goes out."""

    def __init__(self, url: str, token: str = "") -> None:
        self.url = url
        self.actor = ""
        self.heard = 1  # the server's bell; how many heard it is not known here
        self.settings = _Settings(self)  # type: ignore[assignment]
        self._link = _Link(url, token or os.environ.get("QUEUECTL_TOKEN", ""))

    @property
    def store(self) -> Any:  # type: ignore[override]
        raise self._not_here()

    @property
    def place(self) -> Any:  # type: ignore[override]
        raise self._not_here()

    def _not_here(self) -> NotAllowed:
        hint = "run it on the machine of the queue, without QUEUECTL_URL"
        return NotAllowed("this needs the store itself", why=f"{self._link.shown} is a server", hint=hint)

    def call(self, name: str, /, **given: Any) -> Any:
        """One operation of the API by its name, see docs/api.md. Raises what the server refused it for."""
        operation = ops.BY_NAME[name]
        path, query, body = operation.path, {}, {}
        places = {argument.name: argument.where for argument in operation.arguments}
        for key, value in given.items():
            if places.get(key) == "path":
                path = path.replace("{" + key + "}", quote(str(value), safe=""))
            elif places.get(key) == "query":
                query[key] = value
            else:
                body[key] = value
        return self._link.ask(operation.method, path, query, body if body or operation.writes else None)

    # ------------------------------------------------------------ adding

    def add(self, work: str | Sequence[str] | Work | Spec, **fields: Any) -> Job:
        spec = work if isinstance(work, Spec) else codec.spec(as_work(work), fields)
        return job_of(self._link.ask("POST", "/jobs", {}, body_of(spec), idempotent=True))

    def add_many(self, jobs: Iterable[str | Sequence[str] | Work | Spec], **fields: Any) -> int:
        """Add all of them; each five thousand are all or none."""
        added, waiting = 0, []
        for job in jobs:
            waiting.append(body_of(job if isinstance(job, Spec) else codec.spec(as_work(job), fields)))
            if len(waiting) == ARRAY:
                added += self._add_array(waiting)
                waiting = []
        return added + (self._add_array(waiting) if waiting else 0)

    def _add_array(self, bodies: list[dict[str, Any]]) -> int:
        return int(self._link.ask("POST", "/jobs", {}, bodies, idempotent=True)["added"])

    # ------------------------------------------------------------ reading

    def get(self, job_id: str | int) -> Job:
        return job_of(self.call("get", id=str(job_id)))

    def find(self, query: Query = Query()) -> list[Job]:
        return list(self.stream(query))

    def stream(self, query: Query = Query()) -> Iterator[Job]:
        found = self._named(query) if query.ids and not query.ranges and not query.last else self._pages(query)
        for n, job in enumerate(found):
            if query.limit is not None and n >= query.limit:
                return
            yield job

    def _named(self, query: Query) -> Iterator[Job]:
        jobs = [self.get(job_id) for job_id in query.ids]
        return (job for job in sorted(jobs, key=lambda job: job.number, reverse=not query.oldest_first) if _fits(query, job))

    def _pages(self, query: Query) -> Iterator[Job]:
        given: dict[str, Any] = {"limit": PAGE, "sort": "oldest" if query.oldest_first else "newest"}
        given |= {"state": ",".join(query.states)} if query.states else {}
        given |= {name: value for name in ("queue", "label") if (value := getattr(query, name)) is not None}
        seen = 0
        while True:
            page = self.call("list", **given)
            for job in map(job_of, page["jobs"]):
                seen += 1
                if (not query.last or seen <= query.last) and _fits(query, job) and _is_meant(query, job):
                    yield job
            if page["next"] is None or (query.last and seen >= query.last):
                return
            given["after"] = page["next"]

    def count(self, query: Query = Query()) -> int:
        return sum(1 for _ in self.stream(query.but(limit=None)))

    def attempts(self, job: Job) -> list[Attempt]:
        return [_attempt_of(job, found) for found in self.call("attempts", id=job.id)["attempts"]]

    def history(self, job: Job) -> list[HistoryEntry]:
        found = self.call("history", id=job.id)["history"]
        return [HistoryEntry(_us(h["at"]) or 0, h["event"], h["stage"], h["run"], h["by"], h["note"]) for h in found]

    def explain(self, job_id: str | int) -> list[str]:
        reasons: list[str] = self.call("explain", id=str(job_id))["reasons"]
        return reasons

    def logs(self, job_id: str | int, run: int | None = None) -> Iterator[bytes]:
        path = f"/jobs/{quote(str(job_id), safe='')}/log"
        runs = [run] if run is not None else [attempt.run for attempt in self.attempts(self.get(job_id))]
        for one in runs:
            yield from self._link.read(path, {"run": one})

    # ------------------------------------------------------------ changing

    def cancel(self, query: Query | str | int) -> list[Job]:
        return self._act("cancel", query)

    def hold(self, query: Query | str | int, note: str = "") -> list[Job]:
        return self._act("hold", query)

    def release(self, query: Query | str | int) -> list[Job]:
        return self._act("release", query)

    def retry(self, query: Query | str | int) -> list[Job]:
        return self._act("retry", query)

    def _act(self, verb: str, query: Query | str | int) -> list[Job]:
        """A job named by its id must allow it; of a wider selection those that do not are passed over."""
        if isinstance(query, (str, int)):
            return [job_of(self.call(verb, id=str(query)))]
        changed = []
        for job in self.find(query):
            try:
                changed.append(job_of(self.call(verb, id=job.id)))
            except errors.Conflict:
                if job.id in query.ids:
                    raise
        return changed

    def edit(self, job_id: str | int, **fields: Any) -> Job:
        return job_of(self.call("edit", id=str(job_id), **fields))

    def rerun(self, job_id: str | int) -> Job:
        return job_of(self.call("rerun", id=str(job_id)))

    def prune(self, query: Query) -> list[Job]:
        return [job_of(self.call("delete", id=job.id)) for job in self.find(query) if job.ended]

    # ------------------------------------------------------------ waiting

    def wait(self, *ids: str | int, timeout: float | None = None, any: bool = False, watch: Watch | None = None) -> list[Job]:
        deadline = None if timeout is None else monotonic() + timeout
        jobs = [self.get(job_id) for job_id in ids]
        while True:
            open_jobs = [job for job in jobs if not job.ended]
            if not open_jobs or (any and len(open_jobs) < len(jobs)):
                return jobs
            if watch:
                watch(jobs)
            left = 20.0 if deadline is None else min(20.0, deadline - monotonic())
            if left <= 0:
                waiting = ", ".join(job.id for job in open_jobs)
                raise WaitTimeout(f"job {waiting} has not ended after {timeout:g} s", hint="it goes on")
            short = any and len(open_jobs) > 1
            self.call("get", id=open_jobs[0].id, wait=min(left, 0.5) if short else left)
            jobs = [job if job.ended else self.get(job.id) for job in jobs]

    def follow(self, job: Job) -> Iterator[bytes]:
        """What the job writes as it comes, over all its runs, until it has ended."""
        yield from self._link.followed(f"/jobs/{quote(job.id, safe='')}/log/stream")

    def close(self) -> None:
        self._link.close()


def _is_meant(query: Query, job: Job) -> bool:
    """By id or range, where those are named besides others."""
    if not query.ids and not query.ranges:
        return True
    return job.id in query.ids or any(first <= job.number <= last for first, last in query.ranges)


def _fits(query: Query, job: Job) -> bool:
    checks = (
        not query.states or job.state in query.states,
        not query.stages or job.stage in query.stages,
        query.queue is None or job.queue == query.queue,
        query.label is None or job.label == query.label,
        query.below is None or job.number < query.below,
        query.ended_before_us is None or (job.ended and (job.finished_us or 0) < query.ended_before_us),
    )
    return all(checks)


class _Settings:
    """The settings of the queue, as its server keeps them."""

    def __init__(self, queue: RemoteQueue) -> None:
        self._queue = queue

    def _all(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self._queue.call("config")["settings"]
        return found

    def read(self) -> config.Config:
        known = {one["name"]: one["value"] for one in self._all() if one["name"] in config.SETTINGS}
        return config.Config(**known)

    def stored(self) -> dict[str, Any]:
        return {one["name"]: one["value"] for one in self._all() if one["value"] != one["default"]}

    def set(self, name: str, value: Any) -> Any:
        name = config.setting_name(name)
        self._queue.call("set_config", **{name: value})
        return getattr(self.read(), name)

    def unset(self, name: str) -> None:
        self._queue.call("set_config", **{config.setting_name(name): None})


# ---------------------------------------------------------------- nouns


def body_of(spec: Spec) -> dict[str, Any]:
    """What the API is given for a job: what is not default.

    >>> body_of(Spec(work=Argv(("echo", "a b")), priority=5))
    {'argv': ['echo', 'a b'], 'priority': 5}
    """
    if spec.stdin is not None:
        raise NotAllowed("input cannot be sent", why="the queue is behind a server", hint="put it into a file that the job reads")
    found = _work_body(spec.work)
    plain = Spec(work=spec.work)
    for name, (place, _) in codec.FIELDS.items():
        source, usual = (spec.options, plain.options) if place in Options.fields else (spec, plain)
        value = getattr(source, place)
        if value != getattr(usual, place):
            found[name] = _plain(place, value)
    return found


def _plain(place: str, value: Any) -> Any:
    if place == "run_at_us":
        return codec.iso_exact(value)
    return list(value) if isinstance(value, tuple) else value


def _work_body(work: Work) -> dict[str, Any]:
    match work:
        case Shell():
            return {"command": work.text}
        case Argv():
            return {"argv": list(work.words)}
        case Function():
            return {"function": work.name, "args": json.loads(work.args), "kwargs": json.loads(work.kwargs)}
        case Call():
            given = {field: getattr(work, field) for field in Call.fields}
            given["headers"] = dict(work.headers)
            return {field: value for field, value in given.items() if field == "url" or value != Call.defaults.get(field)}


STAGE_OF = {"processing": "running", "completed": "completed", "dead": "dead", "cancelled": "cancelled"}
STAGE_WAITING = {"slot": "ready", "time": "later", "release": "held", "jobs": "blocked"}


def job_of(found: dict[str, Any]) -> Job:
    """The job that the API shows. What it does not show (lane, version, environment) is empty."""
    plain: dict[str, Any] = dict.fromkeys(Job.fields)
    same = ("number", "queue", "command", "state", "priority", "attempts", "max_retries", "interruptions", "run", "label", "key")
    plain |= {name: found[name] for name in (*same, "limit_key", "exit_code", "reason", "cwd")}
    kind, work = _kind_of(found)
    return Job(
        **plain
        | {
            "name": None if found["id"] == str(found["number"]) else found["id"],
            "kind": kind,
            "work": work,
            "stage": STAGE_OF.get(found["state"]) or STAGE_WAITING.get(found["waiting_for"], "ready"),
            "timeout_s": found["timeout"],
            "needs": "",
            "lane": 0,
            "version": 0,
            "run_at_us": _us(found["run_at"]),
            "due_us": _us(found["next_run_at"]),
            "created_us": _us(found["created_at"]),
            "updated_us": _us(found["updated_at"]),
            "started_us": _us(found["started_at"]),
            "finished_us": _us(found["finished_at"]),
        }
    )


def _kind_of(found: dict[str, Any]) -> tuple[str, str | None]:
    for kind in ("argv", "call", "function"):
        if found.get(kind) is not None:
            return kind, json.dumps(found[kind])
    return "shell", None


def _us(text: str | None) -> int | None:
    return None if text is None else instant_us(text)


def _attempt_of(job: Job, found: dict[str, Any]) -> Attempt:
    return Attempt(
        job=job.number,
        run=found["run"],
        worker=found["worker"],
        pid=found["pid"],
        started_us=_us(found["started_at"]) or 0,
        ended_us=_us(found["ended_at"]),
        exit_code=found["exit_code"],
        reason=found["reason"],
        cpu_s=found["cpu_seconds"],
        memory_max=found["memory_max_bytes"],
        log_start=found["log_start"],
        log_end=found["log_end"],
    )


# ---------------------------------------------------------------- the link


class Target(Record):
    """Where a server is: over TCP, with TLS or not, or at a Unix socket; `base` is the path it is mounted at."""

    scheme: str
    host: str = ""
    port: int = 0
    base: str = ""
    socket: str = ""

    @property
    def shown(self) -> str:
        return self.socket or f"{self.scheme}://{self.host}:{self.port}{self.base}"


def target_of(url: str) -> Target:
    """
    >>> target_of("http+unix:///run/q/http.sock").socket, target_of("https://q.example/jobs/").shown
    ('/run/q/http.sock', 'https://q.example:443/jobs')
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as fault:
        raise InvalidInput("the server's URL is not understood", why=str(fault), field="QUEUECTL_URL") from None
    if parts.scheme == "http+unix":
        path = unquote(parts.netloc) or unquote(parts.path)
        if not path.startswith("/"):
            raise InvalidInput("the socket's path is not absolute", hint="http+unix:///path/of/http.sock", field="QUEUECTL_URL")
        return Target("http", socket=path)
    if parts.scheme not in SCHEMES or not parts.hostname or parts.username or parts.query or parts.fragment:
        hint = "http://host:port or https://host:port; the token goes into QUEUECTL_TOKEN"
        raise InvalidInput("the server's URL is not understood", hint=hint, field="QUEUECTL_URL")
    return Target(parts.scheme, parts.hostname, port or (443 if parts.scheme == "https" else 80), parts.path.rstrip("/"))


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=TIMEOUT_S)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(TIMEOUT_S)
        self.sock.connect(self._path)


class _Link:
    """One connection that is kept open, and opened again when it has gone."""

    def __init__(self, url: str, token: str) -> None:
        self._target = target_of(url)
        self.shown = self._target.shown
        self._token = token
        self._lock = threading.Lock()
        self._open: http.client.HTTPConnection | None = None

    def _connection(self) -> http.client.HTTPConnection:
        target = self._target
        if target.socket:
            return _UnixConnection(target.socket)
        kind = http.client.HTTPSConnection if target.scheme == "https" else http.client.HTTPConnection
        return kind(target.host, target.port, timeout=TIMEOUT_S)

    def _headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self._token}"} if self._token else {}

    def _path(self, path: str, query: dict[str, Any]) -> str:
        text = {name: str(value).lower() if isinstance(value, bool) else value for name, value in query.items()}
        return self._target.base + ops.BASE + path + ("?" + urlencode(text) if text else "")

    def ask(self, method: str, path: str, query: dict[str, Any], body: Any, idempotent: bool = False) -> Any:
        """The answer. What may be asked twice is, when the connection had been closed meanwhile."""
        headers = self._headers()
        if body is not None:
            headers["Content-Type"] = "application/json"
        if idempotent:
            headers["Idempotency-Key"] = os.urandom(16).hex()
        content = None if body is None else json.dumps(body)
        twice = method == "GET" or idempotent
        with self._lock:
            return self._asked(method, self._path(path, query), content, headers, twice)

    def _asked(self, method: str, path: str, content: str | None, headers: dict[str, str], twice: bool) -> Any:
        fresh = self._open is None
        connection = self._open or self._connection()
        self._open = None
        try:
            connection.request(method, path, content, headers)
            answer = connection.getresponse()
            found = answer.read()
        except (OSError, http.client.HTTPException) as fault:
            connection.close()
            if twice and not fresh:
                return self._asked(method, path, content, headers, twice=False)
            raise self._unreachable(fault) from None
        self._open = connection
        return self._understood(answer.status, found)

    def _understood(self, status: int, found: bytes) -> Any:
        try:
            value = json.loads(found)
        except ValueError:
            value = None
        if status < 400 and value is not None:
            return value
        raise _fault(status, value if isinstance(value, dict) else {}, self.shown)

    def _unreachable(self, fault: Exception) -> TryAgainLater:
        why = getattr(fault, "strerror", None) or str(fault) or type(fault).__name__
        return TryAgainLater(f"{self.shown} does not answer", why=why, hint="does 'queuectl serve' run there?")

    def _opened(self, path: str, query: dict[str, Any]) -> tuple[http.client.HTTPConnection, http.client.HTTPResponse]:
        connection = self._connection()
        try:
            connection.request("GET", self._path(path, query), headers=self._headers())
            answer = connection.getresponse()
            if answer.status >= 400:
                self._understood(answer.status, answer.read())
        except (OSError, http.client.HTTPException) as fault:
            connection.close()
            raise self._unreachable(fault) from None
        return connection, answer

    def read(self, path: str, query: dict[str, Any]) -> Iterator[bytes]:
        """Bytes in pieces, over a connection of their own."""
        connection, answer = self._opened(path, query)
        try:
            while piece := answer.read(PIECE):
                yield piece
        finally:
            connection.close()

    def followed(self, path: str) -> Iterator[bytes]:
        """The bytes of a log's stream; begun again where it stopped when the server was started anew."""
        offset = 0
        while True:
            connection, answer = self._opened(path, {"offset": offset})
            try:
                for name, data in _events(answer):
                    if name == "end":
                        return
                    piece = _decoded(data)
                    offset = data["offset"] + len(piece)
                    yield piece
            except (OSError, http.client.HTTPException):
                pass  # the server went; whether it comes again, the next connection tells
            finally:
                connection.close()

    def close(self) -> None:
        if self._open:
            self._open.close()


def _fault(status: int, problem: dict[str, Any], where: str) -> QueueError:
    kind = FAULTS.get(status, errors.StorageError)
    what = str(problem.get("detail") or f"{where} answered {status}")
    hint = str(problem.get("hint", ""))
    if status == 401:
        hint = "put its token into QUEUECTL_TOKEN; 'queuectl token' shows it there"
    return kind(what, why=str(problem.get("reason", "")), hint=hint, field=str(problem.get("field", "")))


def _decoded(data: dict[str, Any]) -> bytes:
    from base64 import b64decode

    return b64decode(data["base64"])


def _events(answer: http.client.HTTPResponse) -> Iterator[tuple[str, Any]]:
    """Name and data of each event of a stream."""
    name, data = "", ""
    while line := answer.readline():
        field, _, value = line.decode().rstrip("\n").partition(": ")
        if field == "event":
            name = value
        elif field == "data":
            data = value
        elif not field and data:
            yield name, json.loads(data)
            name, data = "", ""

