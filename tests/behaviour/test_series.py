"""What charts are drawn from: sums by minute, written with the ends of runs; durations from runs spread over the time."""

from __future__ import annotations

from queuectl import Queue, clock, report
from queuectl.store.sums import MINUTE_US, MINUTES_AT_ONCE, MINUTES_KEPT, forget_old_minutes

from .harness import work


def ended(queue: Queue, span: str, now_us: int | None = None) -> tuple[int, int]:
    points = report.series(queue, span, now_us or clock.now_us())["points"]
    return sum(point["completed"] for point in points), sum(point["failed"] for point in points)


def test_every_run_counts_in_the_minute_in_which_it_ended(queue: Queue) -> None:
    for n in range(9):
        queue.add(f"exit {n % 3}", max_retries=0)
    work(queue)
    assert [ended(queue, span) for span in report.SPANS] == [(3, 6)] * 3
    queue.store.checkpoint()  # a shared store folds its sums then
    assert ended(queue, "hour") == (3, 6)
    assert ended(queue, "hour", clock.now_us() + 2 * 3600 * 1_000_000) == (0, 0)


def test_a_week_is_whole_however_much_ran(queue: Queue) -> None:
    now = clock.now_us()
    minutes = [(now // MINUTE_US - n, 900, 100) for n in range(6 * 1440)]
    with queue.store.transaction():
        queue.store.run_many("insert into minutes (minute, succeeded, failed) values (?, ?, ?)", minutes)
        rows = [(n, 1, now - n * 100_000 - 7_000_000, now - n * 100_000, 0, 0) for n in range(30_000, 0, -1)]
        names = "job, run, started_us, ended_us, exit_code, log_start"
        queue.store.run_many(f"insert into attempts ({names}) values (?, ?, ?, ?, ?, ?)", rows)
    found = report.series(queue, "week", now)
    assert ended(queue, "week", now) == (6 * 1440 * 900, 6 * 1440 * 100)
    assert found["one_in"] == 864
    assert found["duration_percentiles"] == {"p50": 7.0, "p90": 7.0, "p99": 7.0}


def test_minutes_that_no_chart_shows_any_more_are_forgotten(queue: Queue) -> None:
    newest = clock.now_us() // MINUTE_US
    kept = [newest, newest - MINUTES_KEPT + 1]
    with queue.store.transaction():
        names = "insert into minutes (minute, succeeded, failed) values (?, 1, 0)"
        queue.store.run_many(names, [(minute,) for minute in (*kept, newest - MINUTES_KEPT - MINUTES_AT_ONCE - 9)])
    forget_old_minutes(queue.store, clock.now_us())
    assert {minute for (minute,) in queue.store.run("select minute from minutes")} == set(kept)
