"""A worker that cannot learn whether its takeover was committed begins anew: the jobs are then whose the store says."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from behaviour.harness import eventually

import queuectl
from queuectl import clock
from queuectl.errors import Doubtful, Replaced
from queuectl.model import Serving
from queuectl.run import journal, recovery, rescue
from queuectl.workers import own_row

WORKER = "import queuectl, sys; queuectl.Worker(queuectl.open(sys.argv[1]), slots=3).run()"


@contextmanager
def worker_of(store: str) -> Iterator[None]:
    """One in a program of its own, which is killed in the end."""
    program = subprocess.Popen([sys.executable, "-c", WORKER, store])
    try:
        yield
    finally:
        program.kill()
        program.wait()


@pytest.mark.wide
@pytest.mark.parametrize("was_committed", [True, False])
def test_in_doubt_it_begins_anew_and_nothing_runs_twice(
    queue: queuectl.Queue, store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, was_committed: bool
) -> None:
    ledger = tmp_path / "ledger"
    jobs = [queue.add(f"echo {n} >> {ledger}; sleep 60") for n in range(2)]
    with worker_of(store):
        eventually(lambda: ledger.exists() and len(ledger.read_text().split()) == 2)
        eventually(lambda: all(attempt.pid for job in jobs for attempt in queue.attempts(job)))
    pids = [[attempt.pid for attempt in queue.attempts(job)] for job in jobs]
    plain: Callable[..., Any] = recovery.TakeOver._recorded

    def answer_lost(takeover: Any, *rest: Any) -> Any:
        if was_committed:
            plain(takeover, *rest)
        raise Doubtful("it may have been stored", why="the link to the server was cut")

    monkeypatch.setattr(recovery.TakeOver, "_recorded", answer_lost)
    with queuectl.open(store) as its_own, pytest.raises(Replaced, match="begins anew"):
        queuectl.Worker(its_own, slots=3).run(until_idle=True)
    monkeypatch.undo()
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "here"))
    with worker_of(store):
        eventually(lambda: len(queue.store.workers()) == 1)
        [heir] = queue.store.workers()
        eventually(lambda: all(queue.get(job.id).worker == heir.id for job in jobs))
        assert [[attempt.pid for attempt in queue.attempts(job)] for job in jobs] == pids, "they run on, each as it was"
        eventually(lambda: len(rescue.numbers_of(queue.place.run)) == 1)  # the journal of who began anew was read too
        assert all(os.path.exists(f"/proc/{pid}") for [pid] in pids)
        for job in jobs:
            queue.cancel(job.id)
        ends = queue.wait(*[job.id for job in jobs], timeout=20)
    assert [(job.state, job.run, job.interruptions) for job in ends] == [("cancelled", 1, 0)] * 2
    assert sorted(ledger.read_text().split()) == ["0", "1"]


def test_a_claim_that_was_on_its_way_when_its_worker_died_is_taken_over(queue: queuectl.Queue, store: str) -> None:
    """The server commits what it was sent, also when whoever sent it is gone by then."""
    job = queue.add("true")
    with queuectl.open(store) as dying, ExitStack() as after:
        with dying.store.transaction():
            dead = dying.store.add_worker(own_row(1, Serving()))
        with dying.store.transaction():
            dying.store.keep_lease(dead, 60.0)
            assert dying.store.claim(dead, 1, 0, clock.now_us(), Serving()).jobs
            Path(journal.journal_path(queue.place.run, dead)).touch(0o600)  # nobody holds its lock
            after.enter_context(worker_of(store))
            time.sleep(2)
        eventually(lambda: queue.get(job.id).state == "completed")
        assert [row.id for row in queue.store.workers()] != [dead]
