"""TaskPusher's door: its routes, who may use them, its page. A push is answered when it is on disk, and waits for no target.

request → gate (credentials, Host, Origin) → route → a verb in a thread → JSON
"""

from __future__ import annotations

import asyncio
import os
from html import escape
from http import HTTPStatus

from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response

from .. import tokens
from ..adding import Wish
from ..errors import QueueError
from ..saying import say
from .http import auth, problems
from .http.peers import Peer, of_addresses
from .http.problems import Refused
from .tasker_words import LISTS, QUEUE, answer_of, fields_of, job_of, listed, spec_of, task, uid_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, MutableMapping
    from typing import Any, TypeAlias

    from ..model import Job
    from ..queue import Queue
    from .http.auth import Shown, Terms
    from .http.service import Service

    Scope: TypeAlias = MutableMapping[str, Any]
    Receive: TypeAlias = Callable[[], Awaitable[MutableMapping[str, Any]]]
    Send: TypeAlias = Callable[[MutableMapping[str, Any]], Awaitable[None]]

BODY_MAX = 10_000_000
BODY_S = 30.0
CHALLENGE = 'Basic realm="tasker", charset="UTF-8"'
HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; form-action 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


class TaskerApp:
    """An ASGI application. `stopping` tells the page that what is pushed now runs after the next start."""

    def __init__(self, service: Service, terms: Terms, say: Callable[[str], None] | None = None) -> None:
        self._service = service
        self._terms = terms
        self._say = say  # each request, when asked for
        self.stopping = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await _refuse_other(scope, send)
            return
        response = await self._answered(scope, receive)
        response.headers.update({name: text for name, text in HEADERS.items() if name not in response.headers})
        if self._say:
            self._say(f"{scope['method']} {scope['path']} {response.status_code}")
        await response(scope, receive, send)

    async def _answered(self, scope: Scope, receive: Receive) -> Response:
        try:
            self._admit(scope)
            return await self._route(Request(scope, receive))
        except QueueError as fault:
            headers = {"WWW-Authenticate": CHALLENGE} if fault.http_status == 401 else {}
            return Response(problems.body(fault), fault.http_status, headers, problems.PROBLEM)
        except (TimeoutError, ClientDisconnect):
            return PlainTextResponse("the request did not come whole\n", HTTPStatus.REQUEST_TIMEOUT)
        except OSError as fault:
            refusal = Refused(503, f"the system refused: {fault.strerror or fault}", hint="try again in a moment")
            return Response(problems.body(refusal), 503, media_type=problems.PROBLEM)
        except Exception as fault:
            # A mistake of ours: a line for whoever runs the server, no more than its name for whoever asked.
            say(f"internal fault: {type(fault).__name__}: {fault}", "tasker")
            refusal = Refused(500, f"internal fault: {type(fault).__name__}")
            return Response(problems.body(refusal), 500, media_type=problems.PROBLEM)

    def _admit(self, scope: Scope) -> None:
        """Raises Refused for whoever may not."""
        peer = scope.get("state", {}).get("peer")
        peer = peer if isinstance(peer, Peer) else of_addresses(scope.get("client"), scope.get("server"))
        shown = auth.shown_by(scope["method"], scope["path"], scope["headers"], peer)
        if shown.repeated:
            raise Refused(400, "a header is given twice", hint="send Host, Origin, Authorization and Sec-Fetch-Site once")
        if self._terms.basic and not _has_password(shown, self._terms):
            raise Refused(401, "this needs a name and a password", hint="send them as Basic authorization")
        if not auth.means_us(shown.host, self._terms):
            raise Refused(403, "this is not the host that is meant", why="the Host header names another")
        if not auth.from_here(shown):
            raise Refused(403, "another site's page may not use this", why="its Origin is foreign")
        if not self._terms.basic and not _is_neighbour(shown, self._terms):
            raise Refused(403, "this is for the same user on this machine", hint="start tasker with -basicauth=user:password")

    async def _route(self, request: Request) -> Response:
        match _inner_path(request.scope).split("/")[1:]:
            case ["add"]:
                return await self._add(_only(request, "POST"))
            case ["tasks"]:
                _only(request, "GET", "HEAD")
                return Response(await self._service.read(self._page), media_type="text/html; charset=utf-8")
            case ["job" | "task", uid] if uid:
                _only(request, "GET", "HEAD")
                return JSONResponse(await self._service.read(lambda queue: _whole(queue, uid)))
            case ["jobs", what] if what in LISTS:
                _only(request, "GET", "HEAD")
                last_uid = request.query_params.get("last_uid")
                return JSONResponse(await self._service.read(lambda queue: listed(queue, what, last_uid)))
        raise Refused(404, "there is nothing here", hint="/add, /job/UID, /jobs/waiting, running, completed, errors, /tasks")

    async def _add(self, request: Request) -> Response:
        async with asyncio.timeout(BODY_S):
            body = await _body_of(request)
        spec = spec_of(fields_of(request.headers.get("content-type", ""), body))
        added = await self._service.add(Wish(spec))
        uid = await self._service.read(lambda queue: uid_of(queue.get(added.id)))
        headers = {"Location": f"/job/{uid}"}
        if _prefers_text(request.headers.get("accept", "")):
            return PlainTextResponse(uid + "\n", HTTPStatus.CREATED, headers)
        return JSONResponse({"uid": uid}, HTTPStatus.CREATED, headers)

    def _page(self, queue: Queue) -> str:
        lists = {name: list(LISTS[name]) for name in ("waiting", "running", "completed", "errors")}
        counts = queue.store.counts()
        sums = {name: sum(n for lane, state, _, n in counts if lane == QUEUE and state in states) for name, states in lists.items()}
        latest = [job for name in ("running", "waiting", "errors") for job in _newest(queue, lists[name])]
        return page_of(sums, latest, self.stopping)


