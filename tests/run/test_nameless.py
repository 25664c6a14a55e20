"""A process that was started in the instant of its worker's death, found by one who died too before the store knew."""

from __future__ import annotations

import subprocess
import time

import pytest
from behaviour.harness import eventually, running

from queuectl import clock
from queuectl.model import Serving
from queuectl.run.journal import journal_path
from queuectl.workers import own_row

from .conftest import Machine


def test_what_an_earlier_takeover_had_found_is_not_taken_for_never_started(machine: Machine) -> None:
    queue = machine.queue
    if queue.store.shared:
        pytest.skip("one machine's journals")
    job = queue.add("true")
    with queue.store.transaction():
        first, second = (queue.store.add_worker(own_row(1, Serving())) for _ in range(2))
        [claimed] = queue.store.claim(first, 1, 0, clock.now_us(), Serving()).jobs
    process = subprocess.Popen(["sleep", "4"], start_new_session=True, env={})
    start, now = clock.process_start(process.pid), clock.now_us()
    for worker, lines in (
        (first, f"K 1 1\nS {claimed.number} {claimed.run} {now} {start} 0 {process.pid - 1}\n"),
        (second, f"K 1 1\nP {claimed.number} {claimed.run} {process.pid} {start} {now} 0\n"),
    ):
        with open(journal_path(queue.place.run, worker), "w", encoding="ascii") as file:
            file.write(lines)
    machine.worker()
    eventually(lambda: queue.get(job.id).worker not in (first, second, None))
    time.sleep(0.3)
    assert running(queue, job) and queue.get(job.id).run == claimed.run
    assert "give back" not in [line.event for line in queue.history(job)]
    process.kill()
    process.wait()
