"""The bell between machines: many adds ring it now and then, the last of them is always heard, and work begins at once."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from threading import Thread

import psycopg
import pytest
from behaviour.harness import eventually

from queuectl import Queue, bell
from queuectl.store import pg_link
from queuectl.store.pg_bell import channel

QUIET_S = 0.01  # between two rings of one process, at least
WORKER = "import queuectl, sys; queuectl.Worker(queuectl.open(sys.argv[1])).run()"


class Ear:
    """A listener that looks at each ring for the newest job, as a worker does. It knows the server alone: no FIFO wakes it."""

    def __init__(self, store: str, store_id: str) -> None:
        self._to = pg_link.address(store)
        self._channel = channel(store_id, bell.WORK)
        self.rings = 0
        self.newest = 0
        self.newest_s = 0.0  # when that one was seen
        self.listens = self._over = False
        self._thread = Thread(target=self._listen)
        self._thread.start()

    def _listen(self) -> None:
        with psycopg.connect(self._to.url, autocommit=True) as db, psycopg.connect(self._to.url, autocommit=True) as reader:
            db.execute(f'listen "{self._channel}"')
            self.listens = True
            while not self._over:
                for _ in db.notifies(timeout=0.2):
                    self.rings += 1
                    self._look(reader)

    def _look(self, reader: psycopg.Connection) -> None:
        [(newest,)] = reader.execute(f'select coalesce(max(number), 0) from "{self._to.schema}".jobs').fetchall()
        if newest > self.newest:
            self.newest, self.newest_s = newest, time.monotonic()

    def close(self) -> None:
        self._over = True
        self._thread.join()


@pytest.fixture
def ear(store: str, queue: Queue) -> Iterator[Ear]:
    ear = Ear(store, queue.store.store_id)
    eventually(lambda: ear.listens)
    yield ear
    ear.close()


def test_a_thousand_adds_ring_now_and_then_and_the_last_is_heard(queue: Queue, ear: Ear) -> None:
    took_s, heard_s = 0.0, []
    for _ in range(10):
        began = time.monotonic()
        for _ in range(100):
            last = queue.add("true").number
        added = time.monotonic()
        took_s += added - began
        eventually(lambda last=last: ear.newest == last, 5)
        heard_s.append(ear.newest_s - added)
        time.sleep(0.05)
    print(f"{ear.rings} rings for 1,000 adds in {took_s:.2f} s; the last of a hundred was heard {max(heard_s):.3f} s later")
    assert ear.rings < 10 * 2 + took_s / QUIET_S  # 300 where an add takes less than 3 ms
    assert median(heard_s) < 0.1


@contextmanager
def worker_of(store: str, queue: Queue) -> Iterator[None]:
    """One in a program of its own."""
    program = subprocess.Popen([sys.executable, "-c", WORKER, store])
    try:
        eventually(lambda: queue.store.workers())
        yield
    finally:
        program.terminate()
        program.wait(20)


def start_s(queue: Queue, ledger: Path, n: int) -> float:
    """From before an add to the moment that the job itself writes down."""
    began = time.time()
    queue.add(f"exec date +%s.%N >> {ledger}")
    stamps: Callable[[], list[str]] = lambda: ledger.read_text().split()
    eventually(lambda: len(stamps()) > n)
    return float(stamps()[n]) - began


def test_a_job_starts_some_milliseconds_after_its_add(queue: Queue, store: str, tmp_path: Path) -> None:
    ledger = tmp_path / "ledger"
    ledger.touch()
    with worker_of(store, queue):
        found = []
        for n in range(30):
            found.append(start_s(queue, ledger, n))
            time.sleep(0.03)
    print(f"from add to start, p50 of 30: {median(found) * 1000:.1f} ms (promised on a quiet machine: 10)")
    assert median(found) < 0.05
