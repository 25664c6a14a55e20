"""Group J: hours of work with a kill each minute. Nothing goes wrong, nothing grows: memory, descriptors, database.

`QUEUECTL_ENDURANCE_MINUTES` says how long (default: half a minute, in the long form 25; the promise is shown by 480). Two
workers serve the queue: one is killed each minute, the other never, so that its memory tells something.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import apsw
import pytest

from .harness import Trial, Verdict, alive, eventually, figure, is_worker, mixed, size
from .report import FOLDER

MINUTES = float(os.environ.get("QUEUECTL_ENDURANCE_MINUTES", size(1, 50) / 2))
JOBS_PER_S = 20
SLOTS = 6
KEPT_S = 120.0  # ended jobs are pruned, or the database would grow by what it is told to keep
SETTLED = 0.35  # memory and database are looked at from here on: what a program needs once, it has by then


class Sample(NamedTuple):
    at_s: float
    memory: int  # of the worker that is never killed, in bytes
    descriptors: int
    keeper_memory: int
    keeper_descriptors: int
    database: int


def memory(pid: int) -> int:
    """What is the process's own: pages shared with others or with files count for nobody."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith(("Private_Dirty", "Private_Clean"))) * 1024


def sample(one: Trial, began: float, worker: int, keeper: int) -> Sample:
    count = [len(os.listdir(f"/proc/{pid}/fd")) for pid in (worker, keeper)]
    return Sample(
        time.monotonic() - began, memory(worker), count[0], memory(keeper), count[1], one.database.stat().st_size
    )


def noted(taken: Sample) -> None:
    """A line for each, so that a slope can be looked at: of what it is made, and when."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    with open(FOLDER / "endurance.tsv", "a") as file:
        file.write("\t".join([f"{taken.at_s:.0f}", *map(str, taken[1:])]) + "\n")


def slope(points: list[tuple[float, float]]) -> float:
    """Of the line through these points, by least squares."""
    n = len(points)
    mean_x, mean_y = sum(x for x, _ in points) / n, sum(y for _, y in points) / n
    spread = sum((x - mean_x) ** 2 for x, _ in points)
    return sum((x - mean_x) * (y - mean_y) for x, y in points) / spread if spread else 0.0


def live_bytes(database: Path, folder: Path) -> int:
    """How large the database is when it holds what it holds and nothing else."""
    copy = folder / "copy.db"
    db = apsw.Connection(str(database))
    db.execute("vacuum into ?", (str(copy),))
    db.close()
    return copy.stat().st_size


class Load:
    """Adds jobs at an even pace, checks and forgets those that have ended for a while."""

    def __init__(self, one: Trial, seed: int) -> None:
        self.one = one
        self.draw = random.Random(seed)
        self.verdict = Verdict()
        self.added = 0

    def keep_up(self, until_s: float, began: float) -> None:
        """Add what is due by now, until so many seconds have passed."""
        while (now := time.monotonic() - began) < until_s:
            due = int(now * JOBS_PER_S) - self.added
            if due > 0:
                self.one.add(mixed(self.draw) for _ in range(due))
                self.added += due
            time.sleep(0.05)


@pytest.mark.timeout(MINUTES * 60 + 600)
def test_hours_of_work_with_a_kill_each_minute(trial: Callable[..., Trial], tmp_path: Path) -> None:
    one = trial(keep_days=0)
    load, seconds = Load(one, 1), MINUTES * 60
    pause = min(60.0, seconds / 6)
    steady, victim = one.keeper(SLOTS), one.keeper(SLOTS)
    worker = eventually(lambda: one.worker_of(steady))
    began, samples = time.monotonic(), []
    while time.monotonic() - began < seconds:
        for _ in range(6):
            load.keep_up(time.monotonic() - began + pause / 6, began)
            samples.append(sample(one, began, worker, steady))
            noted(samples[-1])
        killed = one.worker_of(victim)
        assert is_worker(killed), "the worker that was killed is not there again"
        one.kill(killed)
        forget(load)
    one.drained(120)
    load.verdict.add(one.check())
    assert alive(worker), "the worker that nobody killed is gone"
    assert "Traceback" not in one.said(), one.said()[-3000:]
    tell(one, load, samples, tmp_path)


def forget(load: Load) -> None:
    """Check what has ended, then prune it: in the store, and in what is expected."""
    from queuectl.model import Query

    one = load.one
    before = round((time.time() - KEPT_S) * 1e6) if MINUTES > 6 else 0
    ended = one.queue.find(Query(ended_before_us=before)) if before else []
    names = {job.id for job in ended}
    waiting = {name: job for name, job in one.expected.items() if name not in names}
    one.expected = {name: job for name, job in one.expected.items() if name in names}
    load.verdict.add(one.check())
    one.expected = waiting
    if names:
        one.queue.prune(Query(ended_before_us=before))


def tell(one: Trial, load: Load, samples: list[Sample], tmp_path: Path) -> None:
    settled = [s for s in samples if s.at_s > samples[-1].at_s * SETTLED]
    hours = [(s.at_s / 3600, s) for s in settled]
    grows = slope([(at, s.memory / 1e6) for at, s in hours])
    keeper_grows = slope([(at, s.keeper_memory / 1e6) for at, s in hours])
    reached = f"{samples[-1].at_s / 60:.0f} min, {load.added} jobs, {one.kills} kills: {load.verdict}"
    figure("J endurance: 20 jobs a second, a kill a minute", "0 wrong", reached, load.verdict.holds)
    reached = f"worker {grows:+.2f} MB/h ({settled[-1].memory / 1e6:.1f} MB), keeper {keeper_grows:+.2f} MB/h"
    reached += f" ({settled[-1].keeper_memory / 1e6:.1f} MB)"
    judged = MINUTES >= 10  # in less the noise of single pages is larger than what is looked for
    figure("J slope of memory", "< 1 MB/h", reached, not judged or max(grows, keeper_grows) < 1)
    own, keepers = sorted({s.descriptors for s in samples}), sorted({s.keeper_descriptors for s in samples})
    reached = f"worker {own[0]}–{own[-1]}, one more for each running job; keeper {keepers}"
    figure("J descriptors", "constant", reached, own[-1] - own[0] <= SLOTS + 2 and len(keepers) == 1)
    one.command("worker", "stop")
    one.queue.store.checkpoint()
    size_now = one.database.stat().st_size
    one.end()
    live = live_bytes(one.database, tmp_path)
    largest = max(s.database for s in settled)
    reached = f"{size_now / 1e6:.1f} MB, at most {largest / 1e6:.1f}; live {live / 1e6:.1f} MB"
    figure("J size of the database", "≤ 2 × live data", reached, size_now <= 2 * live + 4_096_000)
