"""Making one call: the request goes out, the answer goes into the job's log, and how it ended is told in a word.

Every connection is judged at the moment it is made (`addresses`), whatever name or spelling led to it and at each hop of
a redirect. Nothing is taken from this process's environment: no proxy, no netrc, no cookie.
"""

from __future__ import annotations

import errno
import os
import socket
import ssl
from functools import lru_cache
from time import time

import aiohttp
from aiohttp.http import HttpProcessingError
from yarl import URL

from .. import addresses, answers, signing
from ..errors import QueueError
from ..record import Record
from .wire import CONNECTED, Answer, Request, Wire

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..addresses import Rules
    from ..model import Call
    from .answer_log import AnswerLog

is_expected = lru_cache(256)(answers.is_expected)
MOVED = frozenset((301, 302, 303, 307, 308))
KEEPS_METHOD = frozenset((307, 308))
TO_ONE_PLACE = frozenset(("authorization", "proxy-authorization", "cookie", "host", "webhook-signature", "x-api-key", "api-key"))


class Terms(Record):
    """What a call runs under beyond what it says itself."""

    timeout_s: float  # in all; 0: none
    connect_s: float
    output_max: int  # bytes of the body that are kept
    rules: Rules
    ca: str  # file of certificates that are trusted beside the system's


class Ending(Record):
    """How a call ended. `reason` is empty when it succeeded; `busy_s` is set when its target asked to be left alone, and
    below zero when it did not say for how long."""

    reason: str = ""
    final: bool = False
    busy_s: float | None = None


class Alike:
    """Calls that are alike in all that they say, and the request that they begin with, once it was put together."""

    def __init__(self, asked: Call) -> None:
        self.asked = asked
        self.first: Request | None = None


class Failure(Exception):
    """A call that failed for a reason that a word says; `detail` goes into the log."""

    def __init__(self, reason: str, detail: str, final: bool = False) -> None:
        super().__init__(detail)
        self.reason = reason
        self.final = final


class AddressRefused(OSError):
    """Nobody may connect to this address from here."""


class Client:
    """Makes calls, many at once. One for each loop; close it."""

    def __init__(self, secrets: signing.Secrets) -> None:
        self._secrets = secrets
        self.rules = addresses.Rules()
        self._wire = Wire(self._socket)

    def _socket(self, found: tuple[object, ...]) -> socket.socket:
        """Called with each address before it is connected to."""
        CONNECTED.get().append(True)
        family, kind, protocol, _, place = found
        assert isinstance(place, tuple)
        why = addresses.refusal(str(place[0]), self.rules)
        if why:
            raise AddressRefused(errno.EACCES, f"{place[0]} must not be called: {why}")
        return socket.socket(family, kind, protocol)  # type: ignore[arg-type]

    async def close(self) -> None:
        await self._wire.close()

    async def call(self, alike: Alike, message_id: str, terms: Terms, log: AnswerLog) -> Ending:
        """Raises nothing but CannotKeep, and what a cancelled task does. `message_id` is the same on each attempt."""
        self.rules = terms.rules
        try:
            return await self._follow(alike, message_id, terms, log)
        except Failure as failure:
            return _told(log, failure)
        except aiohttp.ConnectionTimeoutError:
            return _told(log, Failure("connect timeout", f"no connection after {terms.connect_s:g} s"))
        except (aiohttp.ClientError, HttpProcessingError, OSError, ValueError) as fault:
            return _told(log, failure_of(fault))

    async def _follow(self, alike: Alike, message_id: str, terms: Terms, log: AnswerLog) -> Ending:
        """The request, and wherever it is redirected to."""
        asked = alike.asked
        request = alike.first = alike.first or _first(asked)
        own, tls = self._own_headers(asked, request, message_id), _tls(terms.ca) if asked.verify and terms.ca else asked.verify
        for _ in range(asked.redirects + 1):
            answer = await self._wire.exchange(request, own, tls, terms.connect_s)
            try:
                place = answer.headers.get("Location") if answer.status in MOVED and asked.redirects else None
                if place is None:
                    return await _take(asked, answer, terms, log)
                following = _following(request.target, place)
                log.note(f"queuectl: {answer.status}, redirected to {following}\n".encode())
            finally:
                answer.release()
            request, own = _redirected(request, own, answer.status, following), []
        raise Failure("too many redirects", f"redirected more than {asked.redirects} times")

    def _own_headers(self, asked: Call, request: Request, message_id: str) -> list[tuple[str, str]]:
        """Those that no other call has."""
        own = [] if "idempotency-key" in request.given else [("Idempotency-Key", message_id)]
        if asked.sign:
            try:
                key = self._secrets.key(asked.sign)
            except QueueError as fault:
                raise Failure("not signed", str(fault)) from None
            own += signing.headers(key, message_id, int(time()), request.body).items()
        return own


def _first(asked: Call) -> Request:
    """As its URL was written, when it was written as it is sent."""
    try:
        target = URL(asked.url, encoded=asked.url.isascii())
    except ValueError as fault:
        raise Failure("bad url", f"{asked.url} is no address: {fault}", final=True) from None
    headers, body = [*asked.headers], (asked.body or "").encode()
    if body and "content-type" not in {name.lower() for name, _ in headers}:
        headers.append(("Content-Type", "application/json" if body[:1] in (b"{", b"[") else "text/plain; charset=utf-8"))
    return Request(asked.method, target, headers, body, asked.proxy)


