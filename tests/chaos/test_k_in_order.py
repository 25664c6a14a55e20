"""Group A, what is done on purpose: restarts and upgrades under running jobs, a second worker, a worker that is away for
a while, and files that earlier trouble has left."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable

from .harness import Trial, alive, children, eventually, figure, job, mixed, size


def test_restarts_under_two_hundred_running_jobs(trial: Callable[..., Trial]) -> None:
    one, n, restarts = trial(), size(40, 200), size(2, 10)
    one.add(job(f"sleep {4 + restarts + k % 20 / 20}; ", f"exit {k % 256}", k % 256) for k in range(n))
    keeper = one.keeper(n)
    eventually(lambda: len(one.lines()) == n, 60, "all starts")
    began = time.monotonic()
    for _ in range(restarts):
        before = one.worker_of(keeper)
        done = one.command("worker", "restart")
        assert done.returncode == 0, done.stderr
        assert before != one.worker_of(keeper)
    took = (time.monotonic() - began) / restarts
    one.drained()
    verdict = one.check()
    reached = f"{n} running, {restarts} restarts at {took:.2f} s each: {verdict}"
    figure("A worker restart (an upgrade) under running jobs", "200 running: 0 lost, 0 twice, 0 wrong", reached, verdict.holds)


def test_jobs_that_end_while_no_worker_is_there(trial: Callable[..., Trial]) -> None:
    """The keeper is too slow to start another: it is stopped as the worker dies, and the jobs end meanwhile."""
    one, n = trial(), size(20, 100)
    one.add(job(f"sleep {0.5 + k % 10 / 10}; ", f"exit {k}", k) for k in range(n))
    keeper = one.keeper(n)
    eventually(lambda: len(one.lines()) == n, 60, "all starts")
    os.kill(keeper, signal.SIGSTOP)
    one.kill(children(keeper)[0])
    time.sleep(3)
    os.kill(keeper, signal.SIGCONT)
    one.drained()
    verdict = one.check()
    figure("A jobs that end while no worker is there", "true ends", f"{n} jobs: {verdict}", verdict.holds)


def test_a_second_worker_and_the_files_of_earlier_trouble(trial: Callable[..., Trial]) -> None:
    one, draw = trial(), random.Random(8)
    folder = one.folder / "queuectl.db.run"
    folder.mkdir(mode=0o700, exist_ok=True)
    for name, content in (
        ("worker-1.journal", b"P 1 1 1 1 0 0\nE 1 1 0 0 0 0\nS 2 1\n\0\0\xff garbage"),
        ("worker-999.journal", b"K 1 1\nP 5 1 99999 1 0 0\n"),
        *((f"keeper-{n}-1.journal", b"torn 1 2 3\n" + bytes(range(256))) for n in (1, 4_000_000)),
        (".work-1-abcd", b""),
        ("work-1-nobody", b"not a pipe"),
        ("worker-1.journal.new", b"half"),
    ):
        (folder / name).write_bytes(content)
    os.mkfifo(folder / "work-2-deadbeef")
    first, second = one.keeper(4), one.keeper(4)
    while len(one.expected) < size(60, 500):
        one.add(mixed(draw) for _ in range(20))
        one.queue.ring_work()
        time.sleep(0.1)
        one.kill(one.worker_of(draw.choice((first, second))))
    one.drained()
    verdict = one.check()
    reached = f"{len(one.expected)} jobs, {one.kills} kills: {verdict}"
    figure("A two workers, stale and damaged files of dead ones", "0 lost, 0 twice, 0 wrong", reached, verdict.holds)
    assert "Traceback" not in one.said(), one.said()[-2000:]
    assert alive(first) and alive(second)
