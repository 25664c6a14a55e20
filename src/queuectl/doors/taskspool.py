"""The door of TaskSpooler: a Unix socket, one connection = one request = one answer.

A request has no length and no end of its own. It is complete when the client has closed its sending half, or when at
least one byte has come and then nothing for 100 ms; a request of more than 64 KiB only by the former, because a pause
in the middle of so much means nothing. A client that has left altogether before its answer gets nothing done.

One thread waits for all clients, so that idle, slow and dead ones cost a descriptor and disturb nobody; a second one,
the clerk, speaks with the store, for all that have asked since it last did in one transaction.
"""

from __future__ import annotations

import os
import select
import socket
from _queue import Empty, SimpleQueue
from collections import deque
from functools import partial
from selectors import EVENT_READ, EVENT_WRITE, DefaultSelector
from threading import Thread
from time import monotonic

from .. import bell, jsontext
from .taskspool_jobs import TaskSpool
from .taskspool_place import Listener, peer_uid

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

QUIET_S = 0.1  # of silence that end a request
QUIET_BYTES_MAX = 65_536  # beyond this only the end of the sending half does
REQUEST_MAX = 8_000_000
IDLE_S = 10.0  # a client that neither sends nor takes anything for so long is closed
ACCEPT_AGAIN_S = 0.1  # after descriptors ran out
TICK_S = 2.0
COPY_S = 0.5  # between looks at the output of running jobs
BATCH_MAX = 500
PIECE = 65_536
ACCEPT_AT_ONCE = 100


class Client:
    """One connection: what has come of its request, what is left of its answer."""

    __slots__ = ("answer", "is_too_long", "request", "socket")

    def __init__(self, connection: socket.socket) -> None:
        self.socket = connection
        self.request = bytearray()
        self.is_too_long = False
        self.answer = memoryview(b"")

    def has_left(self) -> bool:
        """Whether it has closed its whole socket, not only its sending half."""
        poll = select.poll()
        poll.register(self.socket, 0)  # a hang-up is always told
        return bool(poll.poll(0))


class Clerk:
    """The thread that answers. `answered` is called there with each client and its answer, None when it has left."""

    def __init__(self, spool: TaskSpool, answered: Callable[[list[tuple[Client, bytes | None]]], None]) -> None:
        self._spool = spool
        self._answered = answered
        self._asked: SimpleQueue[Client | str] = SimpleQueue()
        self._closing = False
        self.died = False
        self._thread = Thread(target=self._serve, name="taskspool clerk", daemon=True)
        self._thread.start()

    def ask(self, client: Client) -> None:
        self._asked.put(client)

    def look(self) -> None:
        """Jobs have started or ended: copy their outputs."""
        self._asked.put("look")

    def close(self) -> None:
        """Add nothing more; return when all who have asked are answered."""
        self._closing = True
        self._asked.put("close")
        self._thread.join()

    def _serve(self) -> None:
        try:
            while not (self._closing and self._asked.empty()):
                clients = self._next()
                if clients and self._closing:
                    self._answered([(client, said("The server is stopping")) for client in clients])
                elif clients:
                    answers = self._spool.answer([(bytes(client.request), client.has_left) for client in clients])
                    self._answered(list(zip(clients, answers, strict=True)))
                elif not self._closing:
                    self._spool.look()
        except BaseException:
            self.died = True  # a fault of ours: nobody is left waiting for the answer
            self._answered([])
            raise

    def _next(self) -> list[Client]:
        """All that have asked; none when it is time to look at outputs."""
        taken: list[Client | str] = []
        try:
            taken.append(self._asked.get(timeout=COPY_S if self._spool.is_copying else None))
            while len(taken) < BATCH_MAX:
                taken.append(self._asked.get_nowait())
        except Empty:
            pass
        return [client for client in taken if isinstance(client, Client)]


def said(error: str) -> bytes:
    return jsontext.dumps({"error": error}).encode()


