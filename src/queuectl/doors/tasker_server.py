"""A TaskPusher server, put together: its door and its caller in one loop, and how it drains.

Asked to stop, it goes on answering; what it had accepted is run to its end, what is pushed meanwhile is stored and runs
after the next start. Killed, its caller's journal says what was under way, and the next start takes over.
"""

from __future__ import annotations

import asyncio
import os
import signal
from time import time

import uvicorn

from ..queue import Queue
from ..run.caller import open_many_files
from ..run.calling import SIGNALS, Caller
from .http import sockets
from .http.auth import Terms
from .http.process import config_of
from .http.service import Service
from .tasker import TaskerApp, password_digest
from .tasker_words import QUEUE

TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from ..locate import Place

GRACE_S = 5


class Settings:
    """What the flags say."""

    def __init__(self, host: str, port: int, basicauth: str, concurrency: int, debug: bool) -> None:
        self.host = host
        self.port = port
        self.basicauth = basicauth
        self.concurrency = concurrency
        self.debug = debug


def terms_of(settings: Settings) -> Terms:
    names = frozenset((settings.host.lower(), f"[{settings.host.lower()}]")) - {"", "[]"}
    return Terms(
        uid=os.geteuid(),
        token=lambda: None,
        session_key=lambda: b"",
        now_s=time,
        basic=(password_digest(settings.basicauth),) if settings.basicauth else (),
        hosts=names,
        any_address=not sockets.is_loopback(settings.host),
    )


def serve(place: Place, settings: Settings, say: Callable[[str], None]) -> None:
    """Returns when it was told to stop and has drained. Raises QueueError when it cannot begin."""
    open_many_files()
    listening = sockets.listen_tcp(settings.host or "0.0.0.0", settings.port)
    Queue(place).close()  # made, and refused, before anything is promised
    service = Service(place, actor="tasker")
    app = TaskerApp(service, terms_of(settings), say if settings.debug else None)
    config = config_of(app, date_header=True, grace_s=GRACE_S)
    with Queue(place, actor="tasker") as queue:
        caller = Caller(queue, (QUEUE,), settings.concurrency, say=say)
        with asyncio.Runner(loop_factory=config.get_loop_factory()) as runner:
            runner.run(_whole(caller, _Server(config, caller, app), listening))
    service.close()


async def _whole(caller: Caller, server: _Server, listening: socket.socket) -> None:
    """Both, until the caller has drained; what kills one of them ends the other."""
    async with asyncio.TaskGroup() as both:
        server.calls = both.create_task(caller.run())
        both.create_task(server.serve([listening]))


class _Server(uvicorn.Server):
    """uvicorn without its tick and its signals: it serves for as long as the caller works."""

    def __init__(self, config: uvicorn.Config, caller: Caller, app: TaskerApp) -> None:
        super().__init__(config)
        self._caller = caller
        self._app = app
        self.calls: asyncio.Task[None] | None = None

    async def serve(self, sockets: list[socket.socket] | None = None) -> None:
        loop = asyncio.get_running_loop()
        for number in SIGNALS:
            loop.add_signal_handler(number, self._signalled)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
        await self._serve(sockets)

    def _signalled(self) -> None:
        """The first: run to its end what was accepted. The second: end what is under way."""
        if self._app.stopping:
            self._caller.stop("now")
        else:
            self._app.stopping = True
            self._caller.drain()

    async def main_loop(self) -> None:
        assert self.calls is not None
        await asyncio.wait([self.calls])
