"""Group A: whatever is killed, and whenever, no job is lost, none runs twice, and each end is the true one."""

from __future__ import annotations

import random
from collections.abc import Callable

from .harness import Trial, Verdict, figure, mixed, size

JOBS_PER_ROUND = 250


def test_kill_9_at_random_instants(trial: Callable[..., Trial]) -> None:
    jobs, kills_wanted = size(200, 10_000), size(10, 500)
    verdict, kills, done = Verdict(), 0, 0
    draw = random.Random(size(7, 11))
    while done < jobs or kills < kills_wanted:
        round_ = trial()
        n = min(JOBS_PER_ROUND, jobs)
        round_.add(mixed(draw) for _ in range(n))
        round_.kill_for(120, draw, round_.keeper(8))
        round_.drained()
        found = round_.check()
        if not found.holds:
            print(round_.folder, found)
        verdict.add(found)
        assert "Traceback" not in round_.said(), round_.said()[-3000:]
        kills, done = kills + round_.kills, done + n
        round_.end()
    figure(
        "A kill -9 of worker and keeper, one at a time, at random instants",
        "≥ 10,000 jobs, ≥ 500 kills: 0 lost, 0 twice, 0 wrong",
        f"{done} jobs, {kills} kills: {verdict}",
        verdict.holds,
    )