class Door:
    """Serves a listener until `stop`. `tick` is called every few seconds and ends the serving by answering False."""

    def __init__(self, listener: Listener, spool: TaskSpool, tick: Callable[[], bool] = lambda: True) -> None:
        self._listener = listener
        self._tick = tick
        self._next_tick = monotonic() + TICK_S
        self._selector = DefaultSelector()
        # When each client's patience ends: two groups, each in the order of its ends.
        self._quiet: dict[Client, float] = {}
        self._idle: dict[Client, float] = {}
        self._accept_at: float | None = None
        self._stopping = False
        self._allowed = {0, os.geteuid()}
        self._ears = spool.queue.listener(bell.DONE)
        self._wake, self._wake_end = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self._answers: deque[tuple[Client, bytes | None]] = deque()
        self._selector.register(listener.socket, EVENT_READ, self._accept)
        self._selector.register(self._ears.fd, EVENT_READ, self._rung)
        self._selector.register(self._wake, EVENT_READ, self._woken)
        self._clerk = Clerk(spool, self._answered)

    def stop(self) -> None:
        """Return from `run` soon. May be called by a signal handler or another thread."""
        self._stopping = True
        self._ring()

    def run(self) -> bool:
        """Serve. Returns whether it was a fault of ours that ended it."""
        while not self._stopping and not self._clerk.died:
            for key, _ in self._selector.select(max(0.0, self._next_moment() - monotonic())):
                key.data()
            self._time_passes(monotonic())
        return self._clerk.died

    def close(self) -> None:
        """Take nobody in any more, answer who has asked, let the others go."""
        if self._accept_at is None:
            self._selector.unregister(self._listener.socket)
        self._listener.close()
        for client in [*self._quiet, *(client for client in self._idle if not client.answer)]:
            self._drop(client)
        self._clerk.close()
        self._deliver()
        deadline = monotonic() + 1.0
        while self._idle and monotonic() < deadline:
            for key, _ in self._selector.select(0.1):
                key.data()
        for client in list(self._idle):
            self._drop(client)
        self._selector.close()
        self._ears.close()
        os.close(self._wake)
        os.close(self._wake_end)

    # ------------------------------------------------------------ events

    def _accept(self) -> None:
        for _ in range(ACCEPT_AT_ONCE):
            try:
                connection, _ = self._listener.socket.accept()
            except BlockingIOError:
                break
            except ConnectionError:
                continue
            except OSError:
                self._rest()
                break
            self._take_in(connection)

    def _rest(self) -> None:
        """Out of descriptors: whoever waits outside is let in when some client has gone."""
        self._selector.unregister(self._listener.socket)
        self._accept_at = monotonic() + ACCEPT_AGAIN_S

    def _take_in(self, connection: socket.socket) -> None:
        if peer_uid(connection) not in self._allowed:
            connection.close()
            return
        connection.setblocking(False)
        client = Client(connection)
        self._idle[client] = monotonic() + IDLE_S
        self._selector.register(connection, EVENT_READ, partial(self._read, client))

    def _read(self, client: Client) -> None:
        try:
            piece = client.socket.recv(PIECE)
        except BlockingIOError:
            return
        except OSError:
            self._drop(client)
            return
        if not piece:
            self._complete(client)
            return
        if not client.is_too_long:
            client.request += piece
        if len(client.request) > REQUEST_MAX:
            # Heard to its end all the same: a socket closed with something unread in it would lose the answer.
            client.is_too_long = True
            client.request = bytearray(QUIET_BYTES_MAX + 1)
        self._be_patient(client)

    def _be_patient(self, client: Client) -> None:
        self._forget_time(client)
        if len(client.request) <= QUIET_BYTES_MAX:
            self._quiet[client] = monotonic() + QUIET_S
        else:
            self._idle[client] = monotonic() + IDLE_S

    def _complete(self, client: Client) -> None:
        if client.has_left():
            self._drop(client)
        elif client.is_too_long:
            self._reply(client, said(f"Request is longer than {REQUEST_MAX} bytes; nothing was run"))
        else:
            self._let_be(client)
            self._clerk.ask(client)

    def _rung(self) -> None:
        if self._ears.drain():
            self._clerk.look()

    def _woken(self) -> None:
        os.read(self._wake, 4096)
        self._deliver()

    def _time_passes(self, now: float) -> None:
        while self._quiet and (client := next(iter(self._quiet))) and self._quiet[client] <= now:
            self._ended_by_quiet(client)
        while self._idle and (client := next(iter(self._idle))) and self._idle[client] <= now:
            self._ended_by_patience(client)
        if self._accept_at is not None and now >= self._accept_at:
            self._accept_at = None
            self._selector.register(self._listener.socket, EVENT_READ, self._accept)
        if now >= self._next_tick:
            self._next_tick = now + TICK_S
            self._stopping = self._stopping or not self._tick()

    def _ended_by_quiet(self, client: Client) -> None:
        """Unless it was this server that was slow, and more is there already."""
        before = len(client.request)
        self._read(client)
        if client in self._quiet and len(client.request) == before:
            self._complete(client)

    def _ended_by_patience(self, client: Client) -> None:
        if client.request and not client.answer:
            self._reply(client, said("Request is not complete; nothing was run"))
        self._drop(client)

    def _next_moment(self) -> float:
        moments = [self._next_tick]
        for waiting in (self._quiet, self._idle):
            if waiting:
                moments.append(waiting[next(iter(waiting))])
        if self._accept_at is not None:
            moments.append(self._accept_at)
        return min(moments)

    # ------------------------------------------------------------ answers

    def _answered(self, answers: list[tuple[Client, bytes | None]]) -> None:
        """In the clerk's thread."""
        self._answers.extend(answers)
        self._ring()

    def _ring(self) -> None:
        try:
            os.write(self._wake_end, b"!")
        except BlockingIOError:
            pass  # it has rung

    def _deliver(self) -> None:
        while self._answers:
            client, answer = self._answers.popleft()
            if answer is None:
                client.socket.close()
            else:
                self._reply(client, answer)

    def _reply(self, client: Client, answer: bytes) -> None:
        self._let_be(client)
        client.answer = memoryview(answer)
        self._idle[client] = monotonic() + IDLE_S
        self._selector.register(client.socket, EVENT_WRITE, partial(self._write, client))
        self._write(client)

    def _write(self, client: Client) -> None:
        try:
            sent = client.socket.send(client.answer)
        except BlockingIOError:
            return
        except OSError:
            self._drop(client)
            return
        client.answer = client.answer[sent:]
        if client.answer:
            self._forget_time(client)
            self._idle[client] = monotonic() + IDLE_S
        else:
            self._drop(client)

    # ------------------------------------------------------------ partings

    def _drop(self, client: Client) -> None:
        self._let_be(client)
        client.socket.close()

    def _let_be(self, client: Client) -> None:
        """Expect nothing of it, neither bytes nor time; its connection stays."""
        self._forget_time(client)
        key: Any = self._selector.get_map().get(client.socket.fileno()) if client.socket.fileno() >= 0 else None
        if key is not None:
            self._selector.unregister(client.socket)

    def _forget_time(self, client: Client) -> None:
        self._quiet.pop(client, None)
        self._idle.pop(client, None)
