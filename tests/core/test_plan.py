"""The worker's arithmetic stays inside its bounds."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from queuectl import plan
from queuectl.plan import Pace

SECONDS = st.floats(0, 1e6)


@given(st.integers(1, 10_000), st.builds(Pace, run_s=SECONDS, commit_s=SECONDS))
def test_what_is_claimed_ahead_is_bounded(slots: int, pace: Pace) -> None:
    assert 0 <= plan.ahead_wanted(slots, pace) <= plan.AHEAD_MAX


@given(st.integers(1, 10_000), st.floats(plan.SHORT_RUN_S * 1.01, 1e6), SECONDS)
def test_nothing_is_claimed_ahead_behind_long_jobs(slots: int, run_s: float, commit_s: float) -> None:
    assert plan.ahead_wanted(slots, Pace(run_s=run_s, commit_s=commit_s)) == 0


@given(st.lists(SECONDS))
def test_the_pace_stays_between_what_was_measured(runs: list[float]) -> None:
    pace = Pace()
    for run_s in runs:
        pace = pace.after_run(run_s)
    assert 0 <= pace.run_s <= max([Pace().run_s, *runs])


def test_one_long_job_ends_claiming_ahead_at_once() -> None:
    pace = Pace()
    for _ in range(50):
        pace = pace.after_run(0.001)
    assert plan.ahead_wanted(2, pace) > 0
    assert plan.ahead_wanted(2, pace.after_run(60.0)) == 0


PACES = st.builds(Pace, run_s=SECONDS, commit_s=SECONDS)


@given(st.integers(0, 300), st.integers(0, 300), PACES)
def test_nothing_ended_is_no_reason_for_a_turn(ahead: int, wanted: int, pace: Pace) -> None:
    assert not plan.turn_is_due(ahead, wanted, 0, 2, pace)


@given(st.integers(0, 300), st.integers(1, 300), PACES)
def test_an_end_is_recorded_at_once_when_nothing_is_claimed_ahead(wanted: int, ended: int, pace: Pace) -> None:
    assert plan.turn_is_due(0, wanted, ended, 2, pace)


def test_a_turn_begins_before_what_is_ahead_would_be_used_up_by_its_commit() -> None:
    pace = Pace(run_s=0.003, commit_s=0.07)
    assert plan.turn_is_due(900, 1000, 1, 32, pace)
    assert not plan.turn_is_due(900, 1000, 1, 32, pace.but(commit_s=0.001))


@given(SECONDS, st.lists(SECONDS))
def test_sleep_is_never_negative_and_at_most_a_tick(now: float, moments: list[float]) -> None:
    assert 0.0 <= plan.sleep_s(now, moments) <= plan.TICK_S
