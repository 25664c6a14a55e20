"""A link that is cut under somebody who watches: within ten seconds it is told in one line, and nobody hangs."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from queuectl import Queue

from .hosts import Host, until
from .test_live_output import serving

pytestmark = pytest.mark.wide

Opener = Callable[..., Host]
AT_MOST_S = 10.0
SLACK_S = 3.0  # for a busy machine


@contextmanager
def watching(host: Host, out: Path, *words: str) -> Iterator[subprocess.Popen[bytes]]:
    """A command that goes on until it has seen what it waits for; all that it says goes to this file."""
    with out.open("wb") as file:
        command = subprocess.Popen(host.command(*words), env=host.env, stdin=subprocess.DEVNULL, stdout=file, stderr=file)
    try:
        yield command
    finally:
        command.terminate()
        command.wait(60)


@pytest.mark.parametrize("words", [("wait", "j"), ("logs", "--follow", "j")], ids=lambda words: words[0])
def test_who_waits_or_follows_is_told_in_one_line_and_the_job_goes_on(
    queue: Queue, host: Opener, tmp_path: Path, words: tuple[str, ...]
) -> None:
    worker, other, go, said = host("a"), host("b", net=True), tmp_path / "go", tmp_path / "said"
    worker.worker()
    queue.add(f"echo begun; until [ -e {go} ]; do sleep 0.1; done; echo over", id="j")
    with watching(other, said, *words) as command:
        until(lambda: queue.get("j").state == "processing")
        time.sleep(3)  # its connection is there, and it waits by now
        assert command.poll() is None
        assert other.net
        other.net.cut()
        assert command.wait(AT_MOST_S + SLACK_S) == 75
    told = said.read_text()
    assert "cannot be reached" in told.splitlines()[-1]
    assert "try again when the server is back" in told.splitlines()[-1]
    assert told.count("queuectl:") == 1
    go.touch()
    until(lambda: queue.get("j").state == "completed")
    other.net.mend()
    assert other("logs", "j") == "begun\nover\n"
    other("wait", "j")


def test_a_server_of_pages_says_within_ten_seconds_that_it_cannot_and_goes_on(queue: Queue, host: Opener, tmp_path: Path) -> None:
    machine = host("a", net=True)
    assert machine.net
    with serving(machine, tmp_path / "s") as web:

        def ask() -> tuple[int, str]:
            connection = web.connection()
            connection.request("GET", "/api/v1/status")
            answer = connection.getresponse()
            return answer.status, answer.read().decode()

        assert ask()[0] == 200
        machine.net.cut()
        began = time.monotonic()
        status, body = ask()
        assert time.monotonic() - began < AT_MOST_S + SLACK_S
        assert status == 503
        assert "cannot be reached" in body
        machine.net.mend()
        until(lambda: ask()[0] == 200)
