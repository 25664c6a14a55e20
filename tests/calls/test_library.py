"""A program that runs a `Worker` itself needs nothing else for its calls: they are made while it works."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

import queuectl
from queuectl.model import Call
from queuectl.queue import Queue

from .conftest import Target, log_of, until


def test_a_worker_of_a_program_makes_its_calls_too(queue: Queue, target: Target, capfd: pytest.CaptureFixture[str]) -> None:
    call = queue.add(Call(target.url + "/ok?one"))
    command = queue.add("echo done", callback=target.url + "/ok?told")
    queuectl.Worker(queue).run(until_idle=True)
    assert {job.state for job in queue.find()} == {"completed"}
    assert sorted(target.paths()) == ["/ok?one", "/ok?told"]
    assert log_of(queue, call).endswith("hello one")
    assert log_of(queue, command) == "done\n"
    assert not queue.store.workers(), "nobody is left behind"
    assert capfd.readouterr().err == "", "a library says nothing by itself"


@pytest.mark.parametrize(("signals", "stage"), [(1, "completed"), (2, "ready")])
def test_its_end_waits_for_the_calls_under_way_and_a_second_signal_ends_them(
    queue: Queue, target: Target, signals: int, stage: str
) -> None:
    target.may_answer.clear()
    job = queue.add(Call(target.url + "/gate"))
    text = f"import queuectl; queuectl.Worker(queuectl.open({queue.place.database!r})).run()"
    program = subprocess.Popen([sys.executable, "-c", text])
    until(lambda: target.now == 1)
    [caller] = [row.pid for row in queue.store.workers() if "call" in row.offers]
    program.terminate()
    until(lambda: len(queue.store.workers()) == 1)
    if signals == 2:
        program.send_signal(signal.SIGTERM)
    else:
        assert program.poll() is None, "it waits for what is under way"
        target.may_answer.set()
    assert program.wait(20) == 0
    assert queue.get(job.id).stage == stage
    with pytest.raises(ProcessLookupError):
        os.kill(caller, 0)
