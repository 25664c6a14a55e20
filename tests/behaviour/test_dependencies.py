"""Jobs that wait for other jobs: what each end means for those that wait, however the end comes about."""

from __future__ import annotations

import pytest

from queuectl import Conflict, NotFound, Query, Queue, Shell, Spec, clock
from queuectl.dependencies import dependants, of
from queuectl.lifecycle import Cancel
from queuectl.model import Job

from .harness import FAST, Place, work


def states(queue: Queue) -> dict[str, str]:
    return {job.id: job.stage for job in queue.find()}


def order(queue: Queue) -> list[str]:
    ran = [job for job in queue.find() if job.started_us]
    return [job.id for job in sorted(ran, key=lambda job: (job.started_us or 0, job.number))]


@pytest.mark.parametrize("targets", [2, 5])
def test_all_that_a_job_waits_for_may_end_in_one_moment(queue: Queue, targets: int) -> None:
    jobs = [queue.add("true", id=f"t{n}") for n in range(targets)]
    queue.add("true", id="waits", after_any=[job.id for job in jobs])
    queue.add("true", id="too", after_any=[job.id for job in jobs])
    with queue.store.transaction():
        queue.store.apply_all([(job, Cancel()) for job in jobs], clock.now_us(), "test")
    waiting = [queue.get(job) for job in ("waits", "too")]
    assert [(job.stage, job.awaits) for job in waiting] == [("ready", 0)] * 2
    assert [entry.event for entry in queue.history(waiting[0])] == ["add", *["met"] * targets]
    work(queue)
    assert states(queue)["waits"] == "completed"


def test_a_job_runs_after_those_it_waits_for(queue: Queue) -> None:
    queue.add("sleep 0.2", id="a")
    queue.add("sleep 0.1", id="b")
    queue.add("true", id="c", after=["a", "b"], priority=9)
    assert states(queue)["c"] == "blocked"
    work(queue, slots=3)
    assert states(queue) == dict.fromkeys("abc", "completed")
    assert order(queue)[-1] == "c"
    [c, b, a] = queue.find()
    assert (c.started_us or 0) >= max(a.finished_us or 0, b.finished_us or 0)


def test_a_chain_of_many_runs_in_order(queue: Queue) -> None:
    queue.add("true", id="n0")
    for n in range(1, 60):
        queue.add("true", id=f"n{n}", after=f"n{n - 1}")
    work(queue, slots=4)
    assert order(queue) == [f"n{n}" for n in range(60)]


@pytest.mark.parametrize(
    ("condition", "ok", "dead", "cancelled"),
    [
        ("after", "ready", "cancelled", "cancelled"),
        ("after_any", "ready", "ready", "ready"),
        ("after_failed", "cancelled", "ready", "ready"),
    ],
)
def test_what_each_end_means_for_each_condition(queue: Queue, condition: str, ok: str, dead: str, cancelled: str) -> None:
    for name, command in (("ok", "true"), ("dead", "false")):
        queue.add(command, id=name, max_retries=0, queue="first")
    queue.add("true", id="cancelled", queue="first")
    for name in ("ok", "dead", "cancelled"):
        queue.add("true", id=f"after-{name}", queue="second", **{condition: [name]})
    queue.cancel("cancelled")
    work(queue, queues=("first",))
    found = states(queue)
    assert [found[f"after-{name}"] for name in ("ok", "dead", "cancelled")] == [ok, dead, cancelled]


def test_a_failure_that_is_retried_decides_nothing(place: Place) -> None:
    queue = place.open(**FAST)
    queue.add(f"test -e {place.folder}/again || {{ touch {place.folder}/again; exit 1; }}", id="a", max_retries=3)
    queue.add("true", id="b", after="a")
    work(queue)
    assert states(queue) == {"a": "completed", "b": "completed"}


def test_who_waits_for_what_can_never_be_is_cancelled_down_the_chain_and_says_why(queue: Queue) -> None:
    queue.add("false", id="a", max_retries=0)
    queue.add("true", id="b", after="a")
    queue.add("true", id="c", after="b")
    queue.add("true", id="d", after_any="c")
    work(queue)
    assert states(queue) == {"a": "dead", "b": "cancelled", "c": "cancelled", "d": "completed"}
    assert queue.get("b").reason == "job a, which it waited for, is dead"
    assert queue.get("c").reason == "job b, which it waited for, is cancelled"


