"""Cancel, hold, release, retry, prune: each verb on each kind of job, by every way of saying which."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from threading import Thread

import pytest

from queuectl import Conflict, NotFound, Query, Queue, Shell, Spec, WaitTimeout, lifecycle, payload
from queuectl.clock import now_us
from queuectl.model import Job, Serving
from queuectl.store.stats import by_queue, by_state, metrics

from .harness import FAST, Place, eventually, running, states, work, written


def claimed(queue: Queue, worker: int = 99) -> list[Job]:
    """What a worker that does nothing else takes."""
    with queue.store.transaction():
        return queue.store.claim(worker, 10, 0, now_us(), Serving()).jobs


# ---------------------------------------------------------------- cancel


def test_a_waiting_job_is_cancelled_at_once_and_never_runs(queue: Queue, tmp_path: Path) -> None:
    job = queue.add(f"touch {tmp_path}/ran")
    [changed] = queue.cancel(job.id)
    assert changed == queue.get(job.id)
    assert (changed.state, changed.reason) == ("cancelled", "cancelled")
    work(queue)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("before", ["true", "false"])
def test_what_has_ended_cannot_be_cancelled(open_queue: Callable[..., Queue], before: str) -> None:
    queue = open_queue(**FAST)
    job = queue.add(before)
    work(queue)
    ended = queue.get(job.id)
    with pytest.raises(Conflict):
        queue.cancel(job.id)
    assert queue.get(job.id) == ended


def test_a_cancel_that_meets_a_claim_reaches_the_worker(queue: Queue) -> None:
    job = queue.add("true")
    claimed(queue)
    with queue.store.transaction():
        change = queue.store.apply(job, lifecycle.Cancel(), now_us(), "me")
    assert change is not None
    assert (change.after.stage, change.after.stop) == ("running", "cancel")


def test_a_hold_that_meets_a_claim_is_refused_not_forgotten(queue: Queue) -> None:
    job = queue.add("true")
    claimed(queue)
    with pytest.raises(Conflict, match="it is running"), queue.store.transaction():
        queue.store.apply(job, lifecycle.Hold(), now_us(), "me")


def test_what_a_worker_says_of_a_run_it_no_longer_has_is_refused(open_queue: Callable[..., Queue]) -> None:
    queue = open_queue()
    queue.add("true")
    [first] = claimed(queue, worker=1)
    with queue.store.transaction():
        queue.store.apply(first, lifecycle.GivenBack(), now_us(), "me")
    [second] = claimed(queue, worker=2)
    assert second.run == first.run + 1
    with queue.store.transaction():
        assert queue.store.apply(first, lifecycle.GivenBack(), now_us(), "worker 1") is None
    assert queue.get(1) == second


# ---------------------------------------------------------------- hold and release


def test_a_held_job_waits_until_it_is_released(queue: Queue) -> None:
    job = queue.add("true")
    queue.hold(job.id, "not yet")
    work(queue)
    assert (queue.get(job.id).state, queue.history(job)[-1].note) == ("pending", "not yet")
    queue.release(job.id)
    work(queue)
    assert queue.get(job.id).state == "completed"


def test_a_job_held_before_its_time_still_waits_for_it_when_released(queue: Queue) -> None:
    job = queue.add("true", delay=100)
    queue.hold(job.id)
    [released] = queue.release(job.id)
    assert (released.stage, released.due_us) == ("later", job.due_us)


def test_hold_of_a_running_job_is_refused(place: Place) -> None:
    queue = place.open(**FAST)
    job = queue.add("sleep 30")
    place.worker()
    eventually(lambda: running(queue, job))
    with pytest.raises(Conflict, match="it is running"):
        queue.hold(job.id)
    with pytest.raises(Conflict, match="it is running"):
        queue.retry(job.id)


@pytest.mark.parametrize("verb", ["hold", "release", "retry"])
def test_a_verb_that_a_completed_job_does_not_allow_is_refused(queue: Queue, verb: str) -> None:
    job = queue.add("true")
    work(queue)
    with pytest.raises(Conflict) as refusal:
        getattr(queue, verb)(job.id)
    assert refusal.value.exit_code == 5
    assert refusal.value.hint


def test_a_held_job_is_not_held_twice_and_a_free_one_not_released(queue: Queue) -> None:
    job = queue.add("true")
    with pytest.raises(Conflict, match="not held"):
        queue.release(job.id)
    queue.hold(job.id)
    with pytest.raises(Conflict, match="already held"):
        queue.hold(job.id)


# ---------------------------------------------------------------- retry


def test_a_dead_job_runs_again_from_the_start(open_queue: Callable[..., Queue], tmp_path: Path) -> None:
    queue = open_queue(**FAST)
    job = queue.add(f"test -e {tmp_path}/mended", max_retries=1)
    work(queue)
    assert queue.get(job.id).state == "dead"
    (tmp_path / "mended").touch()
    [again] = queue.retry(job.id)
    assert (again.state, again.attempts) == ("pending", 0)
    work(queue)
    done = queue.get(job.id)
    assert (done.state, done.attempts, done.run) == ("completed", 1, 3)
    assert [attempt.exit_code for attempt in queue.attempts(job)] == [1, 1, 0]


def test_a_failed_job_is_spared_its_backoff(open_queue: Callable[..., Queue], place: Place) -> None:
    queue = open_queue(backoff_base=1000)
    job = queue.add("test $QUEUECTL_ATTEMPT = 2")
    keeper = place.worker()
    eventually(lambda: queue.get(job.id).state == "failed")
    queue.retry(job.id)
    assert queue.wait(job.id, timeout=5)[0].state == "completed"
    assert keeper.poll() is None


def test_a_job_that_waits_for_its_own_time_is_not_hurried_by_retry(queue: Queue) -> None:
    job = queue.add("true", delay=100)
    with pytest.raises(Conflict):
        queue.retry(job.id)
    assert queue.retry(Query()) == []
    assert queue.get(job.id) == job


# ---------------------------------------------------------------- which jobs


def test_of_a_wide_selection_those_that_allow_it_are_changed(open_queue: Callable[..., Queue]) -> None:
    queue = open_queue(**FAST)
    queue.add("true")
    queue.add("false", max_retries=0)
    work(queue)
    queue.add("true")
    queue.add("true", delay=100)
    assert {job.id for job in queue.cancel(Query())} == {"3", "4"}
    assert states(queue) == {"1": "completed", "2": "dead", "3": "cancelled", "4": "cancelled"}


def test_everything_named_is_changed_or_nothing(queue: Queue) -> None:
    queue.add("true")
    work(queue)
    queue.add("true")
    with pytest.raises(Conflict):
        queue.cancel(Query(ids=("1", "2")))
    assert queue.get(2).state == "pending"


def test_an_id_that_does_not_exist_is_named_and_nothing_changed(queue: Queue) -> None:
    queue.add("true")
    with pytest.raises(NotFound, match="nope"):
        queue.cancel(Query(ids=("1", "nope")))
    assert queue.get(1).state == "pending"


def test_a_thousand_jobs_are_changed_by_one_call(queue: Queue) -> None:
    queue.add_many(["true"] * 1200)
    assert len(queue.hold(Query())) == 1200
    assert len(queue.release(Query())) == 1200
    assert len(queue.cancel(Query())) == 1200
    assert by_state(queue.store)["cancelled"] == 1200


@pytest.mark.parametrize(
    ("query", "found"),
    [
        (Query(), "dcba"),
        (Query(oldest_first=True), "abcd"),
        (Query(ids=("b", "a")), "ba"),
        (Query(ids=("1", "2")), None),
        (Query(ranges=((2, 3),)), "cb"),
        (Query(ranges=((1, 1),), ids=("d",)), "da"),
        (Query(last=2), "dc"),
        (Query(last=1, ids=("a",)), "da"),
        (Query(queue="q"), "cb"),
        (Query(label="l"), "db"),
        (Query(label="l", queue="q"), "b"),
        (Query(stages=("later",)), "d"),
        (Query(states=("pending",), last=1), "d"),
        (Query(states=("dead",)), ""),
        (Query(below=3), "ba"),
        (Query(limit=2), "dc"),
        (Query(limit=2, below=4), "cb"),
    ],
)
def test_a_query_means(queue: Queue, query: Query, found: str | None) -> None:
    queue.add("true", id="a")
    queue.add("true", id="b", queue="q", label="l")
    queue.add("true", id="c", queue="q")
    queue.add("true", id="d", label="l", delay=100)
    if found is None:
        with pytest.raises(NotFound):
            queue.find(query)
        return
    assert "".join(job.id for job in queue.find(query)) == found
    assert "".join(job.id for job in queue.stream(query)) == found
    assert queue.count(query.but(limit=None)) >= len(found)
    if query.limit is None:
        assert queue.count(query) == len(found)


# ---------------------------------------------------------------- prune


def test_prune_removes_what_has_ended_with_everything_of_it(open_queue: Callable[..., Queue], tmp_path: Path) -> None:
    queue = open_queue(**FAST)
    (tmp_path / "in").write_bytes(b"secret")
    fd = os.open(tmp_path / "in", os.O_RDONLY)
    queue.add(Spec(work=Shell("cat"), stdin=payload.store(queue.place, fd), cwd="/"))
    os.close(fd)
    queue.add("false", max_retries=0)
    work(queue)
    waiting = queue.add("true")
    assert {job.id for job in queue.prune(Query())} == {"1", "2"}
    assert queue.find() == [waiting]
    assert os.listdir(queue.place.logs) == []
    assert os.listdir(payload.folder(queue.place)) == []
    for table in ("attempts", "history"):
        assert queue.store.run(f"select count(*) from {table} where job <> ?", (waiting.number,)) == [(0,)]
    with pytest.raises(NotFound):
        queue.get(1)


def test_numbers_are_never_used_again(queue: Queue) -> None:
    queue.add("true")
    work(queue)
    queue.prune(Query())
    assert queue.add("true").id == "2"


def test_prune_leaves_what_was_asked_for_again_meanwhile(queue: Queue, open_queue: Callable[..., Queue]) -> None:
    queue.add("true")
    queue.cancel(1)
    found = queue.find

    def found_and_then_retried(query: Query) -> list[Job]:
        jobs = found(query)
        open_queue().retry(1)
        return jobs

    queue.find = found_and_then_retried  # type: ignore[method-assign]
    assert queue.prune(Query()) == []
    assert queue.get(1).state == "pending"
    assert by_state(queue.store)["pending"] == 1


def test_prune_by_age_keeps_what_is_young(queue: Queue) -> None:
    queue.add("true")
    work(queue)
    assert queue.prune(Query(ended_before_us=now_us() - 60_000_000)) == []
    assert len(queue.prune(Query(ended_before_us=now_us() + 1))) == 1


# ---------------------------------------------------------------- wait


def test_wait_returns_when_the_jobs_have_ended(place: Place) -> None:
    queue = place.open(**FAST)
    place.worker("--count", "2")
    jobs = [queue.add("sleep 0.2"), queue.add("false", max_retries=1)]
    assert [job.state for job in queue.wait(*[job.id for job in jobs], timeout=60)] == ["completed", "dead"]


def test_wait_for_any_returns_with_the_first(place: Place) -> None:
    queue = place.open()
    place.worker("--count", "2")
    jobs = [queue.add("sleep 100"), queue.add("true")]
    began = time.monotonic()
    done = queue.wait(*[job.id for job in jobs], any=True, timeout=60)
    assert [job.ended for job in done] == [False, True]
    assert time.monotonic() - began < 30


def test_wait_ends_after_its_time_and_the_job_goes_on(queue: Queue) -> None:
    queue.add("true")
    began = time.monotonic()
    with pytest.raises(WaitTimeout) as late:
        queue.wait(1, timeout=0.2)
    assert 0.2 <= time.monotonic() - began < 10
    assert late.value.exit_code == 124
    assert queue.get(1).state == "pending"


def test_wait_for_a_job_that_does_not_exist_is_refused_at_once(queue: Queue) -> None:
    with pytest.raises(NotFound):
        queue.wait("nope", timeout=10)


def test_a_cancelled_waiting_job_wakes_who_waits_for_it(queue: Queue, open_queue: Callable[..., Queue]) -> None:
    queue.add("true")
    other = open_queue()
    canceller = Thread(target=lambda: (time.sleep(0.2), other.cancel(1)))
    began = time.monotonic()
    canceller.start()
    assert queue.wait(1, timeout=60)[0].state == "cancelled"
    assert time.monotonic() - began < 8
    canceller.join(5)


# ---------------------------------------------------------------- what is told of jobs


def test_history_tells_every_change_when_and_by_whom(place: Place) -> None:
    queue = place.open(**FAST)
    queue.actor = "ann"
    job = queue.add("test $QUEUECTL_ATTEMPT = 2")
    queue.hold(job.id)
    queue.release(job.id)
    work(queue)
    history = queue.history(job)
    assert [entry.event for entry in history if entry.event != "start"] == ["add", "hold", "release", "finish", "finish"]
    assert [entry.actor for entry in history[:3]] == ["ann"] * 3
    assert history[-1].actor.startswith("worker ")
    assert [entry.at_us for entry in history] == sorted(entry.at_us for entry in history)
    assert history[-1].stage == "completed"


def test_attempts_tell_each_run(open_queue: Callable[..., Queue]) -> None:
    queue = open_queue(**FAST)
    job = queue.add("echo $$; sleep 0.05; exit $((2 - QUEUECTL_ATTEMPT))", max_retries=3)
    work(queue)
    attempts = queue.attempts(job)
    assert [(a.run, a.exit_code) for a in attempts] == [(1, 1), (2, 0)]
    for attempt in attempts:
        assert attempt.ended_us is not None
        assert 50_000 <= attempt.ended_us - attempt.started_us < 5_000_000
        assert str(attempt.pid).encode() == written(queue, job, attempt.run).strip()


def test_the_job_shows_its_newest_run(open_queue: Callable[..., Queue]) -> None:
    queue = open_queue(**FAST)
    job = queue.add("exit 3", max_retries=1)
    work(queue)
    done, newest = queue.get(job.id), queue.attempts(job)[-1]
    assert (done.started_us, done.finished_us, done.exit_code) == (newest.started_us, newest.ended_us, newest.exit_code)


def test_counts_tell_how_many_are_in_each_state(open_queue: Callable[..., Queue]) -> None:
    queue = open_queue(**FAST)
    queue.add_many(["true"] * 3)
    queue.add("false", max_retries=0, queue="q")
    work(queue)
    queue.add("true")
    queue.cancel(queue.add("true").id)
    expected = {"pending": 1, "processing": 0, "completed": 3, "failed": 0, "dead": 1, "cancelled": 1}
    assert by_state(queue.store) == expected
    assert by_queue(queue.store)["q"]["dead"] == 1
    found = metrics(queue.store, now_us())
    assert (found["jobs"], found["runs"], found["runs_failed"], found["success_rate"]) == (6, 4, 1, 0.75)
    assert found["throughput_per_minute"]["1h"] > 0
    assert found["duration_percentiles"]["p50"] is not None


def test_metrics_of_an_empty_queue_are_zeros_and_nulls(queue: Queue) -> None:
    found = metrics(queue.store, now_us())
    assert (found["jobs"], found["success_rate"], found["duration_percentiles"]["p99"]) == (0, None, None)
