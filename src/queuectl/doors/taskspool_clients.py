"""The clients of a TaskSpooler door: what has come of each, how long each is waited for, and who has been answered."""

from __future__ import annotations

import os
import select
from collections import deque
from time import monotonic

TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket
    from collections.abc import Iterable, Iterator

QUIET_S = 0.1  # of silence that end a request
QUIET_BYTES_MAX = 65_536  # beyond this only the end of the sending half does
REQUEST_MAX = 8_000_000
IDLE_S = 10.0  # a client that neither sends nor takes anything for so long is closed
HURRY_S = 1.0  # when others wait to be let in


class Client:
    """One connection: what has come of its request, what is left of its answer."""

    __slots__ = ("answer", "is_too_long", "request", "socket")

    def __init__(self, connection: socket.socket) -> None:
        self.socket = connection
        self.request = bytearray()
        self.is_too_long = False
        self.answer = memoryview(b"")

    def take(self, piece: bytes) -> None:
        """Keep a piece of the request. One that is too long is heard to its end all the same: a socket closed with
        something unread in it would lose the answer."""
        if not self.is_too_long:
            self.request += piece
        if len(self.request) > REQUEST_MAX:
            self.is_too_long = True
            self.request = bytearray(QUIET_BYTES_MAX + 1)

    def has_left(self) -> bool:
        """Whether it has closed its whole socket, not only its sending half."""
        poll = select.poll()
        poll.register(self.socket, 0)  # a hang-up is always told
        return bool(poll.poll(0))


class Patience:
    """Until when each client is waited for: two groups, each in the order of its ends, so that the next is at hand."""

    def __init__(self) -> None:
        self.quiet: dict[Client, float] = {}  # then its request is complete
        self.idle: dict[Client, float] = {}  # then it is closed

    def wait_for_more(self, client: Client) -> None:
        """Something of its request has come."""
        if 0 < len(client.request) <= QUIET_BYTES_MAX:
            self.forget(client)
            self.quiet[client] = monotonic() + QUIET_S
        else:
            self.wait(client)

    def wait(self, client: Client) -> None:
        self.forget(client)
        self.idle[client] = monotonic() + IDLE_S

    def forget(self, client: Client) -> None:
        self.quiet.pop(client, None)
        self.idle.pop(client, None)

    def longest_silent(self) -> Client | None:
        """Who has had the time to say something and has not."""
        client = next(iter(self.idle), None)
        if client is None or client.request or client.answer or self.idle[client] - monotonic() > IDLE_S - HURRY_S:
            return None
        return client

    def next_ends(self) -> list[float]:
        return [group[next(iter(group))] for group in (self.quiet, self.idle) if group]


def over(group: dict[Client, float], now: float) -> Iterator[Client]:
    """The clients of a group whose time has come. Whoever asks for the next has taken the last out of the group."""
    while group and (client := next(iter(group))) and group[client] <= now:
        yield client


class Mailbox:
    """Answers on their way from the clerk's thread to the door's; `fd` is readable when there are some, or on `ring`."""

    def __init__(self) -> None:
        self.fd, self._end = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self._answers: deque[tuple[Client, bytes | None]] = deque()

    def put(self, answers: Iterable[tuple[Client, bytes | None]]) -> None:
        self._answers.extend(answers)
        self.ring()

    def ring(self) -> None:
        try:
            os.write(self._end, b"!")
        except OSError:
            pass  # it has rung and is full, or it is closed and nobody waits

    def take(self) -> Iterator[tuple[Client, bytes | None]]:
        try:
            os.read(self.fd, 4096)
        except BlockingIOError:
            pass
        while self._answers:
            yield self._answers.popleft()

    def close(self) -> None:
        os.close(self.fd)
        end, self._end = self._end, -1
        os.close(end)
