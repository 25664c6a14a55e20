"""A queue on another machine, or another user's: the same verbs, asked of its server over HTTP.

    queue = queuectl.open("http://builds.example:5000", token="qt_…")     # or http+unix:///path/of/http.sock
    queue.wait(queue.add(["make", "test"]).id)

What needs the store itself (workers, backups, input from standard input) is refused, and says so.
"""

from __future__ import annotations

import os
from time import monotonic
from urllib.parse import quote

from . import codec, config, errors, ops
from .errors import NotAllowed, WaitTimeout
from .model import Attempt, HistoryEntry, Job, Query, Spec
from .queue import Queue
from .remote_link import SCHEMES, Link
from .remote_nouns import attempt_of, body_of, instant_of, job_of
from .work import as_work

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from typing import Any

    from .model import Work
    from .queue import Watch

PAGE = 500
ARRAY = 5_000


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
        self._link = Link(url, token or os.environ.get("QUEUECTL_TOKEN", ""))

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
        return [attempt_of(job, found) for found in self.call("attempts", id=job.id)["attempts"]]

    def history(self, job: Job) -> list[HistoryEntry]:
        found = self.call("history", id=job.id)["history"]
        return [HistoryEntry(instant_of(h["at"]) or 0, h["event"], h["stage"], h["run"], h["by"], h["note"]) for h in found]

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
