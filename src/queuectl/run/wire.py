"""One request and the head of its answer, over connections of the HTTP client's: what goes out is put together here, names,
TLS, proxies, kept connections and the parser of what comes back are the library's.

Its objects for a request and an answer are left out: they cost twice what all the rest of an exchange does.
"""

from __future__ import annotations

import asyncio
from base64 import b64encode
from contextvars import ContextVar
from functools import lru_cache

import aiohttp
from aiohttp import ClientTimeout
from yarl import URL

from .. import __version__

TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket
    import ssl
    from collections.abc import Callable

    from aiohttp.connector import Connection
    from aiohttp.http import RawResponseMessage

    Tls = ssl.SSLContext | bool  # what to trust; false: the certificate is not checked

LINE_MAX, FIELD_MAX = 16_384, 65_536  # of an answer's head
NAMES_KEPT_S = 10  # how long a resolved name is used again; the address is judged each time it is connected to
TARGETS_MAX = 500
AS_USUAL = (("Accept", "*/*"), ("Accept-Encoding", "identity"), ("User-Agent", f"queuectl/{__version__}"))
SAYS_HOW_LONG = ("POST", "PUT", "PATCH")  # also without a body
MAY_BE_SENT_AGAIN = ("GET", "HEAD", "OPTIONS")

# Whether an exchange has begun to make a connection; what nobody asked for is not read.
CONNECTED: ContextVar[list[bool]] = ContextVar("connected", default=[])  # noqa: B039


class Request:
    """What goes out, and to where. Put together once, it may be sent many times with other headers behind its own."""

    def __init__(self, method: str, target: URL, headers: list[tuple[str, str]], body: bytes, proxy: str | None) -> None:
        self.method = method
        self.target = target
        self.headers = headers
        self.body = body
        self.proxy = proxy
        self.given = frozenset([name.lower() for name, _ in headers])
        self.by_proxy = proxy is not None and target.scheme == "http"
        self.opening = self._opening()

    def _opening(self) -> bytes:
        """Its first line and headers.

        >>> r = Request("GET", URL("http://me:secret@example.org:81/a?b=c#d"), [("X-A", "1")], b"", None)
        >>> r.opening.split(b"\\r\\n")[:4]
        [b'GET /a?b=c HTTP/1.1', b'Host: example.org:81', b'X-A: 1', b'Accept: */*']
        """
        target = self.target
        place = str(target.with_user(None).with_fragment(None)) if self.by_proxy else target.raw_path_qs
        headers = [*self.headers, *[(name, text) for name, text in AS_USUAL if name.lower() not in self.given]]
        if "host" not in self.given:
            headers.insert(0, ("Host", target.host_port_subcomponent or ""))
        if target.raw_user is not None and "authorization" not in self.given:
            pair = f"{target.user}:{target.password or ''}".encode()
            headers.append(("Authorization", f"Basic {b64encode(pair).decode()}"))
        if self.body or self.method in SAYS_HOW_LONG:
            headers.append(("Content-Length", str(len(self.body))))
        return f"{self.method} {place} HTTP/1.1\r\n".encode() + lines(headers)


def lines(headers: list[tuple[str, str]]) -> bytes:
    """
    >>> lines([("A", "1"), ("B", "2")])
    b'A: 1\\r\\nB: 2\\r\\n'
    """
    return "".join([f"{name}: {text}\r\n" for name, text in headers]).encode()


class Answer:
    """The head of an answer; the body comes through `content`. Release it when all was read, else close it."""

    def __init__(self, message: RawResponseMessage, content: aiohttp.StreamReader, connection: Connection) -> None:
        self.status = message.code
        self.headers = message.headers
        self.content = content
        self._message = message
        self._connection = connection

    def head(self) -> bytes:
        """Status line and headers as they came."""
        message = self._message
        first = f"HTTP/{message.version.major}.{message.version.minor} {message.code} {message.reason or ''}".rstrip()
        lines = [first.encode("utf-8", "replace"), *[name + b": " + value for name, value in message.raw_headers]]
        return b"\r\n".join(lines) + b"\r\n\r\n"

    def release(self) -> None:
        """The connection serves others if the answer came whole."""
        self._connection.release()

    def close(self) -> None:
        self._connection.close()


