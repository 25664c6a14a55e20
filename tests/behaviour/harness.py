"""Openers for queues, workers and processes, shared by the tests of behaviour and of recovery.

A second engine is one more row of `ENGINES`. Whatever is started carries a mark in its environment, and is ended by
its pid when the test is over.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import leftovers
import pytest
from leftovers import marked as marked

import queuectl
from queuectl.model import Job

from . import postgres

ENGINES: dict[str, Callable[[Path], str]] = {
    "sqlite": lambda folder: f"sqlite://{folder}/queuectl.db",
    "postgres": postgres.store_for,
}
WHY_NOT = {"postgres": postgres.missing()}
# For parametrised fixtures: every engine, or a loud skip.
EACH_ENGINE = [pytest.param(name, marks=pytest.mark.skipif(bool(why := WHY_NOT.get(name, "")), reason=why)) for name in ENGINES]
PATIENCE_S = 60.0
# Shell text that will not end at TERM, and whose children leave its session, and their parent too.
STUBBORN = (
    "trap '' TERM HUP INT; (trap '' TERM; sleep 100)& setsid sh -c 'trap \"\" TERM; sleep 100' & setsid setsid -f sleep 100; {more}"
)
FAST = {"kill_grace": 0.3, "backoff_base": 0}  # retries at once


def eventually(true: Callable[[], Any], patience_s: float = PATIENCE_S) -> Any:
    """Wait until something is so, and return it; the time is only a bound."""
    end = time.monotonic() + patience_s
    while not (found := true()):
        assert time.monotonic() < end, "this never came true"
        time.sleep(0.01)
    return found


def alive(pid: int) -> bool:
    """Whether a process exists and is no zombie."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return False
    return stat[stat.rindex(b")") + 2 :][:1] not in (b"Z", b"X")


class Place:
    """One queue of one test: opens it, starts workers on it, and ends whatever it has started."""

    def __init__(self, url: str, folder: Path) -> None:
        self.url = url
        self.folder = folder
        self.queues: list[queuectl.Queue] = []
        self.processes: list[subprocess.Popen[Any]] = []
        self.marks = {f"QUEUECTL_URL={url}\0".encode()}
        self.environ = {**os.environ, "QUEUECTL_URL": url, "XDG_STATE_HOME": f"{folder}/state"}
        self._state_before = os.environ.get("XDG_STATE_HOME")
        os.environ["XDG_STATE_HOME"] = f"{folder}/state"  # for queues that this process opens

    def open(self, **settings: Any) -> queuectl.Queue:
        queue = queuectl.open(self.url)
        self.queues.append(queue)
        [(store_id,)] = queue.store.run("select value from meta where key = 'store_id'")
        self.marks.add(f"QUEUECTL_RUN={store_id}:".encode())
        for name, value in settings.items():
            queue.settings.set(name, value)
        return queue

    def python(self, code: str, **more: Any) -> subprocess.Popen[Any]:
        """A process of its own that runs this code."""
        process = subprocess.Popen([sys.executable, "-c", code], env=self.environ, **more)
        self.processes.append(process)
        return process

    def command(self, *words: str, timeout_s: float = PATIENCE_S) -> subprocess.CompletedProcess[str]:
        """A command of the command line, to its end."""
        program = [sys.executable, "-m", "queuectl", *words]
        return subprocess.run(program, env=self.environ, capture_output=True, text=True, timeout=timeout_s)

    def worker(self, *words: str) -> subprocess.Popen[Any]:
        """A keeper and its worker in the background; returns when the worker runs."""
        queue = self.queues[0] if self.queues else self.open()
        before = {row.id for row in queue.store.workers()}
        program = [sys.executable, "-m", "queuectl", "worker", "start", *words]
        with open(self.folder / "worker.out", "ab") as log:
            keeper = subprocess.Popen(program, env=self.environ, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self.processes.append(keeper)
        eventually(lambda: {row.id for row in queue.store.workers()} - before or keeper.poll() is not None)
        return keeper

    def end(self) -> None:
        for process in self.processes:
            if process.poll() is None:
                process.kill()
        leftovers.end(*self.marks)
        if self._state_before is None:
            os.environ.pop("XDG_STATE_HOME", None)
        else:
            os.environ["XDG_STATE_HOME"] = self._state_before
        for process in self.processes:
            process.wait(PATIENCE_S)
            for stream in (process.stdin, process.stdout, process.stderr):
                if stream:
                    stream.close()
        for queue in self.queues:
            queue.close()
        if self.url.startswith("postgresql:"):
            postgres.drop(self.url)


def work(queue: queuectl.Queue, slots: int = 2, **more: Any) -> None:
    """Run a worker in this process until nothing is left."""
    queuectl.Worker(queue, slots=slots, **more).run(until_idle=True)


def written(queue: queuectl.Queue, job: Job | str | int, run: int | None = None) -> bytes:
    return b"".join(queue.logs(job.id if isinstance(job, Job) else job, run))


def states(queue: queuectl.Queue) -> dict[str, str]:
    return {job.id: job.state for job in queue.find()}


def running(queue: queuectl.Queue, job: Job) -> bool:
    return queue.get(job.id).state == "processing"
