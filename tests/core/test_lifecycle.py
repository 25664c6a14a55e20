"""The whole table of what may happen to a job: every stage with every event."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from queuectl import lifecycle, model
from queuectl.errors import Conflict
from queuectl.lifecycle import (
    DECIDED_BY_SQL,
    LEADS_TO,
    REFUSALS,
    RULES,
    Cancel,
    Edited,
    Finished,
    GivenBack,
    Hold,
    Interrupted,
    Met,
    Release,
    Retry,
    Started,
    Unmet,
    a_job,
    step,
)
from queuectl.model import ENDED, STAGES, STATES, WAITING, Job, Options, Outcome, state_of
from queuectl.schedule import Backoff

from .conftest import ENDED_US

EVENTS = ("start", "finish", "give back", "interrupt", "cancel", "hold", "release", "retry", "edit", "met", "unmet")
NOW = 2_000_000_000
PAIRS = [(stage, event) for stage in STAGES for event in EVENTS]


def every_event(name: str) -> Iterator[object]:
    """Each shape of an event that may lead somewhere else."""
    match name:
        case "finish":
            for exit_code, reason in ((0, ""), (1, ""), (0, "timeout"), (-9, ""), (None, "not found"), (7, "")):
                outcome = Outcome(exit_code=exit_code, started_us=1, ended_us=ENDED_US, reason=reason)
                yield Finished(outcome, Options(no_retry=(7,)), Backoff())
        case "interrupt":
            for choice in ("rerun", "hold", "fail"):
                yield Interrupted("power", Options(if_interrupted=choice), Backoff())
        case "start":
            yield Started(5)
        case "give back":
            yield GivenBack("stopping")
        case "edit":
            for due in ({}, {"due_us": None}, {"due_us": NOW - 1}, {"due_us": NOW + 1}):
                yield Edited({"priority": 7, **due}, "priority")
        case "unmet":
            yield Unmet("job 9, which it waited for, is dead")
        case _:
            yield {"cancel": Cancel, "hold": Hold, "release": Release, "retry": Retry, "met": Met}[name]()


def every_job(stage: str) -> Iterator[Job]:
    for attempts in (0, 1, 3, 4):
        for interruptions in (0, 2):
            for stop in (None, "cancel", "hold"):
                for due in (None, NOW - 1, NOW + 1):
                    held_by = 4 if stage in ("claimed", "running") else None
                    for awaits in {"blocked": (1, 2), "held": (0, 1, 2)}.get(stage, (0,)):
                        given = {"stop": stop, "due_us": due, "worker": held_by, "run": 2, "awaits": awaits}
                        yield a_job(stage=stage, attempts=attempts, interruptions=interruptions, **given)


def every_change(stage: str, event: str) -> Iterator[lifecycle.Change]:
    for job in every_job(stage):
        for happened in every_event(event):
            if event == "met" and not job.awaits:
                continue
            try:
                yield step(job, happened, NOW)  # type: ignore[arg-type]
            except Conflict:
                assert (stage, event) == ("later", "retry")
                assert not job.attempts


def test_the_events_of_this_test_are_all_there_are() -> None:
    assert {name for _, name in RULES} == set(EVENTS)
    assert set(LEADS_TO) == set(RULES.values())
    assert {stage for stage, _ in RULES} | {stage for stage, _ in DECIDED_BY_SQL} == set(STAGES) - {"completed"}


@pytest.mark.parametrize(("stage", "event"), [pair for pair in PAIRS if pair in RULES])
def test_every_rule_leads_where_the_table_says(stage: model.Stage, event: str) -> None:
    allowed = LEADS_TO[RULES[stage, event]] or (stage,)
    assert {change.after.stage for change in every_change(stage, event)} <= set(allowed)


@pytest.mark.parametrize("rule", list(LEADS_TO), ids=lambda rule: rule.__name__)
def test_every_end_that_the_table_names_is_reached(rule: lifecycle.Rule) -> None:
    reached = {change.after.stage for pair, r in RULES.items() if r is rule for change in every_change(*pair)}
    assert reached >= set(LEADS_TO[rule])


@pytest.mark.parametrize(("stage", "event"), [pair for pair in PAIRS if pair not in RULES])
def test_every_other_pair_is_refused_with_a_reason_and_a_next_step(stage: model.Stage, event: str) -> None:
    for job in every_job(stage):
        for happened in every_event(event):
            with pytest.raises(Conflict) as refusal:
                step(job, happened, NOW)  # type: ignore[arg-type]
            assert refusal.value.why
            assert refusal.value.hint
            assert job.id in refusal.value.what


@pytest.mark.parametrize(("stage", "event"), [pair for pair in PAIRS if pair in RULES])
def test_a_change_raises_the_version_by_one_and_says_when(stage: model.Stage, event: str) -> None:
    for change in every_change(stage, event):
        assert change.after.version == change.before.version + 1
        assert change.after.updated_us == change.at_us == NOW
        assert change.event == event


@pytest.mark.parametrize(("stage", "event"), [pair for pair in PAIRS if pair in RULES])
def test_state_follows_from_stage_and_attempts(stage: model.Stage, event: str) -> None:
    for change in every_change(stage, event):
        assert change.after.state == state_of(change.after.stage, change.after.attempts)


@pytest.mark.parametrize(("stage", "event"), [pair for pair in PAIRS if pair in RULES])
def test_nobody_has_a_job_that_waits_or_has_ended(stage: model.Stage, event: str) -> None:
    for change in every_change(stage, event):
        if change.after.stage not in ("claimed", "running"):
            assert change.after.worker is None
            assert change.after.stop is None


@pytest.mark.parametrize(("stage", "event"), [pair for pair in PAIRS if pair in RULES])
def test_the_run_number_and_what_was_asked_for_never_change(stage: model.Stage, event: str) -> None:
    kept = ("number", "name", "queue", "kind", "command", "work", "priority", "max_retries", "run", "created_us", "env", "cwd")
    asked_for = {"priority"} if event == "edit" else set()
    for change in every_change(stage, event):
        assert all(getattr(change.after, field) == getattr(change.before, field) for field in kept if field not in asked_for)


def test_only_a_job_that_waits_for_its_time_knows_when_it_is_due() -> None:
    for stage, event in RULES:
        for change in every_change(stage, event):
            if change.after.stage == "later":
                assert change.after.due_us is not None
            elif change.after.stage not in ("held", "blocked") and change.after.stage != change.before.stage:
                assert change.after.due_us is None


def test_the_six_states_are_those_of_the_documents() -> None:
    seen = {state_of(stage, attempts) for stage in STAGES for attempts in (0, 1)}
    assert seen == set(STATES) == {"pending", "processing", "completed", "failed", "dead", "cancelled"}
    assert set(WAITING) | set(ENDED) | {"running"} == set(STAGES)


@pytest.mark.parametrize("attempts", [0, 1])
def test_what_waits_is_pending_before_its_first_failure_and_failed_after(attempts: int) -> None:
    assert {state_of(stage, attempts) for stage in WAITING} == {"failed" if attempts else "pending"}


def test_refusals_speak_of_pairs_that_can_happen() -> None:
    assert {event for event, _ in REFUSALS} <= set(EVENTS)
    assert {state for _, state in REFUSALS} <= set(STATES)


# ---------------------------------------------------------------- ends of runs


def test_success_completes(finished: Callable[..., Finished]) -> None:
    after = step(a_job(stage="running"), finished(0), NOW).after
    assert (after.state, after.attempts, after.exit_code, after.finished_us) == ("completed", 1, 0, ENDED_US)


@pytest.mark.parametrize("max_retries", [0, 1, 3, 10])
def test_a_job_runs_once_more_than_its_retries_and_then_is_dead(finished: Callable[..., Finished], max_retries: int) -> None:
    job, runs = a_job(stage="running", max_retries=max_retries), 0
    while job.stage != "dead":
        runs += 1
        assert runs <= max_retries + 1
        job = step(job.but(stage="running"), finished(1), NOW).after
    assert runs == job.attempts == max_retries + 1


@pytest.mark.parametrize(("attempts", "wait_s"), [(0, 2), (1, 4), (2, 8), (9, 1024)])
def test_backoff_is_exact(finished: Callable[..., Finished], attempts: int, wait_s: int) -> None:
    job = a_job(stage="running", attempts=attempts, max_retries=99)
    after = step(job, finished(1), NOW).after
    assert (after.state, after.due_us) == ("failed", ENDED_US + wait_s * 1_000_000)


def test_backoff_keeps_its_ceiling(finished: Callable[..., Finished]) -> None:
    job = a_job(stage="running", attempts=20, max_retries=99)
    assert step(job, finished(1, backoff=Backoff(ceiling_s=60.0)), NOW).after.due_us == ENDED_US + 60_000_000


@given(draw=st.floats(0, 1), jitter=st.floats(0, 10), attempts=st.integers(0, 40))
def test_jitter_only_widens_and_stays_in_its_share(draw: float, jitter: float, attempts: int) -> None:
    exact = Backoff(2.0, 3600.0).delay_s(attempts + 1)
    job = a_job(stage="running", attempts=attempts, max_retries=99)
    outcome = Outcome(exit_code=1, started_us=0, ended_us=ENDED_US)
    due = step(job, Finished(outcome, Options(), Backoff(2.0, 3600.0, jitter), draw), NOW).after.due_us
    assert due is not None
    assert exact * 1e6 - 1 <= due - ENDED_US <= exact * (1 + jitter) * 1e6 + 1


def test_an_exit_status_that_is_not_to_be_retried_is_dead_at_once(finished: Callable[..., Finished]) -> None:
    change = step(a_job(stage="running"), finished(65, no_retry=(64, 65)), NOW)
    assert change.after.state == "dead"
    assert "65" in change.note


def test_an_exit_status_that_is_not_named_is_retried(finished: Callable[..., Finished]) -> None:
    assert step(a_job(stage="running"), finished(1, no_retry=(64, 65)), NOW).after.state == "failed"


def test_a_run_that_was_ended_for_its_time_failed_even_with_status_0(finished: Callable[..., Finished]) -> None:
    after = step(a_job(stage="running"), finished(0, reason="timeout"), NOW).after
    assert (after.state, after.reason) == ("failed", "timeout")


@pytest.mark.parametrize("exit_code", [1, -15, None])
def test_cancel_beats_retry(finished: Callable[..., Finished], exit_code: int | None) -> None:
    after = step(a_job(stage="running", stop="cancel"), finished(exit_code, reason="cancelled"), NOW).after
    assert (after.state, after.reason) == ("cancelled", "cancelled")


def test_a_run_that_succeeded_before_the_cancel_reached_it_is_complete(finished: Callable[..., Finished]) -> None:
    assert step(a_job(stage="running", stop="cancel"), finished(0), NOW).after.state == "completed"


@pytest.mark.parametrize("event", [GivenBack(), Interrupted("power", Options(), Backoff())])
def test_a_job_that_was_to_be_cancelled_does_not_come_back(event: GivenBack | Interrupted) -> None:
    assert step(a_job(stage="running", stop="cancel"), event, NOW).after.state == "cancelled"


def test_a_hold_asked_before_the_start_keeps_the_next_run_from_starting(finished: Callable[..., Finished]) -> None:
    job = step(a_job(stage="claimed", worker=1), Hold(), NOW).after
    running = step(job, Started(5), NOW).after
    assert running.stage == "running"
    assert step(job, GivenBack(), NOW).after.stage == "held"
    assert step(running, finished(1), NOW).after.stage == "held"
    assert step(running, Interrupted("power", Options(), Backoff()), NOW).after.stage == "held"
    assert step(running, finished(0), NOW).after.stage == "completed"


def test_what_is_given_back_is_not_charged() -> None:
    after = step(a_job(stage="running", attempts=2, run=3), GivenBack("stopped"), NOW).after
    assert (after.stage, after.attempts, after.interruptions) == ("ready", 2, 0)


# ---------------------------------------------------------------- interruptions


def interrupted(job: Job, choice: str = "rerun") -> Job:
    return step(job, Interrupted("reboot", Options(if_interrupted=choice), Backoff()), NOW).after


def test_an_interruption_is_counted_and_not_charged() -> None:
    after = interrupted(a_job(stage="running", attempts=1))
    assert (after.stage, after.attempts, after.interruptions, after.reason) == ("ready", 1, 1, "interrupted")


def test_three_interruptions_hold() -> None:
    job = a_job(stage="running")
    stages = []
    for _ in range(3):
        job = interrupted(job.but(stage="running"))
        stages.append(job.stage)
    assert stages == ["ready", "ready", "held"]


def test_a_job_held_for_its_interruptions_says_why() -> None:
    note = step(a_job(stage="running", interruptions=2), Interrupted("reboot", Options(), Backoff()), NOW).note
    assert "3 times" in note
    assert "reboot" in note


def test_a_release_forgets_the_interruptions() -> None:
    held = interrupted(a_job(stage="running", interruptions=2))
    after = step(held, Release(), NOW).after
    assert (after.stage, after.interruptions) == ("ready", 0)


def test_the_choice_hold_holds_at_the_first_interruption() -> None:
    assert interrupted(a_job(stage="running"), "hold").stage == "held"


def test_the_choice_fail_charges_the_attempt() -> None:
    after = interrupted(a_job(stage="running"), "fail")
    assert (after.state, after.attempts, after.due_us) == ("failed", 1, NOW + 2_000_000)
    assert interrupted(a_job(stage="running", attempts=3), "fail").state == "dead"


# ---------------------------------------------------------------- what people ask for


def test_a_held_job_keeps_its_time() -> None:
    held = step(a_job(stage="later", due_us=NOW + 10), Hold(), NOW).after
    released = step(held, Release(), NOW).after
    assert (released.stage, released.due_us) == ("later", NOW + 10)


def test_a_job_released_after_its_time_is_ready() -> None:
    held = step(a_job(stage="later", due_us=NOW + 10), Hold(), NOW).after
    released = step(held, Release(), NOW + 10).after
    assert (released.stage, released.due_us) == ("ready", None)


@pytest.mark.parametrize("stage", ["dead", "cancelled"])
def test_retry_of_an_ended_job_begins_anew(stage: str) -> None:
    job = a_job(stage=stage, attempts=4, interruptions=2, exit_code=1, reason="timeout", finished_us=9, run=4)
    after = step(job, Retry(), NOW).after
    assert (after.state, after.attempts, after.interruptions, after.exit_code, after.reason) == ("pending", 0, 0, None, None)
    assert after.run == 4


def test_retry_of_a_failed_job_spares_it_the_wait_and_keeps_its_attempts() -> None:
    after = step(a_job(stage="later", attempts=2, due_us=NOW + 10), Retry(), NOW).after
    assert (after.stage, after.attempts, after.due_us) == ("ready", 2, None)


def test_retry_does_not_touch_a_job_that_waits_for_its_own_time() -> None:
    with pytest.raises(Conflict, match="it has not failed"):
        step(a_job(stage="later", due_us=NOW + 10), Retry(), NOW)


def test_cancel_of_what_runs_is_a_request_to_its_worker() -> None:
    after = step(a_job(stage="running", worker=3), Cancel(), NOW).after
    assert (after.stage, after.stop, after.worker) == ("running", "cancel", 3)


def test_step_changes_no_job_that_it_is_given(finished: Callable[..., Finished]) -> None:
    job = a_job(stage="running")
    before = job.values()
    step(job, finished(1), NOW)
    assert job.values() == before
