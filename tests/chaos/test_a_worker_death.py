"""Group A: whatever is killed, and whenever, no job is lost, none runs twice, and each end is the true one."""

from __future__ import annotations

import random
import time
from collections.abc import Callable

from queuectl.model import Shell, Spec

from .harness import Trial, Verdict, children, eventually, figure, is_worker, mixed, size

JOBS_PER_ROUND = 250


Kill = Callable[[Trial, random.Random], None]


def rounds(trial: Callable[..., Trial], jobs: int, kill: Kill, interrupted: bool) -> tuple[str, bool]:
    """Rounds of jobs under one kind of killing; what came of it, and whether that is right."""
    verdict, kills, done, cut = Verdict(), 0, 0, 0
    draw = random.Random(size(7, 11))
    while done < jobs:
        one = trial()
        n = min(JOBS_PER_ROUND, jobs - done)
        one.add(mixed(draw) for _ in range(n))
        kill(one, draw)
        one.drained()
        found = one.check(interrupted)
        if not found.holds:
            print(one.folder, found)
        verdict.add(found)
        assert "Traceback" not in one.said(), one.said()[-3000:]
        cut += one.queue.store.run("select coalesce(sum(interruptions), 0) from jobs")[0][0]
        kills, done = kills + one.kills, done + n
        one.end()
    words = f"{done} jobs, {kills} kills: {verdict}" + (f"; {cut} interruptions recorded" if interrupted else "")
    return words, verdict.holds


def test_a_worker_killed_at_random_instants(trial: Callable[..., Trial]) -> None:
    reached, holds = rounds(trial, size(120, 10_000), lambda one, draw: one.kill_workers(120, draw, one.keeper(8)), False)
    figure("A worker killed by -9", "≥ 10,000 jobs, ≥ 500 kills: 0 lost, 0 twice, 0 wrong", reached, holds)


def test_a_keeper_killed_at_random_instants(trial: Callable[..., Trial]) -> None:
    """The jobs of one worker outlive one keeper: the next keeper may be killed when none of them is left."""
    reached, holds = rounds(trial, size(60, 1500), lambda one, draw: one.kill_keepers(120, draw, one.keeper(8), 1.5), False)
    figure("A keeper alone killed by -9", "0 lost, 0 twice, 0 wrong", reached, holds)


def test_keepers_and_workers_killed_in_any_order(trial: Callable[..., Trial]) -> None:
    """Both ancestors of a running job may be gone: then, and only then, its end may be unknown and it is interrupted."""

    def kill(one: Trial, draw: random.Random) -> None:
        keeper = one.keeper(8)
        end = time.monotonic() + size(4, 20)
        while time.monotonic() < end and not one.all_ended():
            worker = one.worker_of(keeper)
            time.sleep(draw.uniform(0.02, 0.4))
            if draw.random() < 0.6:
                if is_worker(worker):
                    one.kill(worker)
            elif worker and one.kill(keeper):
                keeper = one.heir(keeper, worker, 8)

    reached, holds = rounds(trial, size(60, 1500), kill, True)
    figure("A keepers and workers killed in any order", "0 lost, 0 twice at once; cut runs recorded as such", reached, holds)


def test_two_thousand_running_jobs_are_adopted_within_a_second(trial: Callable[..., Trial]) -> None:
    one, n = trial(), size(300, 2000)
    with_ledger = [Spec(Shell("sleep 1000"), env={"LEDGER": str(one.ledger)}, cwd="/") for _ in range(n)]
    one.queue.add_many(with_ledger)
    worker = one.worker_of(one.keeper(n))
    eventually(lambda: len(children(worker)) == n, 120, "all running")
    time.sleep(0.3)
    one.kill(worker)
    began = time.monotonic()
    eventually(lambda: f"{n} running" in one.said(), 20, "the adoption")
    took = time.monotonic() - began
    words = f"{n} in {took:.2f} s"
    figure("A running jobs adopted after kill -9, with the start of Python", "2,000 in ≤ 1 s", words, took <= size(3, 1))
