"""The ASGI application: a gate in front, then routes that are made from the table of operations.

request → gate (who may, whose page, JSON only) → route → arguments, checked → a verb in a thread → JSON
"""

from __future__ import annotations

import asyncio
import os
import traceback
from email.utils import formatdate
from time import time

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route, Router

from ... import ops
from ...errors import QueueError
from ...saying import say
from . import answers, auth, login, problems, statics
from .auth import Allowed, Terms, judge, shown_by
from .peers import Peer, of_addresses
from .problems import Refused

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, MutableMapping
    from typing import Any, TypeAlias

    from .answers import Desk

    Scope: TypeAlias = MutableMapping[str, Any]
    Receive: TypeAlias = Callable[[], Awaitable[MutableMapping[str, Any]]]
    Send: TypeAlias = Callable[[MutableMapping[str, Any]], Awaitable[None]]
    Endpoint: TypeAlias = Callable[[Request], Awaitable[Response]]
    Who: TypeAlias = Callable[[Scope], str | Awaitable[str | None] | None]

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; font-src 'self'; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
HEADERS = [
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
]
READING = ("GET", "HEAD", "OPTIONS")


class App:
    """One queue's web, as an ASGI application; `prefix` is where it stands in the one it is mounted in."""

    def __init__(self, desk: Desk, terms: Terms, prefix: str = "", who: Who | None = None) -> None:
        self.desk = desk
        self.terms = terms
        self.prefix = prefix
        self.who = who  # asked first, when it was given: the surrounding program may know the user
        served = _served(desk, terms)
        self.plain = {path: serve for path, serve in served.items() if "{" not in path}  # found without looking through all
        self.router = Router([Route(path, serve) for path, serve in served.items()], redirect_slashes=False, default=_nothing)

    def close(self) -> None:
        """End the streams, and the threads once what they were given is done."""
        self.desk.close()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        match scope["type"]:
            case "http":
                await self._answer(scope, receive, _Headed(send))
            case "lifespan":
                await self._live(receive, send)
            case "websocket":
                await send({"type": "websocket.close", "code": 1008})

    async def _live(self, receive: Receive, send: Send) -> None:
        while True:
            message = await receive()
            if message["type"] == "lifespan.shutdown":
                self.close()
            await send({"type": message["type"] + ".complete"})
            if message["type"] == "lifespan.shutdown":
                return

    async def _answer(self, scope: Scope, receive: Receive, send: _Headed) -> None:
        inner = scope
        try:
            inner = self._inside(scope)
            known = await self._known(inner)
            verdict = self._verdict(inner, known)
            inner["queuectl.allowed"] = lambda: isinstance(self._verdict(inner, known), Allowed)  # for what goes on for long
            if isinstance(verdict, Refused):
                await self._refusal(inner, verdict)(inner, receive, send)
                return
            serve = self.plain.get(inner["queuectl.path"])
            if serve is None:
                await self.router(inner, receive, send)
            else:
                await serve({**inner, "path_params": {}}, receive, send)
        except QueueError as fault:
            answer = self._refusal(inner, fault) if fault.http_status == 401 and not send.begun else _problem(fault, send)
            await answer(scope, receive, send)
        except OSError as fault:
            await _problem(Refused(503, f"the system refused: {fault.strerror or fault}"), send)(scope, receive, send)
        except asyncio.CancelledError:
            raise
        except Exception as fault:
            _report(fault)
            what = f"internal fault, please report it: {type(fault).__name__}"
            await _problem(Refused(500, what), send)(scope, receive, send)

    def _inside(self, scope: Scope) -> Scope:
        """The scope as seen from inside the prefix. Raises Refused for a path outside: cut only at a path boundary."""
        root = scope.get("root_path", "") + self.prefix
        path = scope["path"]
        if root and path != root and not path.startswith(root + "/"):
            raise Refused(404, "there is nothing here")
        return {**scope, "root_path": root, "queuectl.path": path[len(root) :] or "/"}

    async def _known(self, scope: Scope) -> str | None:
        """Who this is to the program around us."""
        if self.who is None:
            return None
        found = self.who(scope)
        return found if found is None or isinstance(found, str) else await found

    def _verdict(self, scope: Scope, known: str | None) -> Allowed | Refused:
        peer = scope.get("state", {}).get("peer")
        if not isinstance(peer, Peer):
            peer = of_addresses(scope.get("client"), scope.get("server"))
        method, path = scope["method"], scope["queuectl.path"]
        verdict = judge(shown_by(method, path, scope["headers"], peer, known), self.terms)
        if isinstance(verdict, Refused) or method in READING or path == auth.LOGIN:
            return verdict
        kind = next((value for name, value in scope["headers"] if name == b"content-type"), None)
        if kind is not None and kind.split(b";")[0].strip().lower() != b"application/json":
            return Refused(415, "only JSON is taken here", hint="send Content-Type: application/json", field="Content-Type")
        return verdict

    def _refusal(self, scope: Scope, refused: QueueError) -> Response:
        """A problem document; for a browser that does not know yet who it is, the page that asks."""
        headers = {"WWW-Authenticate": self.terms.challenge} if refused.http_status == 401 else {}
        wants_page = any(name == b"accept" and b"text/html" in value for name, value in scope["headers"])
        at_login = scope["queuectl.path"] == auth.LOGIN
        if refused.http_status == 401 and wants_page and (at_login or scope["method"] == "GET"):
            page = login.page(scope["root_path"], refused if at_login else None)
            return Response(page, 401, {**headers, **login.HEADERS}, "text/html")
        return Response(problems.body(refused), refused.http_status, headers, problems.PROBLEM)


