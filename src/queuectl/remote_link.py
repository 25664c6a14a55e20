"""The link to a server: requests over HTTP or its Unix socket, answers and refusals, streams."""

from __future__ import annotations

import http.client
import json
import os
import socket
import threading
from urllib.parse import unquote, urlencode, urlsplit

from . import errors, ops
from .errors import InvalidInput, QueueError, TryAgainLater
from .record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any


SCHEMES = ("http", "https", "http+unix")
TIMEOUT_S = 90.0
PIECE = 65536
FAULTS: dict[int, type[QueueError]] = {
    **dict.fromkeys((400, 405, 413, 415, 416), errors.InvalidInput),
    404: errors.NotFound,
    **dict.fromkeys((401, 403, 421), errors.NotAllowed),
    409: errors.Conflict,
    **dict.fromkeys((408, 429, 503), errors.TryAgainLater),
    504: errors.WaitTimeout,
}


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


class Link:
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
