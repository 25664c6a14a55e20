"""What streams tell: changes as they come, nothing twice and nothing missed, logs to the last byte."""

from __future__ import annotations

import base64
import http.client
import os
import signal
import socket
import time
from collections.abc import Callable
from threading import Event, Thread

import pytest
from behaviour.harness import eventually

from queuectl import bell
from queuectl.doors.http.events import STREAMS_MAX

from .conftest import PATIENCE_S, Listening, Server

EVENTS = "/api/v1/events"


def test_a_stream_greets_and_then_tells_each_change_of_a_job(server: Server) -> None:
    listening = Listening(server, EVENTS)
    name, hello, seq = listening.next()
    assert name == "hello"
    assert hello["status"]["read_only"] is False
    assert int(seq) == hello["seq"]
    job = server.add({"command": "sleep 0.3", "label": "told"}).json
    stages = []
    while "completed" not in stages:
        change, _ = listening.until("job", lambda data: data["id"] == job["id"])
        assert (change["number"], change["queue"], change["label"]) == (job["number"], "default", "told")
        stages.append(change["stage"])
    assert stages[0] == "ready"
    status, _ = listening.until("status")
    assert status["completed"] >= 1
    listening.close()


def test_a_stream_that_comes_again_is_told_what_it_missed(server: Server) -> None:
    listening = Listening(server, EVENTS)
    listening.next()
    job = server.add({"command": "true"}).json["id"]
    _, seq = listening.until("job", lambda data: data["id"] == job)
    listening.close()
    missed = server.add({"command": "true", "delay": 1000}).json["id"]
    again = Listening(server, EVENTS, {"Last-Event-ID": seq})
    assert again.next()[0] == "hello"
    change, later = again.until("job", lambda data: data["id"] == missed)
    assert change["event"] == "add"
    assert int(later) > int(seq)
    again.close()


def test_a_pile_is_told_in_one_word(server: Server) -> None:
    listening = Listening(server, EVENTS)
    listening.next()
    server.add([{"command": "true", "delay": 1000} for _ in range(1000)])
    told = 0
    while told < 1000:  # a pile is written in some chunks
        many, _ = listening.until("many")
        assert many["changes"] > 200
        told += many["changes"]
    listening.close()


def test_a_log_is_followed_byte_for_byte_to_its_end(server: Server) -> None:
    job = server.add({"command": "for i in 1 2 3 4 5; do echo line $i; sleep 0.1; done; printf '\\000\\377end'"}).json["id"]
    listening = Listening(server, f"/api/v1/jobs/{job}/log/stream")
    found, at = b"", 0
    while True:
        name, data, seq = listening.next()
        if name == "end":
            assert data["state"] == "completed"
            break
        assert data["offset"] == at
        found += base64.b64decode(data["base64"])
        at = len(found)
        assert int(seq) == at
    assert found == server.get(f"/api/v1/jobs/{job}/log").body
    assert found.endswith(b"line 5\n\0\xffend")
    resumed = Listening(server, f"/api/v1/jobs/{job}/log/stream?offset={at - 3}")
    assert base64.b64decode(resumed.next()[1]["base64"]) == b"end"


def test_a_wait_is_answered_the_moment_the_job_ends(server: Server) -> None:
    job = server.add({"command": "sleep 0.5"}).json["id"]
    began = time.monotonic()
    assert server.get(f"/api/v1/jobs/{job}?wait=20").json["state"] == "completed"
    assert time.monotonic() - began < 10
    held = server.add({"command": "true", "delay": 1000}).json["id"]
    assert server.get(f"/api/v1/jobs/{held}?wait=0.2").json["state"] == "pending"


def test_who_wants_every_change_gets_every_one_in_order(server: Server) -> None:
    listening = Listening(server, EVENTS + "?every=true")
    _, hello, _ = listening.next()
    server.add([{"command": "true", "delay": 1000, "queue": "every"} for _ in range(2500)])
    told = every_change(listening, 2500)
    assert told == sorted(set(told))
    assert told[0] > hello["seq"]
    listening.close()
    again = Listening(server, EVENTS + "?every=true", {"Last-Event-ID": str(told[300])})
    assert every_change(again, 2199) == told[301:]
    again.close()


def every_change(listening: Listening, count: int) -> list[int]:
    """The ids of so many changes in the queue `every`."""
    found: list[int] = []
    while len(found) < count:
        name, data, seq = listening.next()
        assert name != "many"
        if name == "job" and data["queue"] == "every":
            found.append(int(seq))
    return found


