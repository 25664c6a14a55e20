"""Calls on several machines: whoever cannot keep its lease makes none that another may make, and its late word is refused."""

from __future__ import annotations

import select
import signal
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from queuectl import Call, Queue

from .hosts import Host, until
from .test_machines import events

pytestmark = [pytest.mark.wide, pytest.mark.timeout(240)]
Opener = Callable[..., Host]
TAKES_S = 40.0  # for whoever comes first


class Target:
    """Answers its first caller after a while, others at once, and knows from when to when somebody waited for it."""

    def __init__(self) -> None:
        self.waits: list[tuple[str, float, float]] = []
        target = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                began, here = time.monotonic(), self.client_address[0]
                target.waits.append((here, began, 0.0))
                at = len(target.waits) - 1
                while at == 0 and time.monotonic() - began < TAKES_S:
                    if select.select([self.connection], [], [], 0.05)[0]:
                        break  # it waits no more
                else:
                    self.wfile.write(b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok")
                target.waits[at] = (here, began, time.monotonic())

            def log_message(self, *words: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("0.0.0.0", 0), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.port = self.server.server_address[1]


@pytest.fixture
def target(queue: Queue) -> Iterator[Target]:
    queue.settings.set("call_allow", "127.0.0.1/32")
    target = Target()
    yield target
    target.server.shutdown()
    target.server.server_close()


def test_a_call_on_a_machine_that_froze_counts_once(queue: Queue, host: Opener, target: Target) -> None:
    a, b = host("a"), host("b")
    a.worker()
    queue.add(Call(f"http://127.0.0.1:{target.port}/"), id="call")
    until(lambda: target.waits)
    a.signal_all(signal.SIGSTOP)
    b.worker()
    until(lambda: len(target.waits) == 2)
    until(lambda: queue.get("call").state == "completed")
    ended = queue.get("call")
    a.signal_all(signal.SIGCONT)
    time.sleep(4)
    assert queue.get("call") == ended
    assert events(queue, "call").count("finish") == 1
    assert [attempt.reason for attempt in queue.attempts(ended)] == ["interrupted", None]


def test_a_caller_that_cannot_keep_its_lease_ends_its_calls_before_another_makes_them(
    queue: Queue, host: Opener, target: Target
) -> None:
    """Only the server is out of reach, its answers are dropped: the target hears when the caller has gone."""
    a, b = host("a", net=True), host("b")
    assert a.net
    queue.settings.set("call_allow", f"{a.net.ours}/32")
    a.worker()
    queue.add(Call(f"http://{a.net.ours}:{target.port}/"), id="call")
    until(lambda: target.waits)
    a.net.deafen()
    until(lambda: "ending 1 jobs" in a.said(), 20)
    b.worker()
    until(lambda: len(target.waits) == 2)
    a.net.mend()
    until(lambda: queue.get("call").state == "completed")
    (_, _, ended), (_, began, _) = target.waits[:2]
    assert 0 < ended < began
    assert events(queue, "call").count("finish") == 1
