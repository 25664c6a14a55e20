"""How each kind of operation is answered: arguments read and checked, the verb called in a thread, the answer written."""

from __future__ import annotations

import asyncio
import hashlib
import json
from time import monotonic, time
from urllib.parse import parse_qsl

from starlette.responses import Response

from ... import codec, jsontext, ops, shown, tokens
from ...adding import Added, Repeat, Wish, add_array, add_each
from ...errors import InvalidInput, QueueError
from . import auth, events, logs, openapi, problems, prometheus
from .problems import Refused
from .streaming import StreamResponse

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from typing import Any, TypeAlias

    from starlette.requests import Request

    from ...model import Job, Spec
    from ...ops import Operation
    from ...queue import Queue
    from .auth import Terms
    from .service import Service

    Endpoint: TypeAlias = Callable[[Request], Awaitable[Response]]

BODY_MAX = 1_000_000
PILE_MAX = 32_000_000  # of an array of jobs
BODY_S = 30.0  # a body must have come by then
SMALL = 65_536  # a body that is read in the loop's own thread
KEY_MAX = 255
PARTS = 200  # jobs of a partial array that share a transaction


class Desk:
    """What the endpoints share: the service and the tail of its history."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self.tail = events.Tail(service)
        self.stopping = False

    def close(self) -> None:
        self.stopping = True
        self.tail.close()
        self.service.close()


def endpoint(desk: Desk, operation: Operation) -> Endpoint:
    serve = {"json": _json, "long": _json, "wait": _wait, "add": _add, "bytes": _log, "stream": _stream}[operation.kind]

    async def run(request: Request) -> Response:
        if operation.writes and desk.service.read_only:
            raise Refused(
                403, "this server only shows", why="it was started to read", hint="'queuectl serve' may change things too"
            )
        given = ops.checked(operation, "path", request.path_params) | ops.checked(operation, "query", _query(request))
        return await serve(desk, operation, request, given)

    return run


# ---------------------------------------------------------------- what is asked


def _query(request: Request) -> dict[str, Any]:
    raw = request.scope["query_string"].decode("latin-1")
    if not raw:
        return {}
    try:
        pairs = parse_qsl(raw, keep_blank_values=True, errors="strict", max_num_fields=50)
    except ValueError:
        raise InvalidInput("the query is not understood", hint="name=value, joined by &, percent-encoded UTF-8") from None
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise InvalidInput(f"{twice[:60]!r} is given twice", field=twice[:60])
    return found


async def _body(request: Request, most: int) -> bytes:
    """The body, in bounded size and time. Raises Refused."""
    length = next((value for name, value in request.scope["headers"] if name == b"content-length"), b"0")
    if length.isdigit() and int(length[:20]) > most:
        raise Refused(413, f"the body is larger than {most} bytes", hint="send less at a time")
    parts: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(BODY_S):
            more = True
            while more:
                message = await request.receive()
                if message["type"] == "http.disconnect":
                    raise Refused(400, "the body was cut off")
                parts.append(message.get("body", b""))
                size += len(parts[-1])
                more = message.get("more_body", False)
                if size > most:
                    raise Refused(413, f"the body is larger than {most} bytes", hint="send less at a time")
    except TimeoutError:
        raise Refused(408, f"the body did not come in {BODY_S:g} s") from None
    return b"".join(parts)


def _loaded(body: bytes) -> Any:
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError:
        raise InvalidInput("the body is not UTF-8") from None
    return jsontext.loads(text)


async def _object(request: Request) -> dict[str, Any]:
    body = await _body(request, BODY_MAX)
    found = _loaded(body) if body.strip() else {}
    if not isinstance(found, dict):
        raise InvalidInput("the body must be a JSON object")
    return found


# ---------------------------------------------------------------- answers


def _answer(value: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Response(json.dumps(value), status, headers, "application/json")


async def _json(desk: Desk, operation: Operation, request: Request, given: dict[str, Any]) -> Response:
    if operation.takes_body or operation.writes:
        given = given | ops.checked(operation, "body", await _object(request))
    assert operation.run is not None
    run = operation.run
    service = desk.service
    call = service.pile if operation.kind == "long" else service.write if operation.writes else service.read
    value = await call(lambda queue: run(queue, given))
    if operation.name == "status":
        value |= desk.service.about
    return _answer(value, operation.status)


async def _wait(desk: Desk, operation: Operation, request: Request, given: dict[str, Any]) -> Response:
    """The job; with `wait`, once it has ended or the time is over."""
    job = await desk.service.read(lambda queue: queue.get(given["id"]))
    if given.get("wait") and not job.ended:
        job = await _ended(desk, job, given["wait"])
    return _answer(shown.job_object(job))


async def _ended(desk: Desk, job: Job, wait_s: float) -> Job:
    end, number, known = monotonic() + wait_s, job.number, job
    async with desk.tail.watching(number) as changed:
        while True:
            changed.clear()
            found: Job | None = await desk.service.read(lambda queue: queue.store.job(number))
            known = found or known
            left = end - monotonic()
            if known.ended or left <= 0 or desk.stopping:
                return known
            try:
                async with asyncio.timeout(left):
                    await changed.wait()
            except TimeoutError:
                pass  # looked at once more


# ---------------------------------------------------------------- adding


async def _add(desk: Desk, operation: Operation, request: Request, given: dict[str, Any]) -> Response:
    body = await _body(request, PILE_MAX)
    repeat = _repeat(request, body)
    if len(body) > SMALL or body.lstrip()[:1] == b"[":
        return await desk.service.pile(lambda queue: _pile(queue, body, bool(given.get("partial")), repeat))
    return _added(await desk.service.add(Wish(_spec(_loaded(body)), repeat)))


def _added(added: Added) -> Response:
    headers = {"Location": f"{ops.BASE}/jobs/{added.id}"} if added.id else {}
    return Response(added.text, 201, headers, "application/json")


def _repeat(request: Request, body: bytes) -> Repeat | None:
    given = next((value for name, value in request.scope["headers"] if name == b"idempotency-key"), None)
    if given is None:
        return None
    key = given.decode("latin-1")
    if not key.strip() or len(key) > KEY_MAX or not key.isprintable():
        raise InvalidInput(f"Idempotency-Key must be 1 to {KEY_MAX} printable characters", field="Idempotency-Key")
    return Repeat(key, hashlib.sha256(request.scope["query_string"] + b"\0" + body).digest())


def _spec(value: Any) -> Spec:
    if not isinstance(value, dict):
        raise InvalidInput("a job must be a JSON object", hint='{"command": "sleep 2"}')
    return codec.spec_from_object(value)


def _pile(queue: Queue, body: bytes, partial: bool, repeat: Repeat | None) -> Response:
    """A large job or an array of jobs; in a thread of its own."""
    found = _loaded(body)
    if not isinstance(found, list):
        outcome = add_each(queue, [Wish(_spec(found), repeat)])[0]
        if isinstance(outcome, QueueError):
            raise outcome
        return _added(outcome)
    if len(found) > ops.ARRAY_MAX:
        raise Refused(413, f"an array may hold {ops.ARRAY_MAX} jobs", why=f"this one holds {len(found)}", hint="send several")
    if partial:
        if repeat:
            raise InvalidInput(
                "Idempotency-Key is for one job or for all of an array", hint="give each job a key", field="Idempotency-Key"
            )
        return _answer(_each(queue, found))
    return Response(add_array(queue, [_nth(found, at) for at in range(len(found))], repeat).text, 201, None, "application/json")


def _nth(found: list[Any], at: int) -> Spec:
    """Raises InvalidInput that says which of them it is."""
    try:
        return _spec(found[at])
    except InvalidInput as fault:
        what = f"job {at} of the array: {fault.what}"
        raise InvalidInput(what, why=fault.why, hint="nothing was added", field=f"{at}.{fault.field}".rstrip(".")) from None


def _each(queue: Queue, found: list[Any]) -> dict[str, Any]:
    """What became of each."""
    outcomes: list[Added | QueueError] = []
    for begin in range(0, len(found), PARTS):
        part: list[Wish | QueueError] = []
        for value in found[begin : begin + PARTS]:
            try:
                part.append(Wish(_spec(value)))
            except QueueError as fault:
                part.append(fault)
        made = iter(add_each(queue, [wish for wish in part if isinstance(wish, Wish)]))
        outcomes += [next(made) if isinstance(wish, Wish) else wish for wish in part]
    results = [{"status": 201, "id": one.id} if isinstance(one, Added) else problems.document(one) for one in outcomes]
    return {"added": sum(isinstance(one, Added) for one in outcomes), "results": results}


# ---------------------------------------------------------------- logs and streams


async def _log(desk: Desk, operation: Operation, request: Request, given: dict[str, Any]) -> Response:
    whole = await desk.service.read(lambda queue: logs.chosen(queue, given))
    headers = {"Accept-Ranges": "bytes", "Content-Security-Policy": "sandbox; default-src 'none'"}
    if given.get("download"):
        headers["Content-Disposition"] = f'attachment; filename="{given["id"]}.log"'
    try:
        part = logs.ranged(whole, request.headers.get("range"))
    except Refused as fault:
        headers["Content-Range"] = f"bytes */{whole.total}"
        return Response(problems.body(fault), fault.http_status, headers, problems.PROBLEM)
    status, chosen = (200, whole) if part is None else (206, part.but(sparse=False))
    if part is not None:
        begin = part.start - whole.start
        headers["Content-Range"] = f"bytes {begin}-{begin + part.end - part.start - 1}/{whole.total}"
    if not chosen.sparse:
        headers["Content-Length"] = str(chosen.end - chosen.start)
    return StreamResponse(logs.pieces(chosen), status, headers, "text/plain; charset=utf-8")


async def _stream(desk: Desk, operation: Operation, request: Request, given: dict[str, Any]) -> Response:
    job = None if operation.name == "events" else await desk.service.read(lambda queue: queue.get(given["id"]))
    if desk.tail.full:
        raise Refused(503, "too many streams are open", hint="close one, or try again")
    if job is None:
        found = _events(desk, _last_event(request), bool(given.get("every")))
    else:
        found = logs.follow(desk.service, desk.tail, job, _last_event(request) or given.get("offset", 0))
    return StreamResponse(found, 200, {"X-Accel-Buffering": "no"}, "text/event-stream")


def _last_event(request: Request) -> int | None:
    last = request.headers.get("last-event-id", "")
    return int(last) if last.isascii() and last.isdigit() and len(last) < 19 else None


async def _events(desk: Desk, after: int | None, every: bool) -> AsyncIterator[bytes]:
    stream, upto = await desk.tail.attach(after, every)
    try:
        overview = ops.BY_NAME["status"].run
        assert overview is not None
        status = await desk.service.read(lambda queue: overview(queue, {}))
        hello = {"status": {**status, **desk.service.about}, "seq": upto}
        yield b"retry: 2000\n\n" + events.message("hello", hello, upto if after is None else None)
        while chunk := await desk.tail.next(stream):
            yield chunk
    finally:
        desk.tail.detach(stream)


# ---------------------------------------------------------------- beside the API


def plain(desk: Desk) -> dict[str, Endpoint]:
    document = json.dumps(openapi.document())

    async def health(request: Request) -> Response:
        return _answer({"status": "ok"})

    async def ready(request: Request) -> Response:
        if desk.stopping:
            raise Refused(503, "stopping")
        await desk.service.read(lambda queue: queue.store.run("select 1"))
        return _answer({"status": "ready"})

    async def metrics(request: Request) -> Response:
        return Response(await desk.service.read(prometheus.text), 200, None, prometheus.TYPE)

    async def described(request: Request) -> Response:
        return Response(document, 200, None, "application/json")

    return {"/healthz": health, "/readyz": ready, "/metrics": metrics, "/openapi.json": described}


def login(desk: Desk, terms: Terms) -> dict[str, Endpoint]:
    """A one-time link, or the token itself, begins a session."""

    async def by_link(request: Request) -> Response:
        secret = _query(request).get("once", "")
        if not secret or not tokens.use_link(desk.service.place, secret):
            raise Refused(401, "this link was used, or is too old", hint="'queuectl token link' makes another")
        return _welcome(request, terms)

    async def by_token(request: Request) -> Response:
        body = await _body(request, BODY_MAX)
        if request.headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
            given = dict(parse_qsl(body.decode("utf-8", "replace"))).get("token", "")
        else:
            found = _loaded(body) if body else {}
            given = str(found.get("token", "")) if isinstance(found, dict) else ""
        expected = terms.token()
        if expected is None or not tokens.same(tokens.digest(given.strip()), expected):
            raise Refused(401, "this is not the token", hint="'queuectl token' shows it")
        return _welcome(request, terms)

    return {"GET": by_link, "POST": by_token}


def _welcome(request: Request, terms: Terms) -> Response:
    root = request.scope["root_path"]
    session = tokens.make_session(terms.session_key(), time())
    secure = "; Secure" if request.scope["scheme"] == "https" else ""
    cookie = f"{auth.COOKIE}={session}; Path={root or '/'}; HttpOnly; SameSite=Strict; Max-Age={tokens.SESSION_S}{secure}"
    return Response(b"", 303, {"Location": f"{root}/", "Set-Cookie": cookie})