def _redirected(request: Request, own: list[tuple[str, str]], status: int, following: URL) -> Request:
    """What is secret stays with the place it was meant for."""
    method, body, headers = request.method, request.body, [*request.headers, *own]
    if status not in KEEPS_METHOD and method not in ("GET", "HEAD"):
        method, body = "GET", b""
        headers = [(name, text) for name, text in headers if not name.lower().startswith(("content-", "webhook-"))]
    if following.origin() != request.target.origin():
        headers = [(name, text) for name, text in headers if name.lower() not in TO_ONE_PLACE]
    return Request(method, following, headers, body, request.proxy)


def late(terms: Terms, log: AnswerLog) -> Ending:
    """It was cut for its time was over."""
    return _told(log, Failure("timeout", f"no whole answer after {terms.timeout_s:g} s"))


def _tls(ca: str) -> ssl.SSLContext:
    """What to trust, with the certificates of this file as they are now."""
    try:
        return _trusting(ca, os.stat(ca).st_mtime_ns)
    except (OSError, ValueError) as fault:
        raise Failure("not trusted", f"the certificates of call_ca, {ca}, cannot be read: {fault}") from None


@lru_cache(4)
def _trusting(ca: str, changed_ns: int) -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.load_verify_locations(ca)
    return context


def _following(target: URL, place: str) -> URL:
    try:
        following = target.join(URL(place, encoded=place.isascii()))
        following.origin()
    except ValueError:
        raise Failure("bad redirect", f"redirected to {place[:200]!r}, which is no address") from None
    if following.scheme not in ("http", "https") or not following.host:
        raise Failure("bad redirect", f"redirected to {place[:200]!r}, which is neither http nor https", final=True)
    return following


async def _take(asked: Call, answer: Answer, terms: Terms, log: AnswerLog) -> Ending:
    """Keep the answer and judge it."""
    kept, head, size, cut, whole = [], answer.head(), 0, False, False
    while not whole and (piece := await answer.content.readany()):
        room = terms.output_max - size
        size += len(piece)
        piece = piece[:room]
        if asked.expect_body is not None:
            kept.append(piece)
        if whole := answer.content.at_eof():
            log.note(head + piece)
        else:
            log.write(head + piece)
        head = b""
        if size > terms.output_max:
            cut = True
            answer.close()
            break
    if head:
        log.note(head)
    if cut:
        log.note(f"\n[queuectl: the answer was cut here, after {terms.output_max} bytes]\n".encode())
    return _judged(asked, answer, b"".join(kept), log)


def _judged(asked: Call, answer: Answer, body: bytes, log: AnswerLog) -> Ending:
    final = answers.forbids_retry(answer.headers)
    busy = None
    if answer.status in answers.BUSY:
        told = answers.retry_after_s(answer.headers.get("Retry-After"), time())
        busy = -1.0 if told is None else told
    if not is_expected(answer.status, asked.expect_status):
        return Ending(f"http {answer.status}", final, busy)
    if asked.expect_body is not None and asked.expect_body.encode() not in body:
        return _told(log, Failure("unexpected body", f"the answer does not contain {asked.expect_body[:200]!r}", final))
    return Ending(busy_s=busy)


def failure_of(fault: Exception) -> Failure:
    """In a word what kept a request from being answered, from what the client raises."""
    cause = fault.os_error if isinstance(fault, aiohttp.ClientConnectorError) else fault
    text = str(cause) or type(fault).__name__
    if isinstance(cause, AddressRefused) or "must not be called" in text:
        return Failure("address refused", cause.strerror or text if isinstance(cause, OSError) else text, final=True)
    if isinstance(fault, aiohttp.InvalidURL):
        return Failure("bad url", text, final=True)
    for kinds, reason in REASONS_OF:
        if isinstance(fault, kinds):
            return Failure(reason, text)
    if isinstance(cause, OSError) and cause.errno == errno.ECONNREFUSED:
        return Failure("connection refused", text)
    return Failure("cannot connect" if isinstance(fault, aiohttp.ClientConnectorError) else "cut", text)


REASONS_OF: tuple[tuple[tuple[type[Exception], ...], str], ...] = (
    ((aiohttp.ClientConnectorDNSError, socket.gaierror), "name not found"),
    ((aiohttp.ClientConnectorCertificateError, aiohttp.ClientSSLError, ssl.SSLError), "not trusted"),
    ((aiohttp.ClientProxyConnectionError, aiohttp.ClientHttpProxyError), "proxy failed"),
    ((aiohttp.ServerDisconnectedError, aiohttp.ClientPayloadError), "cut"),
    ((aiohttp.ClientResponseError, HttpProcessingError, ValueError), "bad answer"),
)


def _told(log: AnswerLog, failure: Failure) -> Ending:
    """The failure, with a line in the log."""
    log.note(f"queuectl: {failure.reason}: {failure}\n".encode("utf-8", "backslashreplace"))
    return Ending(failure.reason, failure.final)