class Wire:
    """The connections. `socket_factory` is called with each address before it is connected to. One for each loop; close it."""

    def __init__(self, socket_factory: Callable[[tuple[object, ...]], socket.socket]) -> None:
        def connector(force_close: bool) -> aiohttp.TCPConnector:
            return aiohttp.TCPConnector(limit=0, force_close=force_close, ttl_dns_cache=NAMES_KEPT_S, socket_factory=socket_factory)

        # What must not be sent twice gets a connection of its own: a kept one may be closed by the other side in the very
        # moment of sending, and nobody could say whether the request was read.
        self._kept, self._fresh = connector(force_close=False), connector(force_close=True)
        self._session = aiohttp.ClientSession(connector=self._kept, cookie_jar=aiohttp.DummyCookieJar())
        self._places: dict[tuple[URL, Tls, str | None], aiohttp.ClientRequest] = {}

    async def close(self) -> None:
        await self._session.close()
        await self._fresh.close()

    async def exchange(self, request: Request, more: list[tuple[str, str]], tls: Tls, connect_s: float) -> Answer:
        """Send it once, with more headers; once more only when a kept connection turns out to have been closed by the other
        side."""
        place, timeout = self._place(request, tls), _timeout(connect_s)
        if request.method not in MAY_BE_SENT_AGAIN:
            return await self._sent(self._fresh, place, request, more, timeout)
        connected: list[bool] = []
        CONNECTED.set(connected)
        try:
            return await self._sent(self._kept, place, request, more, timeout)
        except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError):
            if connected:
                raise
        return await self._sent(self._fresh, place, request, more, timeout)

    async def _sent(
        self,
        connector: aiohttp.TCPConnector,
        place: aiohttp.ClientRequest,
        request: Request,
        more: list[tuple[str, str]],
        timeout: ClientTimeout,
    ) -> Answer:
        try:
            connection = await connector.connect(place, [], timeout)
        except TimeoutError as fault:
            raise aiohttp.ConnectionTimeoutError(str(fault)) from None
        try:
            protocol, transport = connection.protocol, connection.transport
            if protocol is None or transport is None:
                raise aiohttp.ServerDisconnectedError
            protocol.set_response_params(
                skip_payload=request.method == "HEAD",
                read_until_eof=True,
                auto_decompress=False,
                max_line_size=LINE_MAX,
                max_field_size=FIELD_MAX,
            )
            password = place.headers.get("Proxy-Authorization") if request.by_proxy else None  # the connector has put it there
            own = [*more, ("Proxy-Authorization", password)] if password else more
            transport.write(b"".join((request.opening, lines(own), b"\r\n", request.body)))
            message, content = await protocol.read()
            while 100 <= message.code < 200 and message.code != 101:  # those come before the answer
                message, content = await protocol.read()
        except BaseException:
            connection.close()
            raise
        return Answer(message, content, connection)

    def _place(self, request: Request, tls: Tls) -> aiohttp.ClientRequest:
        """Where to connect and how, as the library's connector wants to be told."""
        key = (request.target.origin(), tls, request.proxy)
        place = self._places.get(key)
        if place is None:
            if len(self._places) >= TARGETS_MAX:
                self._places.clear()
            proxy = URL(request.proxy) if request.proxy else None
            loop, session = asyncio.get_running_loop(), self._session
            place = aiohttp.ClientRequest("GET", key[0], loop=loop, session=session, ssl=tls, proxy=proxy)
            self._places[key] = place
        return place


@lru_cache(16)
def _timeout(connect_s: float) -> ClientTimeout:
    return ClientTimeout(total=None, connect=connect_s or None)
