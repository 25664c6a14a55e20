"""A worker that cannot learn whether its takeover was committed begins anew: the jobs are then whose the store says."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from behaviour.harness import eventually

import queuectl
from queuectl.errors import Doubtful, Replaced
from queuectl.run import recovery

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
        for job in jobs:
            queue.cancel(job.id)
        ends = queue.wait(*[job.id for job in jobs], timeout=20)
    assert [(job.state, job.run, job.interruptions) for job in ends] == [("cancelled", 1, 0)] * 2
    assert sorted(ledger.read_text().split()) == ["0", "1"]
