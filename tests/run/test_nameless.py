"""The run that was about to be started when its worker died: its process is known by the mark it carries, and by nothing else."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from behaviour.harness import alive, eventually, running

from queuectl import clock
from queuectl.model import Job, Serving
from queuectl.run import mark
from queuectl.run.journal import journal_path
from queuectl.workers import own_row

from .conftest import Machine

# A keeper to which ended processes were left: of each line, with which mark and which exit status.
KEEPER = """
import os, resource, sys
from queuectl.run import keeper, mark
kept = keeper.Keeper([sys.argv[1], "1", "", "", "1"])
print(*kept.me, flush=True)
for line in sys.stdin:
    carried, status = map(int, line.split())
    resource.setrlimit(mark.LOCKS, (carried, resource.RLIM_INFINITY))
    pid = os.posix_spawn("/bin/sh", ["sh", "-c", f"exit {status}"], {}, setsid=True)
    kept.keep(os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT))
    print("kept", flush=True)
"""


@pytest.fixture
def open_start(machine: Machine) -> Callable[..., tuple[Job, int]]:
    """A job whose worker died when it was about to start it: the job, and its mark."""
    if machine.queue.store.shared:
        pytest.skip("one machine's journals")

    def leave(text: str = "true", keeper: tuple[int, int] = (1, 1)) -> tuple[Job, int]:
        queue = machine.queue
        queue.add(text, max_retries=0)
        with queue.store.transaction():
            dead = queue.store.add_worker(own_row(1, Serving()))
            [claimed] = queue.store.claim(dead, 1, 0, clock.now_us(), Serving()).jobs
        [(store_id,)] = queue.store.run("select value from meta where key = 'store_id'")
        carried = mark.of(f"{store_id}:{claimed.number}:{claimed.run}".encode())
        line = f"S {claimed.number} {claimed.run} {clock.now_us()} {clock.boot_ticks()} 0 {carried}\n"
        with open(journal_path(queue.place.run, dead), "w", encoding="ascii") as file:
            file.write(f"K {keeper[0]} {keeper[1]}\n{line}")
        return claimed, carried

    return leave


@pytest.fixture
def keeper(machine: Machine) -> Iterator[Callable[..., tuple[int, int]]]:
    """Opens one: told (mark, exit status) it keeps the ends of such processes."""
    started = []

    def start() -> subprocess.Popen[str]:
        command = [sys.executable, "-c", KEEPER, machine.queue.place.database]
        started.append(subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True))
        return started[-1]

    yield start
    for process in started:
        process.communicate(timeout=20)


def said(process: subprocess.Popen[str], line: str = "") -> list[int]:
    """What it answers, in numbers."""
    assert process.stdin and process.stdout
    process.stdin.write(line)
    process.stdin.flush()
    return [int(word) for word in process.stdout.readline().split() if word.isdigit()]


def test_it_is_found_by_its_mark_when_it_has_cleaned_its_environment(machine: Machine, open_start: Any) -> None:
    queue = machine.queue
    job, carried = open_start()
    limit = (carried, resource.RLIM_INFINITY)
    process = subprocess.Popen(
        ["sleep", "60"], start_new_session=True, env={}, preexec_fn=lambda: resource.setrlimit(mark.LOCKS, limit)
    )
    machine.worker()
    eventually(lambda: queue.get(job.id).worker not in (job.worker, None) and running(queue, job))
    assert queue.get(job.id).run == job.run and "give back" not in [line.event for line in queue.history(job)]
    process.kill()
    process.wait()


def test_a_session_that_another_job_began_in_that_instant_is_not_taken_for_it(
    machine: Machine, open_start: Any, keeper: Any
) -> None:
    kept, queue = keeper(), machine.queue
    job, carried = open_start("echo ran", said(kept))
    said(kept, f"{carried + 256} 0\n")
    machine.worker()
    done = queue.wait(job.id, timeout=20)[0]
    assert done.state == "completed" and b"".join(queue.logs(job.id)) == b"ran\n"
    assert "give back" in [line.event for line in queue.history(job)]


def test_its_end_is_told_from_that_of_another_session_of_that_instant(machine: Machine, open_start: Any, keeper: Any) -> None:
    kept, queue = keeper(), machine.queue
    job, carried = open_start("echo ran again", said(kept))
    for mark_, status in ((carried + 256, 0), (carried, 33), (carried + 512, 0)):
        said(kept, f"{mark_} {status}\n")
    machine.worker()
    done = queue.wait(job.id, timeout=20)[0]
    assert (done.exit_code, done.run) == (33, job.run) and b"again" not in b"".join(queue.logs(job.id))


def test_what_cleans_its_environment_leaves_its_session_and_loses_its_parent_ends_with_its_job(machine: Machine) -> None:
    queue = machine.queue
    escaper, beside = machine.folder / "escaper", queue.add("sleep 60")
    away = f"setsid -f env -i /bin/sh -c 'echo $$ > {escaper}.new; mv {escaper}.new {escaper}; exec sleep 100'"
    job = queue.add(f"{away}; sleep 60")
    machine.worker("--count", "2")
    eventually(escaper.exists)
    pid = int(escaper.read_text())
    try:
        eventually(lambda: running(queue, job) and running(queue, beside))
        queue.cancel(job.id)
        queue.wait(job.id, timeout=20)
        eventually(lambda: not alive(pid))
        assert running(queue, beside)
        assert machine.the_worker()  # it carries the mark of what it has started last
    finally:
        if alive(pid):
            os.kill(pid, 9)
