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
from yarl import URL

from .. import __version__
from ..record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket
    import ssl
    from collections.abc import Callable

    from aiohttp.connector import Connection
    from aiohttp.http import RawResponseMessage

LINE_MAX, FIELD_MAX = 16_384, 65_536  # of an answer's head
NAMES_KEPT_S = 10  # how long a resolved name is used again; the address is judged each time it is connected to
TARGETS_MAX = 500
AS_USUAL = (("Accept", "*/*"), ("Accept-Encoding", "identity"), ("User-Agent", f"queuectl/{__version__}"))
SAYS_HOW_LONG = ("POST", "PUT", "PATCH")  # also without a body
MAY_BE_SENT_AGAIN = ("GET", "HEAD", "OPTIONS")

# Whether an exchange has begun to make a connection; what nobody asked for is not read.
CONNECTED: ContextVar[list[bool]] = ContextVar("connected", default=[])  # noqa: B039


class Request(Record):
    """What goes out, to where and how."""

    method: str
    target: URL
    headers: list[tuple[str, str]]
    body: bytes
    tls: ssl.SSLContext | bool  # false: the certificate is not checked
    proxy: str | None

    def head(self, proxy_authorization: str | None) -> bytes:
        """
        >>> r = Request("GET", URL("http://me:secret@example.org:81/a?b=c#d"), [("X-A", "1")], b"", True, None)
        >>> r.head(None).split(b"\\r\\n")[:4]
        [b'GET /a?b=c HTTP/1.1', b'Host: example.org:81', b'X-A: 1', b'Accept: */*']
        """
        given = {name.lower() for name, _ in self.headers}
        target, by_proxy = self.target, self.proxy and self.target.scheme == "http"
        place = str(target.with_user(None).with_fragment(None)) if by_proxy else target.raw_path_qs
        lines = [f"{self.method} {place} HTTP/1.1"]
        if "host" not in given:
            lines.append(f"Host: {target.host_port_subcomponent}")
        lines += [f"{name}: {text}" for name, text in self.headers]
        lines += [f"{name}: {text}" for name, text in AS_USUAL if name.lower() not in given]
        if target.raw_user is not None and "authorization" not in given:
            pair = f"{target.user}:{target.password or ''}".encode()
            lines.append(f"Authorization: Basic {b64encode(pair).decode()}")
        if by_proxy and proxy_authorization:
            lines.append(f"Proxy-Authorization: {proxy_authorization}")
        if self.body or self.method in SAYS_HOW_LONG:
            lines.append(f"Content-Length: {len(self.body)}")
        lines.append("\r\n")
        return "\r\n".join(lines).encode()


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
        def session(force_close: bool) -> aiohttp.ClientSession:
            connector = aiohttp.TCPConnector(
                limit=0, force_close=force_close, ttl_dns_cache=NAMES_KEPT_S, socket_factory=socket_factory
            )
            return aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar())

        # What must not be sent twice gets a connection of its own: a kept one may be closed by the other side in the very
        # moment of sending, and nobody could say whether the request was read.
        self._kept = session(force_close=False)
        self._fresh = session(force_close=True)
        self._places: dict[tuple[URL, ssl.SSLContext | bool, str | None], aiohttp.ClientRequest] = {}

    async def close(self) -> None:
        await self._kept.close()
        await self._fresh.close()

    async def exchange(self, request: Request, connect_s: float) -> Answer:
        """Send it once; once more only when a kept connection turns out to have been closed by the other side."""
        timeout = _timeout(connect_s)
        if request.method not in MAY_BE_SENT_AGAIN:
            return await self._sent(self._fresh, request, timeout)
        connected: list[bool] = []
        CONNECTED.set(connected)
        try:
            return await self._sent(self._kept, request, timeout)
        except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError):
            if connected:
                raise
        return await self._sent(self._fresh, request, timeout)

    async def _sent(self, session: aiohttp.ClientSession, request: Request, timeout: aiohttp.ClientTimeout) -> Answer:
        place = self._place(request)
        assert session.connector is not None
        try:
            connection = await session.connector.connect(place, [], timeout)
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
            transport.write(request.head(place.headers.get("Proxy-Authorization")) + request.body)
            message, content = await protocol.read()
            while 100 <= message.code < 200 and message.code != 101:  # those come before the answer
                message, content = await protocol.read()
        except BaseException:
            connection.close()
            raise
        return Answer(message, content, connection)

    def _place(self, request: Request) -> aiohttp.ClientRequest:
        """Where to connect and how, as the library's connector wants to be told."""
        key = (request.target.origin(), request.tls, request.proxy)
        place = self._places.get(key)
        if place is None:
            if len(self._places) >= TARGETS_MAX:
                self._places.clear()
            proxy = URL(request.proxy) if request.proxy else None
            loop, session = asyncio.get_running_loop(), self._kept
            place = aiohttp.ClientRequest("GET", key[0], loop=loop, session=session, ssl=request.tls, proxy=proxy)
            self._places[key] = place
        return place


@lru_cache(16)
def _timeout(connect_s: float) -> aiohttp.ClientTimeout:
    return aiohttp.ClientTimeout(total=None, connect=connect_s or None)
