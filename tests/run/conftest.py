"""A queue with real keepers, workers and jobs; what the jobs did stands in a ledger that they write themselves."""

from __future__ import annotations

import os
import signal
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from behaviour.harness import EACH_ENGINE, ENGINES, FAST, Place, alive, eventually

import queuectl
from queuectl.clock import is_alive


class Ledger:
    """Lines `start ID RUN` and `end ID RUN`, each appended whole."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.touch()

    def job(self, work: str) -> str:
        """Shell text that does the work between two lines of the ledger."""
        return (
            f'echo "start $QUEUECTL_JOB_ID $$" >> {self.path}; echo begin; {work}; status=$?; '
            f'echo "end $QUEUECTL_JOB_ID $$" >> {self.path}; echo finish; exit $status'
        )

    def lines(self, job: object = None) -> list[list[str]]:
        found = [line.split() for line in self.path.read_text().splitlines()]
        return [line for line in found if job is None or line[1] == str(job)]

    def starts(self) -> Counter[str]:
        return Counter(line[1] for line in self.lines() if line[0] == "start")

    def began(self, job: object) -> int:
        """The pid of the job's newest run, once it has begun."""
        return int(eventually(lambda: [line for line in self.lines(job) if line[0] == "start"])[-1][2])

    def overlaps(self) -> list[str]:
        """Jobs of which a run began before the one before had ended."""
        open_runs: set[str] = set()
        found = []
        for what, job, _ in self.lines():
            if what == "start" and job in open_runs:
                found.append(job)
            (open_runs.add if what == "start" else open_runs.discard)(job)
        return found


class Machine(Place):
    """A place whose workers are killed."""

    def __init__(self, url: str, folder: Path) -> None:
        super().__init__(url, folder)
        self.queue = self.open(**FAST)
        self.ledger = Ledger(folder / "ledger")

    def add(self, work: str, **fields: Any) -> queuectl.Job:
        return self.queue.add(self.ledger.job(work), **fields)

    def until(self, word: str) -> str:
        """Shell text that waits for `say(word)`: the test decides when the job ends, however busy the machine is."""
        return f"until test -e {self.folder}/said-{word}; do sleep 0.05; done"

    def say(self, word: str) -> None:
        (self.folder / f"said-{word}").touch()

    def workers(self) -> list[int]:
        return [row.pid for row in self.queue.store.workers() if is_alive(row.pid, row.pid_start)]

    def the_worker(self) -> int:
        [pid] = eventually(lambda: self.workers() if len(self.workers()) == 1 else None)
        return int(pid)

    def another_worker(self, than: int) -> int:
        return int(eventually(lambda: [pid for pid in self.workers() if pid != than])[0])

    def kill_worker(self) -> int:
        """Kill the worker and return the pid of the next one, once its keeper has started that."""
        worker = self.the_worker()
        os.kill(worker, signal.SIGKILL)
        return self.another_worker(worker)

    def a_job_outlives_its_worker(self) -> None:
        """Under a worker that runs: it is killed, the job ends later, and how is known."""
        job = self.add(self.until("go") + "; (exit 6)", max_retries=0)
        self.ledger.began(job.id)
        self.kill_worker()
        self.say("go")
        [done] = self.queue.wait(job.id, timeout=60)
        assert (done.exit_code, done.run, done.interruptions) == (6, 1, 0)

    def kill_both(self, keeper: subprocess.Popen[Any], *more: int) -> None:
        """End keeper and workers (and more) in one instant: none of them sees another die. Returns when the more are
        reaped: until then the kernel would tell how a job ended, and it would not be unknown."""
        pids = [keeper.pid, *self.workers(), *more]
        for number in (signal.SIGSTOP, signal.SIGKILL):
            for pid in pids:
                if alive(pid):
                    os.kill(pid, number)
        keeper.wait(10)
        eventually(lambda: not any(alive(pid) for pid in pids))
        eventually(lambda: not any(Path(f"/proc/{pid}").exists() for pid in more))


@pytest.fixture(params=EACH_ENGINE)
def machine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Machine]:
    machine = Machine(ENGINES[request.param](tmp_path), tmp_path)
    yield machine
    machine.end()