@pytest.mark.wide
def test_a_reader_that_does_not_read_holds_nobody_up_and_is_told_in_a_word_what_it_missed(
    open_server: Callable[..., Server],
) -> None:
    server = open_server("--count", "0")
    slow = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    slow.settimeout(PATIENCE_S)
    slow.connect(server.socket)
    slow.sendall(b"GET /api/v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n")
    quick = Listening(server, EVENTS)
    quick.next()
    for n in range(30):
        server.add([{"command": "true", "label": "x" * 250} for _ in range(60)])
        job = server.add({"command": "true", "id": f"after-{n}"}).json["id"]
        quick.until("job", lambda data, job=job: data["id"] == job)
    with open(f"/proc/{server.web}/status") as file:
        [size] = [int(line.split()[1]) for line in file if line.startswith("VmRSS")]
    assert size < 150_000
    said = b""
    while b"event: many\n" not in said:
        said += (piece := slow.recv(1 << 20))
        assert piece, "it was dropped"
    slow.close()
    quick.close()


def test_a_bell_that_rings_on_does_not_keep_the_web_busy(open_server: Callable[..., Server]) -> None:
    server = open_server("--count", "0")
    listening = Listening(server, EVENTS)
    listening.next()
    before, run = computed_s(server.web), os.path.dirname(server.socket)
    for _ in range(100):
        assert bell.ring(run, bell.WORK) == 1
        time.sleep(0.01)
    assert computed_s(server.web) - before < 0.4
    listening.close()


def computed_s(pid: int) -> float:
    """Processor time of a process."""
    with open(f"/proc/{pid}/stat") as file:
        user, system = file.read().rpartition(")")[2].split()[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


def test_streams_end_when_the_server_stops(open_server: Callable[..., Server]) -> None:
    server = open_server()
    listening = Listening(server, EVENTS)
    listening.next()
    server.process.send_signal(signal.SIGTERM)  # type: ignore[union-attr]
    with pytest.raises(EOFError):
        while True:
            listening.next()
    assert server.process.wait(PATIENCE_S) == 0  # type: ignore[union-attr]


def test_nobody_is_woken_while_nobody_listens(open_server: Callable[..., Server]) -> None:
    """The web with nothing to do sleeps: no tick, no bell of its own."""
    server = open_server("--count", "0")
    web = server.web
    server.get("/api/v1/status")
    run = os.path.dirname(server.socket)
    assert not [name for name in os.listdir(run) if name.startswith(("work-", "done-"))]
    listening = Listening(server, EVENTS)
    listening.next()
    assert [name for name in os.listdir(run) if name.startswith("work-")]
    listening.close()
    eventually(lambda: not [name for name in os.listdir(run) if name.startswith(("work-", "done-"))])
    before = switches(web)
    time.sleep(2)
    assert switches(web) - before <= 4


def switches(pid: int) -> int:
    """How often the threads of a process have been woken."""
    found = 0
    for task in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{task}/status") as file:
            found += sum(int(line.split()[1]) for line in file if line.startswith("voluntary_ctxt_switches"))
    return found


@pytest.mark.wide
def test_a_stream_does_not_outlive_its_token(open_server: Callable[..., Server]) -> None:
    server = open_server("--count", "0", "--require-token")
    headers = {"Authorization": f"Bearer {server.token}"}
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=PATIENCE_S)
    connection.request("GET", EVENTS, headers=headers)
    stream = connection.getresponse()
    assert stream.status == 200
    server.queuectl("token", "rotate")
    ended, told = Event(), bytearray()

    def listen() -> None:
        try:
            while piece := stream.read1(65536):
                told.extend(piece)
        except http.client.IncompleteRead:
            ended.set()

    Thread(target=listen, daemon=True).start()
    for _ in range(20):
        server.queuectl("enqueue", "--", "true")
        if ended.wait(1):
            break
    assert ended.is_set()
    assert told.count(b"event: ") > 1, "until then it was told"
    connection.close()
    assert server.get(EVENTS, tcp=True, headers=headers).status == 401


@pytest.mark.wide
def test_streams_of_logs_count_among_those_that_may_be_open(open_server: Callable[..., Server]) -> None:
    server = open_server("--count", "0")
    job = server.add({"command": "true", "delay": 1000}).json["id"]
    log = f"/api/v1/jobs/{job}/log/stream"
    events = Listening(server, EVENTS)
    events.next()
    logs = [Listening(server, log) for _ in range(STREAMS_MAX - 1)]
    assert {one.answer.status for one in logs} == {200}
    for path in (EVENTS, log):
        refused = server.get(path)
        assert (refused.status, refused.json["detail"]) == (503, "too many streams are open")
    logs.pop().close()
    eventually(lambda: again(server).answer.status == 200, PATIENCE_S)
    events.close()
    for one in logs:
        one.close()


def again(server: Server) -> Listening:
    listening = Listening(server, EVENTS)
    listening.close()
    return listening
