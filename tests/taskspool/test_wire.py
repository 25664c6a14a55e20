"""What goes over the socket: the words, what ends a request, and clients that misbehave."""

from __future__ import annotations

import json
import os
import re
import resource
import socket
import time
from pathlib import Path

import pytest

from .conftest import Spooler, eventually, received

GOLDEN = (Path(__file__).parent / "golden.txt").read_text(encoding="utf-8")
NUMBERS = re.compile(r"\[\d+\.\d+, \d+\.\d+, \d+\.\d+\]")


def exchanges() -> list[tuple[bytes, str]]:
    found = re.findall(r"^>( ?)(.*)\n< (.*)$", GOLDEN, re.MULTILINE)
    return [(sent.encode().decode("unicode_escape").encode("latin-1"), answer) for _, sent, answer in found]


def test_every_exchange_is_byte_for_byte_the_one_that_was_written_down(server: Spooler) -> None:
    assert len(exchanges()) == GOLDEN.count("\n> ") + GOLDEN.count("\n>\n")
    for request, expected in exchanges():
        eventually(lambda: not (server.all()["queue_length"] or server.all()["active_workers"]))  # all has ended
        assert NUMBERS.sub("<load>", server.wire(request).decode()) == expected, request


def test_a_request_ends_by_a_tenth_of_a_second_of_quiet_when_the_client_only_sends_and_waits(shared: Spooler) -> None:
    began = time.monotonic()
    assert shared.wire(b"status: nothing", half_close=False) == b'{"error": "Invalid job ID"}'
    assert 0.09 < time.monotonic() - began < 10


def test_a_request_that_comes_in_pieces_is_one_request(shared: Spooler) -> None:
    with shared.connect() as client:
        for piece in (b"que", b"ue: ec", b"ho pie\n", b"echo ces"):
            client.sendall(piece)
            time.sleep(0.03)
        assert json.loads(received(client)) == {"message": "Job started: echo pie\necho ces"}


def test_the_sixty_five_thousandth_byte_takes_from_silence_its_meaning(shared: Spooler) -> None:
    command = b"queue: true #" + b"x" * 70_000
    with shared.connect() as client:
        client.sendall(command)
        client.settimeout(0.5)
        with pytest.raises(TimeoutError):
            client.recv(1)
        client.settimeout(10)
        client.shutdown(socket.SHUT_WR)
        assert received(client).startswith(b'{"message": "Job started: true #xxx')


def test_a_client_that_has_left_before_its_answer_gets_nothing_run(server: Spooler) -> None:
    for request in (b"queue: touch left-at-once", b"queue: touch left-" + b"x" * 70_000):
        with server.connect() as client:
            client.sendall(request)
    with server.connect() as client:
        client.sendall(b"queue: touch left-in-the-quiet")
        time.sleep(0.05)
    time.sleep(0.3)
    assert server.all()["last_job_id"] == 0
    assert not list(server.folder.glob("left*"))


def test_clients_that_say_nothing_or_half_of_it_or_nonsense_disturb_nobody(shared: Spooler) -> None:
    silent = [shared.connect() for _ in range(30)]
    half = [shared.connect() for _ in range(30)]
    for client in half:
        client.sendall(b"queue: " + b"x" * 70_000)
    for request in (b"\xff\xfe\x00", b"queue: \xff", b"\0", b'{"queue": 1}', b"status: " + b"9" * 60_000):
        assert b'"error"' in shared.wire(request)
    began = time.monotonic()
    assert shared.wire(b"status: all").startswith(b'{"queue_length"')
    assert time.monotonic() - began < 10
    for client in silent + half:
        client.close()


def test_a_nul_byte_in_a_command_is_refused(shared: Spooler) -> None:
    assert "NUL" in shared.ask("queue: echo \0")["error"]


def test_a_client_that_takes_its_answer_slowly_gets_it_whole_and_holds_nobody_up(shared: Spooler) -> None:
    number = shared.all()["last_job_id"] + 1
    shared.queue("head -c 3000000 /dev/zero | tr '\\0' y")
    shared.ended(number)
    with shared.connect() as slow:
        slow.sendall(b"status: %d" % number)
        slow.shutdown(socket.SHUT_WR)
        for _ in range(5):
            assert shared.wire(b"hello") == b'{"error": "Unknown command"}'
            time.sleep(0.02)
        assert len(json.loads(received(slow))["stdout"]) == 3_000_000


def test_a_request_beyond_all_measure_is_refused_and_not_cut(shared: Spooler) -> None:
    before = shared.all()["last_job_id"]
    with shared.connect() as client:
        client.sendall(b"queue: touch cut #" + b"x" * 9_000_000)
        client.shutdown(socket.SHUT_WR)
        assert "nothing was run" in json.loads(received(client))["error"]
    assert shared.all()["last_job_id"] == before


def test_a_thousand_clients_at_once_are_all_answered_among_silent_and_leaving_ones(server: Spooler) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 4096), hard))
    clients = [server.connect() for _ in range(1000)]
    try:
        silent, leaving, asking, adding = clients[:200], clients[200:400], clients[400:700], clients[700:]
        for client in leaving:
            client.sendall(b"queue: touch left")
            client.close()
        for client in asking:
            client.sendall(b"status: 1")
        for client in adding:
            client.sendall(b"queue: true")
        began = time.monotonic()
        told = [json.loads(received(client))["message"] for client in adding]
        assert all(received(client) for client in asking)
        assert time.monotonic() - began < 30
        assert told.count("Job started: true") >= 3
        assert set(told) <= {"Job started: true", "Job queued: true"}
        found = server.all()
        assert (found["last_job_id"], len(found["jobs"])) == (300, 300)
        assert all(client.fileno() >= 0 for client in silent)
        memory = re.search(r"VmHWM:\s+(\d+)", Path(f"/proc/{server.process.pid}/status").read_text())  # type: ignore[union-attr]
        assert memory and int(memory[1]) < 60_000
    finally:
        for client in clients:
            client.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert not os.path.exists(server.folder / "left")


def test_more_clients_than_descriptors_wait_outside_and_silent_ones_make_room(place: Spooler) -> None:
    place.start(NOFILE="80")
    silent = [place.connect() for _ in range(60)]
    began = time.monotonic()
    assert place.queue("echo in") == "Job started: echo in"
    assert 0.5 < time.monotonic() - began < 20
    assert place.ended(1)["stdout"] == "in\n"
    for client in silent:
        client.close()


@pytest.mark.chaos
def test_idle_connections_are_closed_and_what_half_a_request_asked_is_not_done(server: Spooler) -> None:
    with server.connect() as silent, server.connect() as half:
        half.sendall(b"queue: touch half #" + b"x" * 70_000)
        assert received(silent) == b""
        assert json.loads(received(half)) == {"error": "Request is not complete; nothing was run"}
    assert server.all()["last_job_id"] == 0
