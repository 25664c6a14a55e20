"""What a job writes on one machine is read on another while it runs: within a second, by `logs -f` and over HTTP."""

from __future__ import annotations

import base64
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path
from statistics import median
from threading import Thread

import pytest
from web.conftest import Listening, UnixConnection

from queuectl import Queue
from queuectl.store.pg_output import PIECE

from .hosts import PATIENCE_S, Host, until

pytestmark = pytest.mark.wide

Opener = Callable[..., Host]
Ages = list[float]  # of lines when they were read, in seconds
STAMP = "date +%s.%N"
OFTEN = f"for i in $(seq 12); do {STAMP}; sleep 0.5; done"
SELDOM = f"for i in $(seq 4); do sleep 3; {STAMP}; done"


class Web:
    """The web of a machine, over its Unix socket."""

    def __init__(self, path: str) -> None:
        self._path = path

    def connection(self) -> HTTPConnection:
        return UnixConnection(self._path)


@contextmanager
def serving(host: Host, socket: Path) -> Iterator[Web]:
    """`queuectl serve` on a machine, without workers."""
    words = ("serve", "--count", "0", "--port", "0", "--socket", str(socket))
    with open(host.log, "ab") as log:
        keeper = subprocess.Popen(host.command(*words), env=host.env, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    web = Web(str(socket))
    try:
        until(lambda: answers(web))
        yield web
    finally:
        keeper.terminate()
        keeper.wait(PATIENCE_S)


def answers(web: Web) -> bool:
    try:
        connection = web.connection()
        connection.request("GET", "/readyz")
        return connection.getresponse().status == 200
    except OSError:
        return False


def followed(host: Host, job: str) -> Ages:
    """By the command, until the job has ended."""
    words = host.command("logs", "-f", job)
    with subprocess.Popen(words, env=host.env, stdout=subprocess.PIPE, text=True) as reader:
        assert reader.stdout
        ages = [time.time() - float(line) for line in reader.stdout]
    assert reader.returncode == 0
    return ages


def streamed(web: Web, job: str) -> Ages:
    """Over HTTP, until the job has ended. The line that heads a run is passed over."""
    listening = Listening(web, f"/api/v1/jobs/{job}/log/stream")  # type: ignore[arg-type]
    ages = []
    while (event := listening.next())[0] != "end":
        lines = base64.b64decode(event[1]["base64"]).decode().splitlines()
        ages += [time.time() - float(line) for line in lines if not line.startswith("--- ")]
    listening.close()
    return ages


def read_both_ways(queue: Queue, host: Host, web: Web, command: str) -> dict[str, Ages]:
    job = queue.add(command).id
    until(lambda: queue.get(job).state == "processing")
    found: dict[str, Ages] = {}
    readers = [
        Thread(target=lambda: found.update(logs=followed(host, job))),
        Thread(target=lambda: found.update(web=streamed(web, job))),
    ]
    for reader in readers:
        reader.start()
    for reader in readers:
        reader.join()
    return found


def test_lines_are_read_elsewhere_within_a_second(queue: Queue, host: Opener, tmp_path: Path) -> None:
    a, b = host("a"), host("b")
    a.worker()
    with serving(b, tmp_path / "s") as web:
        for command, lines in ((OFTEN, 12), (SELDOM, 4)):
            found = read_both_ways(queue, b, web, command)
            print({way: [round(age, 2) for age in ages] for way, ages in found.items()})
            for way, ages in found.items():
                assert len(ages) == lines, f"each line once, by {way}"
                assert 0 < median(ages) < 1, way


def test_output_is_kept_in_pieces_of_a_bounded_size(queue: Queue, host: Opener) -> None:
    host("a").worker()
    job = queue.add("seq 1 500000; sleep 1; seq 1 100000")
    until(lambda: queue.get(job.id).state == "completed")
    [(largest, whole, pieces)] = queue.store.run("select max(length(body)), sum(length(body)), count(*) from output")
    assert largest <= PIECE
    assert whole > 3_900_000
    assert whole / PIECE < pieces < whole / PIECE + 60, "and not in crumbs"