class _Headed:
    """`send`, with the headers that every answer has, and a memory of whether an answer has begun."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self.begun = False

    async def __call__(self, message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            self.begun = True
            given = {name for name, _ in message["headers"]}
            more = [*HEADERS, (b"date", _date()), (b"content-security-policy", POLICY.encode()), (b"cache-control", b"no-store")]
            message = {**message, "headers": [*message["headers"], *[pair for pair in more if pair[0] not in given]]}
        await self._send(message)


_dates: dict[int, bytes] = {}


def _date() -> bytes:
    now = int(time())
    if now not in _dates:
        _dates.clear()
        _dates[now] = formatdate(now, usegmt=True).encode()
    return _dates[now]


async def _nothing(scope: Scope, receive: Receive, send: Send) -> None:
    raise Refused(404, "there is nothing here", hint="/openapi.json says what there is")


def _problem(fault: QueueError, send: _Headed) -> Response:
    if send.begun:
        raise fault  # half an answer is out: the server closes the connection
    headers = {"Retry-After": "1"} if fault.http_status == 503 else {}
    return Response(problems.body(fault), fault.http_status, headers, problems.PROBLEM)


def _report(fault: Exception) -> None:
    """A mistake of ours: one line, and for whoever mends it where."""
    say(f"internal fault of the web: {type(fault).__name__}: {fault}")
    if os.environ.get("QUEUECTL_DEBUG"):
        traceback.print_exception(fault)


# ---------------------------------------------------------------- routes


def _served(desk: Desk, terms: Terms) -> dict[str, _Served]:
    """What serves each path; the method chooses among its operations."""
    paths: dict[str, dict[str, Endpoint]] = {}
    for operation in ops.OPERATIONS:
        pattern = ops.BASE + operation.path.replace("{key}", "{key:path}")
        paths.setdefault(pattern, {})[operation.method] = answers.endpoint(desk, operation)
    for path, endpoint in {**answers.plain(desk), **statics.endpoints()}.items():
        paths[path] = {"GET": endpoint}
    paths[auth.LOGIN] = answers.login(desk, terms)
    return {path: _by_method(methods) for path, methods in paths.items()}


def _by_method(methods: dict[str, Endpoint]) -> _Served:
    allowed = {**methods, **({"HEAD": methods["GET"]} if "GET" in methods else {})}

    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        endpoint = allowed.get(scope["method"])
        if endpoint is None:
            fault = Refused(405, f"{scope['method']} is not for this path", hint="allowed: " + ", ".join(allowed))
            response = Response(problems.body(fault), 405, {"Allow": ", ".join(allowed)}, problems.PROBLEM)
        else:
            response = await endpoint(Request(scope, receive))
        await response(scope, receive, send)

    return _Served(serve)


class _Served:
    """An ASGI application for a route; as an object, because Starlette takes a function for an endpoint of its own."""

    def __init__(self, serve: Callable[[Scope, Receive, Send], Awaitable[None]]) -> None:
        self._serve = serve

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._serve(scope, receive, send)