def _inner_path(scope: Scope) -> str:
    """As seen from where this is mounted; cut only at a path boundary.

    >>> _inner_path({"path": "/web/add", "root_path": "/web"}), _inner_path({"path": "/website/add", "root_path": "/web"})
    ('/add', '/website/add')
    """
    path, root = str(scope["path"]), str(scope.get("root_path", ""))
    return path[len(root) :] if root and path.startswith(root + "/") else path


def _newest(queue: Queue, states: list[str]) -> list[Job]:
    from ..model import Query

    return queue.find(Query(states=tuple(states), queue=QUEUE, limit=10))


def _whole(queue: Queue, uid: str) -> dict[str, Any]:
    job = job_of(queue, uid)
    return task(job, *answer_of(queue, job))


async def _body_of(request: Request) -> bytes:
    pieces, size = [], 0
    async for piece in request.stream():
        size += len(piece)
        if size > BODY_MAX:
            raise Refused(413, "the push is too large", why=f"more than {BODY_MAX} bytes")
        pieces.append(piece)
    return b"".join(pieces)


def _only(request: Request, *methods: str) -> Request:
    if request.method not in methods:
        raise Refused(405, f"{request.method} is not for this path", hint="allowed: " + ", ".join(methods))
    return request


def _prefers_text(accept: str) -> bool:
    """
    >>> _prefers_text("text/plain"), _prefers_text("application/json, text/plain;q=0.5"), _prefers_text("*/*")
    (True, False, False)
    """
    weights = {"text/plain": 0.0, "application/json": 0.0}
    for part in accept.split(","):
        kind, _, options = part.strip().partition(";")
        try:
            weight = float(options.partition("q=")[2] or 1)
        except ValueError:
            weight = 0.0
        if kind in weights:
            weights[kind] = weight
    return weights["text/plain"] > weights["application/json"]


def _has_password(shown: Shown, terms: Terms) -> bool:
    scheme, _, given = (shown.authorization or "").partition(" ")
    return scheme.lower() == "basic" and auth.is_listed(given.strip(), terms)


def _is_neighbour(shown: Shown, terms: Terms) -> bool:
    """Whether the kernel says that the other end is ours; a proxy's is not, whoever runs it."""
    peer = shown.peer
    if shown.forwarded or not peer.loopback:
        return False
    return peer.uid in (terms.uid, 0) or (peer.uid is None and not os.path.exists("/proc/net/tcp"))


def password_digest(basicauth: str) -> str:
    return tokens.digest(basicauth)


async def _refuse_other(scope: Scope, send: Send) -> None:
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 1008})


STYLE = "body{font:15px system-ui,sans-serif;margin:2em;max-width:70em}td,th{text-align:left;padding:.2em 1em .2em 0}th{color:#555}"


def page_of(sums: dict[str, int], latest: list[Job], stopping: bool) -> str:
    """Status and health, readable without a script."""
    health = "stopping: what is pushed now runs after the next start" if stopping else "well"
    counts = "".join(f"<tr><th>{escape(name)}</th><td>{n}</td></tr>" for name, n in sums.items())
    rows = "".join(_row(task(job)) for job in latest if job.kind == "call")
    return (
        "<!doctype html><html lang=en><meta charset=utf-8><title>tasker</title><meta http-equiv=refresh content=10>"
        f"<style>{STYLE}</style><h1>tasker</h1><p>It is {health}.<table>{counts}</table>"
        f"<h2>Tasks</h2><table><tr><th>uid<th>state<th>url<th>error</tr>{rows}</table></html>"
    )


def _row(shown: dict[str, Any]) -> str:
    cells = [str(shown["ID"]), str(shown["State"]), str(shown["URL"]), str(shown["Error"])]
    return "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in cells) + "</tr>"
