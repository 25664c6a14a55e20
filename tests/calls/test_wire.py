"""What goes over the wire, byte for byte, and what odd servers answer."""

from __future__ import annotations

import base64
import socket
import threading
from collections.abc import Callable, Iterator

import pytest

from queuectl.model import Call
from queuectl.queue import Queue

from .conftest import log_of

Make = Callable[..., None]


class Scripted:
    """Answers each connection with these bytes and closes it; remembers what it was sent."""

    def __init__(self) -> None:
        self.answer = b""
        self.seen: list[bytes] = []
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            with connection:
                self.seen.append(connection.recv(65536))
                connection.sendall(self.answer)

    def close(self) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()


@pytest.fixture
def scripted() -> Iterator[Scripted]:
    server = Scripted()
    yield server
    server.close()


OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


def made(queue: Queue, make_calls: Make, call: Call) -> tuple[str | None, str]:
    job = queue.add(call, max_retries=0)
    make_calls()
    return queue.get(job.id).reason, log_of(queue, job)


def test_a_request_is_what_it_is_asked_to_be(queue: Queue, scripted: Scripted, make_calls: Make) -> None:
    scripted.answer = OK
    url = f"http://127.0.0.1:{scripted.port}/a%2Fb/ü?q=%20x&y#z"
    assert made(queue, make_calls, Call(url, method="POST", headers=(("X-A", "b"), ("X-A", "c")), body="näh"))[0] is None
    head, _, body = scripted.seen[0].partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    assert first == "POST /a%2Fb/%C3%BC?q=%20x&y HTTP/1.1"
    assert lines[0] == f"Host: 127.0.0.1:{scripted.port}"
    assert lines[1:3] == ["X-A: b", "X-A: c"]
    assert f"Content-Length: {len('näh'.encode())}" in lines
    assert body == "näh".encode()
    names = [line.partition(":")[0].lower() for line in lines]
    usual = {"host", "x-a", "idempotency-key", "content-type", "accept", "accept-encoding", "user-agent", "content-length"}
    assert set(names) == usual and len(names) == len(usual) + 1


def test_headers_of_ones_own_take_the_place_of_the_usual_ones(queue: Queue, scripted: Scripted, make_calls: Make) -> None:
    scripted.answer = OK
    own = (("user-agent", "me"), ("ACCEPT", "text/plain"), ("Host", "elsewhere"), ("Accept-Encoding", "gzip"))
    made(queue, make_calls, Call(f"http://127.0.0.1:{scripted.port}/", headers=own))
    lines = scripted.seen[0].decode().split("\r\n")[1:-2]
    assert [line for line in lines if not line.startswith("Idempotency-Key")] == [f"{name}: {text}" for name, text in own]


def test_a_name_and_a_password_in_the_url_are_sent_as_basic_authorization(
    queue: Queue, scripted: Scripted, make_calls: Make
) -> None:
    scripted.answer = OK
    made(queue, make_calls, Call(f"http://me:p%40ss@127.0.0.1:{scripted.port}/x"))
    lines = scripted.seen[0].decode().split("\r\n")
    assert lines[0] == "GET /x HTTP/1.1"
    assert f"Authorization: Basic {base64.b64encode(b'me:p@ss').decode()}" in lines


def test_a_proxy_gets_the_whole_address_and_its_own_password(queue: Queue, scripted: Scripted, make_calls: Make) -> None:
    scripted.answer = OK
    made(queue, make_calls, Call("http://example.invalid:81/a?b#c", proxy=f"http://me:hush@127.0.0.1:{scripted.port}"))
    lines = scripted.seen[0].decode().split("\r\n")
    assert lines[:2] == ["GET http://example.invalid:81/a?b HTTP/1.1", "Host: example.invalid:81"]
    assert f"Proxy-Authorization: Basic {base64.b64encode(b'me:hush').decode()}" in lines


@pytest.mark.parametrize(("answer", "reason", "kept"), [
    (b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n" + OK, None, "HTTP/1.1 200 OK"),
    (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n", None, "\r\n\r\nabcde"),
    (b"HTTP/1.0 200 OK\r\n\r\nuntil the end", None, "until the end"),
    (b"HTTP/1.1 204 No Content\r\n\r\n", None, "HTTP/1.1 204 No Content\r\n\r\n"),
    (b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\nnone", None, "\r\n\r\nnone"),
    (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nab", "cut", "ab"),
    (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nab", "cut", "ab"),
    (b"HTTP/1.1 200 O", "cut", ""),
    (b"", "cut", ""),
    (b"SSH-2.0-OpenSSH_9.2\r\n", "bad answer", ""),
    (b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n", "bad answer", ""),
    (b"HTTP/1.1 200 OK\r\nX: " + b"y" * 100_000 + b"\r\n\r\n", "bad answer", ""),
])  # fmt: skip
def test_odd_answers_are_understood_or_named(
    queue: Queue, scripted: Scripted, make_calls: Make, answer: bytes, reason: str | None, kept: str
) -> None:
    scripted.answer = answer
    found, log = made(queue, make_calls, Call(f"http://127.0.0.1:{scripted.port}/"))
    assert (found, kept in log) == (reason, True)
    assert len(scripted.seen) == 1, "what was not answered is not sent again"


def test_an_answer_without_a_body_to_head_may_say_how_long_it_would_be(queue: Queue, scripted: Scripted, make_calls: Make) -> None:
    scripted.answer = b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n"
    assert made(queue, make_calls, Call(f"http://127.0.0.1:{scripted.port}/", method="HEAD"))[0] is None


def test_a_kept_connection_that_the_target_closes_instead_of_answering_is_replaced_once(queue: Queue, make_calls: Make) -> None:
    seen: list[list[bytes]] = []

    def serve(server: socket.socket) -> None:
        """One answer on each connection; a second request is read, and not answered."""
        for _ in range(2):
            connection, _ = server.accept()
            with connection:
                seen.append([connection.recv(65536)])
                connection.sendall(OK)
                seen[-1].append(connection.recv(65536))

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=serve, args=(server,), daemon=True)
        thread.start()
        queue.settings.set("call_parallel", "1")
        jobs = [queue.add(Call(f"http://127.0.0.1:{server.getsockname()[1]}/{n}"), max_retries=0) for n in (1, 2)]
        make_calls(lambda: all(queue.get(job.id).ended for job in jobs))
        thread.join(10)
    assert [queue.get(job.id).state for job in jobs] == ["completed", "completed"]
    assert [[request.split(b" ")[1:2] for request in connection] for connection in seen] == [[[b"/1"], [b"/2"]], [[b"/2"], []]]
