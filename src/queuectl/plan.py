"""The worker's decisions as plain arithmetic: how many jobs to claim, when to give some back, how long to sleep."""

from __future__ import annotations

from math import ceil

from .record import Record

SHORT_RUN_S = 0.1  # only runs that are shorter than this are claimed ahead of their slot
AHEAD_S = 0.04  # of work held claimed
AHEAD_MAX = 1024
AHEAD_KEPT_S = 0.25  # a job claimed ahead that found no slot for so long goes back to the queue
TELL_AFTER_S = SHORT_RUN_S  # a run older than this is told to the store as running; a shorter one by its end alone
IDLE_LOOK_S = 0.25  # how often a worker that ends when idle looks whether others have finished
PRUNE_AT_ONCE = 200  # old jobs removed in one tick
TICK_S = 5.0  # the slow poll behind the bell: lost rings, changed clocks, workers that died
WEIGHT = 0.2  # of the newest value in a moving average


class Pace(Record):
    """What recent jobs and commits took, in seconds, as moving averages."""

    run_s: float = 3600.0  # nothing known yet: as if jobs were long
    commit_s: float = 0.001

    def after_run(self, seconds: float) -> Pace:
        # Long runs count at once, short ones must repeat: claiming ahead behind a long job is the dearer mistake.
        known = self.run_s if seconds < self.run_s and self.run_s <= SHORT_RUN_S else seconds
        return self.but(run_s=known + WEIGHT * (seconds - known))

    def after_commit(self, seconds: float) -> Pace:
        return self.but(commit_s=self.commit_s + WEIGHT * (seconds - self.commit_s))


def ahead_wanted(slots: int, pace: Pace) -> int:
    """How many jobs to hold claimed beyond the free slots, so that short jobs never wait for a commit.

    What is held is some hundredths of a second of work, so that one flush carries many ends; more when commits are
    slow, because the next claim is a commit away.

    >>> ahead_wanted(2, Pace(run_s=60.0)), ahead_wanted(2, Pace(run_s=0.001)), ahead_wanted(2, Pace(run_s=0.05))
    (0, 89, 3)
    """
    if pace.run_s > SHORT_RUN_S:
        return 0
    ahead_s = AHEAD_S + 4 * pace.commit_s
    return min(AHEAD_MAX, 1 + ceil(slots * ahead_s / max(pace.run_s, 0.0005)))


def turn_is_due(ahead: int, wanted: int, ended: int, slots: int, pace: Pace) -> bool:
    """Whether the committer, now idle, should be given a turn because of what ended.

    When jobs are short and enough is claimed ahead, ends are gathered until half of what was claimed is used up, so
    that one flush carries many, or until what is left would be used up before the commits of two turns; else each end
    is recorded at once.

    >>> pace = Pace(run_s=0.01, commit_s=0.001)
    >>> turn_is_due(0, 0, 1, 2, pace), turn_is_due(9, 10, 1, 2, pace), turn_is_due(9, 10, 1, 2, pace.but(commit_s=0.03))
    (True, False, True)
    """
    return ended > 0 and (ahead <= wanted // 2 or ahead * pace.run_s < 2 * slots * pace.commit_s)


def sleep_s(now_s: float, moments: list[float]) -> float:
    """How long the loop may sleep: until the first of the moments, at most a tick.

    >>> sleep_s(10.0, [12.0, 11.5]), sleep_s(10.0, []), sleep_s(10.0, [9.0])
    (1.5, 5.0, 0.0)
    """
    return max(0.0, min([TICK_S, *[moment - now_s for moment in moments]]))