def test_what_was_cancelled_for_it_can_be_run_all_the_same(queue: Queue) -> None:
    queue.add("true", id="a")
    queue.add("true", id="b", after="a")
    queue.cancel("a")
    assert states(queue)["b"] == "cancelled"
    queue.retry("b")
    work(queue)
    assert states(queue)["b"] == "completed"


def test_what_has_ended_as_it_must_is_not_waited_for(queue: Queue) -> None:
    queue.add("true", id="a")
    work(queue)
    assert queue.add("true", after="a").stage == "ready"


def test_to_wait_for_ever_is_refused_and_for_nobody_too(queue: Queue) -> None:
    queue.add("false", id="a", max_retries=0)
    work(queue)
    with pytest.raises(Conflict, match="job a, which it shall wait for, is dead"):
        queue.add("true", after="a")
    with pytest.raises(NotFound, match="no job 'x'"):
        queue.add("true", after="x")
    assert len(queue.find()) == 1


def test_a_held_job_stays_held_when_its_turn_comes_and_a_released_one_goes_on_waiting(queue: Queue) -> None:
    queue.add("true", id="a")
    queue.add("true", id="b", after="a")
    queue.add("true", id="c", after="b")
    queue.hold("b")
    queue.hold("c")
    queue.release("c")
    assert states(queue) == {"a": "ready", "b": "held", "c": "blocked"}
    work(queue)
    assert states(queue) == {"a": "completed", "b": "held", "c": "blocked"}
    queue.release("b")
    work(queue)
    assert states(queue) == dict.fromkeys("abc", "completed")


def test_its_own_time_counts_too(queue: Queue) -> None:
    queue.add("true", id="a")
    queue.add("true", id="b", after="a", delay=3600)
    began = clock.now_us()
    work_until_done(queue, "a")
    b = queue.get("b")
    assert (b.stage, b.awaits) == ("later", 0)
    assert abs((b.due_us or 0) - began - 3600e6) < 5e6


def work_until_done(queue: Queue, *ids: str) -> None:
    for job_id in ids:
        queue.edit(job_id, queue="now")
    work(queue, queues=("now",))


def test_jobs_of_a_pile_wait_for_those_before_them(queue: Queue) -> None:
    true = Shell("true")
    queue.add_many([Spec(true, id="a"), Spec(true, id="b", after=("a",)), Spec(true, id="c", after=("a", "b"), priority=5)])
    work(queue, slots=2)
    assert order(queue) == ["a", "b", "c"]


def test_a_pile_that_waits_for_what_is_not_there_is_refused_whole(queue: Queue) -> None:
    true = Shell("true")
    with pytest.raises(NotFound):
        queue.add_many([Spec(true, id="b", after=("a",)), Spec(true, id="a")])
    assert queue.find() == []
    assert queue.store.run("select 1 from dependencies") == []


def test_both_sides_are_shown(queue: Queue) -> None:
    a, b = queue.add("true", id="a"), queue.add("true", id="b", after="a", queue="second")
    assert [(d.other.id, d.condition, d.decided) for d in of(queue.store, b)] == [("a", "after", False)]
    assert [(d.other.id, d.condition, d.decided) for d in dependants(queue.store, a)] == [("b", "after", False)]
    work(queue, queues=("default",))
    assert [(d.other.id, d.decided) for d in of(queue.store, b)] == [("a", True)]


def test_a_pruned_job_leaves_nothing_behind(queue: Queue) -> None:
    queue.add("true", id="a")
    queue.add("true", id="b", after="a")
    work(queue)
    queue.prune(Query())
    assert queue.store.run("select 1 from dependencies") == []


def test_ends_cost_the_same_when_nobody_waits(queue: Queue) -> None:
    job: Job = queue.add("true")
    queue.add("true", id="b", after=job.id)
    queue.cancel("b")
    assert queue.store.run("select 1 from dependencies where decided = 0") == []
