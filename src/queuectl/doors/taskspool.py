"""The door of TaskSpooler: a Unix socket, one connection = one request = one answer.

A request has no length and no end of its own. It is complete when the client has closed its sending half, or when at
least one byte has come and then nothing for 100 ms; a request of more than 64 KiB only by the former, because a pause
in the middle of so much means nothing. A client that has left altogether before its answer gets nothing done.

One thread waits for all clients, so that idle, slow and dead ones cost a descriptor and disturb nobody; a second one,
the clerk, speaks with the store, for all that have asked since it last did in one transaction.
"""

from __future__ import annotations

import resource
from _queue import Empty, SimpleQueue
from functools import partial
from selectors import EVENT_READ, EVENT_WRITE, DefaultSelector
from threading import Thread
from time import monotonic

from .. import bell, jsontext
from .taskspool_clients import REQUEST_MAX, Client, Mailbox, Patience, over
from .taskspool_jobs import TaskSpool
from .taskspool_place import Listener

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

ACCEPT_AGAIN_S = 0.1
FILES_KEPT = 50  # descriptors for the store, outputs, and whatever else is not a client
TICK_S = 2.0
COPY_S = 0.5  # between looks at the output of running jobs
LAST_ANSWERS_S = 1.0  # for clients to take theirs when the door closes
BATCH_MAX = 500
PIECE = 65_536
ACCEPT_AT_ONCE = 100


class Clerk:
    """The thread that answers. What it puts into the mailbox is None for a client that has left."""

    def __init__(self, spool: TaskSpool, mailbox: Mailbox) -> None:
        self._spool = spool
        self._mailbox = mailbox
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
                    self._mailbox.put([(client, said("The server is stopping")) for client in clients])
                elif clients:
                    answers = self._spool.answer([(bytes(client.request), client.has_left) for client in clients])
                    self._mailbox.put(zip(clients, answers, strict=True))
                elif not self._closing:
                    self._spool.look()
        except BaseException:
            self.died = True  # a fault of ours: nobody is left waiting for the answer
            self._mailbox.ring()
            raise

    def _next(self) -> list[Client]:
        """All that have asked; none when it is time to look at outputs."""
        taken: list[Client | str] = []
        try:
            taken.append(self._asked.get(timeout=COPY_S if self._spool.copies.are_growing else None))
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
        self._patience = Patience()
        self._clients = 0
        self._most = max(1, resource.getrlimit(resource.RLIMIT_NOFILE)[0] - FILES_KEPT)
        self._accept_at: float | None = None  # full: when to look again
        self._stopping = False
        self._mailbox = Mailbox()
        self._ears = spool.queue.listener(bell.DONE)
        self._selector = DefaultSelector()
        self._selector.register(listener.socket, EVENT_READ, self._accept)
        self._selector.register(self._ears.fd, EVENT_READ, self._rung)
        self._selector.register(self._mailbox.fd, EVENT_READ, self._deliver)
        self._clerk = Clerk(spool, self._mailbox)

    def stop(self) -> None:
        """Return from `run` soon. May be called by a signal handler or another thread."""
        self._stopping = True
        self._mailbox.ring()

    def run(self) -> bool:
        """Serve. Returns whether it was a fault of ours that ended it."""
        while not self._stopping and not self._clerk.died:
            moments = [self._next_tick, *self._patience.next_ends(), *filter(None, [self._accept_at])]
            for key, _ in self._selector.select(max(0.0, min(moments) - monotonic())):
                key.data()
            self._time_passes(monotonic())
        return self._clerk.died

    def close(self) -> None:
        """Take nobody in any more, answer who has asked, let the others go."""
        if self._accept_at is None:
            self._selector.unregister(self._listener.socket)
        self._listener.close()
        for client in [*self._patience.quiet, *self._patience.idle]:
            if not client.answer:
                self._drop(client)
        self._clerk.close()
        self._deliver()
        deadline = monotonic() + LAST_ANSWERS_S
        while self._patience.idle and monotonic() < deadline:
            for key, _ in self._selector.select(LAST_ANSWERS_S / 10):
                key.data()
        for client in list(self._patience.idle):
            self._drop(client)
        self._selector.close()
        self._ears.close()
        self._mailbox.close()

    # ------------------------------------------------------------ what happens

    def _accept(self) -> None:
        for _ in range(ACCEPT_AT_ONCE):
            if self._is_full():
                # Whoever waits outside is let in when some client has gone.
                self._selector.unregister(self._listener.socket)
                self._accept_at = monotonic() + ACCEPT_AGAIN_S
                break
            connection = self._listener.accept()
            if connection is None:
                break
            self._clients += 1
            client = Client(connection)
            self._patience.wait_for_more(client)
            self._selector.register(connection, EVENT_READ, partial(self._read, client))

    def _is_full(self) -> bool:
        """Whether no descriptor is left for one more client. Who has been silent longest makes room."""
        if self._clients < self._most:
            return False
        silent = self._patience.longest_silent()
        if silent is None:
            return True
        self._drop(silent)
        return False

    def _read(self, client: Client) -> None:
        try:
            piece = client.socket.recv(PIECE)
        except BlockingIOError:
            return
        except OSError:
            self._drop(client)
            return
        if piece:
            client.take(piece)
            self._patience.wait_for_more(client)
        else:
            self._complete(client)

    def _complete(self, client: Client) -> None:
        self._let_be(client)
        if client.has_left():
            self._drop(client)
        elif client.is_too_long:
            self._reply(client, said(f"Request is longer than {REQUEST_MAX} bytes; nothing was run"))
        else:
            self._clerk.ask(client)

    def _rung(self) -> None:
        if self._ears.drain():
            self._clerk.look()

    def _time_passes(self, now: float) -> None:
        for client in over(self._patience.quiet, now):
            self._read(client)  # it may be this server that was slow, and more is there already
            if self._patience.quiet.get(client, monotonic()) <= now:
                self._complete(client)
        for client in over(self._patience.idle, now):
            if client.request and not client.answer:
                self._reply(client, said("Request is not complete; nothing was run"))
            else:
                self._drop(client)
        if self._accept_at is not None and now >= self._accept_at:
            self._accept_at = None
            self._selector.register(self._listener.socket, EVENT_READ, self._accept)
        if now >= self._next_tick:
            self._next_tick = now + TICK_S
            self._stopping = self._stopping or not self._tick()

    # ------------------------------------------------------------ answers and partings

    def _deliver(self) -> None:
        for client, answer in self._mailbox.take():
            if answer is None:
                self._drop(client)
            else:
                self._reply(client, answer)

    def _reply(self, client: Client, answer: bytes) -> None:
        self._let_be(client)
        client.answer = memoryview(answer)
        self._patience.wait(client)
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
            self._patience.wait(client)
        else:
            self._drop(client)

    def _drop(self, client: Client) -> None:
        self._let_be(client)
        client.socket.close()
        self._clients -= 1

    def _let_be(self, client: Client) -> None:
        """Expect nothing of it, neither bytes nor time; its connection stays."""
        self._patience.forget(client)
        if client.socket.fileno() >= 0 and client.socket.fileno() in self._selector.get_map():
            self._selector.unregister(client.socket)
