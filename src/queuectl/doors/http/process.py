"""The web as a process of its own: the part `web` of a keeper. Arguments: database, what `Wanted` says as JSON, keeper.

It holds nothing that could be lost: what it has answered is in the store. It serves the sockets that its keeper holds;
without them (a worker has taken its keeper's place) it listens anew. SIGTERM: answer what is under way, end the
streams, go. SIGHUP: the same, another takes its place. Its keeper's death is a SIGTERM too.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import resource
import signal
import socket
import sys
from time import time

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from ... import tokens
from ...clock import is_alive
from ...errors import QueueError
from ...locate import from_argument
from ...queue import Queue
from ...saying import say
from . import peers, sockets
from .answers import Desk
from .app import App
from .auth import Terms
from .service import Service

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from ...locate import Place

HEAD_MAX = 65_536  # bytes of a request's line and headers
HEAD_S = 15.0  # a request's head must have come by then
KEEP_ALIVE_S = 60
GRACE_S = 5
CONNECTIONS_MAX = 2_000
FILES_MAX = 8_192
TOKEN_KNOWN_S = 1.0
STOPPING = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class Protocol(HttpToolsProtocol):
    """HTTP/1.1 with bounds on a request's head, and with what the kernel says of the peer in each scope."""

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self.app_state = {**self.app_state, "peer": peers.of_connection(transport), "drop": transport.abort}
        self._between = True  # a head is to come, or comes
        self._head = 0
        self._late: asyncio.TimerHandle | None = None
        self._expect_head()

    def data_received(self, data: bytes) -> None:
        if self._between:
            if self._late is None:
                self._expect_head()  # the next request of this connection begins
            self._head += len(data)
        super().data_received(data)
        if self._between and self._head > HEAD_MAX:
            self.send_400_response("The head of the request is too large.")

    def _expect_head(self) -> None:
        self._late = self.loop.call_later(HEAD_S, self.transport.abort)

    def _forget_head(self) -> None:
        if self._late is not None:
            self._late.cancel()
        self._late, self._head = None, 0

    def on_headers_complete(self) -> None:
        self._between = False
        self._forget_head()
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self._between = True
        super().on_message_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        self._forget_head()
        super().connection_lost(exc)


class Server(uvicorn.Server):
    """uvicorn without its tick: it sleeps until it is told to stop."""

    def __init__(
        self, config: uvicorn.Config, begun: Callable[[], None], ending: Callable[[], None], keeper: tuple[int, int]
    ) -> None:
        super().__init__(config)
        self._begun, self._ending, self._keeper = begun, ending, keeper
        self._stop = asyncio.Event()

    async def serve(self, sockets: list[socket.socket] | None = None) -> None:
        loop = asyncio.get_running_loop()
        for number in STOPPING:
            loop.add_signal_handler(number, self._stop.set)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPPING)
        self._watch_keeper(loop)
        await self._serve(sockets)

    def _watch_keeper(self, loop: asyncio.AbstractEventLoop) -> None:
        if not self._keeper[0]:
            return
        try:
            loop.add_reader(os.pidfd_open(self._keeper[0]), self._stop.set)
        except ProcessLookupError:
            self._stop.set()
        if not is_alive(*self._keeper):
            self._stop.set()

    async def main_loop(self) -> None:
        self._begun()
        await self._stop.wait()
        self._ending()


def main(arguments: list[str]) -> int:
    database, text, *keeper = arguments
    os.environ.pop("QUEUECTL_RUN", None)
    try:
        return serve(from_argument(database, os.environ), json.loads(text), (int(keeper[0]), int(keeper[1])) if keeper else (0, 0))
    except QueueError as fault:
        say(str(fault))
        return fault.exit_code
    except OSError as fault:
        say(f"the web ends: {fault}")
        return 71


def config_of(app: Any, date_header: bool = False, grace_s: int = GRACE_S) -> uvicorn.Config:
    """The server as every door of ours runs it: nothing told of itself, everything bounded."""
    return uvicorn.Config(
        app,
        http=Protocol,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=date_header,
        proxy_headers=False,
        limit_concurrency=CONNECTIONS_MAX,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=grace_s,
        backlog=sockets.BACKLOG,
    )


def serve(place: Place, wanted: dict[str, Any], keeper: tuple[int, int]) -> int:
    listening = sockets.given(keeper[0]) or _listen(wanted)
    notify = os.environ.pop("NOTIFY_SOCKET", "")
    for name in ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"):
        os.environ.pop(name, None)  # jobs that are added here get this environment
    _raise_limit()
    logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)
    desk = Desk(Service(place, read_only=bool(wanted.get("read_only"))))
    app = App(desk, terms_of(place, wanted))
    config = config_of(app)

    def ending() -> None:
        tell(notify, "STOPPING=1")
        desk.stopping = True
        desk.tail.close()

    with asyncio.Runner(loop_factory=config.get_loop_factory()) as runner:
        server = Server(config, lambda: tell(notify, "READY=1"), ending, keeper)
        runner.run(server.serve(listening))
    desk.close()
    return 0


def _listen(wanted: dict[str, Any]) -> list[socket.socket]:
    found = [sockets.listen_tcp(wanted["host"], wanted["port"])] if wanted.get("port") is not None else []
    return found + ([sockets.listen_unix(wanted["socket"])] if wanted.get("socket") else [])


def terms_of(place: Place, wanted: dict[str, Any]) -> Terms:
    """Who may, as it was asked for on the command line."""
    host = wanted.get("host") or "127.0.0.1"
    names = {host.lower().strip("[]"), f"[{host.lower().strip('[]')}]", *[name.lower() for name in wanted.get("hosts", ())]}
    basic = tuple(tokens.listed(wanted["basic"]) if wanted.get("basic") else ())
    token = _Token(place)
    key = tokens.session_key(place)
    return Terms(
        uid=os.geteuid(),
        token=token.expected,
        session_key=lambda: key + (token.expected() or "").encode(),
        now_s=time,
        basic=basic,
        strict=bool(wanted.get("strict")),
        hosts=frozenset(names),
        any_address=not sockets.is_loopback(host),
        challenge='Basic realm="queuectl", charset="UTF-8"' if basic else 'Bearer realm="queuectl"',
    )


class _Token:
    """The token's digest, read again when it may have been changed."""

    def __init__(self, place: Place) -> None:
        self._queue = Queue(place, create=False)
        self._known: str | None = None
        self._read_at = -1e9

    def expected(self) -> str | None:
        now = time()
        if not 0 <= now - self._read_at < TOKEN_KNOWN_S:
            self._known, self._read_at = tokens.expected(self._queue), now
        return self._known


def _raise_limit() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = FILES_MAX if hard == resource.RLIM_INFINITY else min(FILES_MAX, hard)
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def tell(where: str, what: str) -> None:
    """Tell systemd how we are, when it wants to know."""
    if not where:
        return
    address = "\0" + where[1:] if where.startswith("@") else where
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock:
        try:
            sock.sendto(what.encode(), address)
        except OSError:
            pass  # nobody listens there any more


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
