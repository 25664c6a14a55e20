"""What a job needs and what limits it: tags, limits of keys and queues, rates, and what they cost."""

from __future__ import annotations

import time

import pytest

from queuectl import NotFound, Queue, Shell, Spec, clock, limits
from queuectl.model import Call, Function, Job, Serving
from queuectl.schedule import interval_us

from .harness import Place, work


def claim(queue: Queue, n: int = 10, now: int | None = None, serving: Serving = Serving(), ahead: int = 0) -> list[Job]:
    with queue.store.transaction():
        return queue.store.claim(1, n, ahead, now or clock.now_us(), serving).jobs


def ids(jobs: list[Job]) -> str:
    return "".join(job.id for job in jobs)


# ---------------------------------------------------------------- needs


def test_a_job_that_asks_for_a_tag_waits_for_a_worker_that_has_it(queue: Queue) -> None:
    queue.add("true", id="a", where=["gpu"], priority=9)
    queue.add("true", id="b")
    assert ids(claim(queue)) == "b"
    assert ids(claim(queue, serving=Serving(offers=("command", "tag:big")))) == ""
    assert ids(claim(queue, serving=Serving(offers=("command", "tag:gpu", "tag:big")))) == "a"


def test_all_tags_that_are_asked_for_are_needed(queue: Queue) -> None:
    queue.add("true", id="a", where="gpu,big")
    assert ids(claim(queue, serving=Serving(offers=("command", "tag:gpu")))) == ""
    assert ids(claim(queue, serving=Serving(offers=("command", "tag:gpu", "tag:big")))) == "a"


def test_commands_calls_and_functions_go_to_who_runs_such(queue: Queue) -> None:
    queue.add("true", id="a")
    queue.add(Call("http://127.0.0.1:9/x"), id="b")
    queue.add(Function("resize"), id="c")
    for offers, taken in (("task:other", ""), ("task:resize", "c"), ("call", "b"), ("command", "a")):
        assert ids(claim(queue, serving=Serving(offers=(offers,)))) == taken


def test_a_retry_goes_back_to_a_lane_of_its_own_kind(place: Place) -> None:
    queue = place.open()
    job = queue.add("true", where=["gpu"], limit_key="k")
    queue.cancel(job.id)
    queue.retry(job.id)
    assert ids(claim(queue)) == ""
    assert ids(claim(queue, serving=Serving(offers=("command", "tag:gpu")))) == job.id


def test_a_due_job_goes_to_a_lane_of_its_own_kind(queue: Queue) -> None:
    job = queue.add("true", where=["gpu"], delay=0.01)
    time.sleep(0.02)
    assert ids(claim(queue)) == ""
    assert ids(claim(queue, serving=Serving(offers=("command", "tag:gpu")))) == job.id


def test_a_pile_may_mix_what_its_jobs_need(queue: Queue) -> None:
    true = Shell("true")
    queue.add_many([Spec(true, id="a", where=("gpu",)), Spec(true, id="b"), Spec(true, id="c", limit_key="k")])
    limits.set_key(queue, "k", 1, None)
    assert ids(claim(queue)) == "bc"
    assert ids(claim(queue, serving=Serving(offers=("command", "tag:gpu")))) == "a"


# ---------------------------------------------------------------- how many at once


def test_a_limit_of_a_key_holds_over_queues(queue: Queue) -> None:
    for n, name in enumerate("abcd"):
        queue.add("true", id=name, limit_key="k", queue="one" if n % 2 else "two")
    queue.add("true", id="e")
    limits.set_key(queue, "k", 2, None)
    first = claim(queue)
    assert ids(first) == "abe"
    assert claim(queue) == []


def test_a_limit_holds_for_what_waits_already_and_its_end_frees_it(queue: Queue) -> None:
    for name in "abc":
        queue.add("true", id=name, limit_key="k")
    limits.set_key(queue, "k", 1, None)
    assert ids(claim(queue)) == "a"
    limits.remove_key(queue, "k")
    assert ids(claim(queue)) == "bc"


def test_what_is_limited_holds_nobody_else_up(queue: Queue) -> None:
    limits.set_key(queue, "k", 1, None)
    for n in range(50):
        queue.add("true", limit_key="k", priority=5, id=f"k{n}")
    queue.add("true", id="free")
    assert [job.id for job in claim(queue, 4)] == ["k0", "free"]


def test_no_more_than_the_limit_run_at_once_with_real_workers(queue: Queue, tmp_path: object) -> None:
    limits.set_key(queue, "k", 2, None)
    for _ in range(6):
        queue.add(f"touch {tmp_path}/run.$$; ls {tmp_path} | grep -c ^run; sleep 0.1; rm {tmp_path}/run.$$", limit_key="k")
    work(queue, slots=4)
    counts = [int(b"".join(queue.logs(n)).split(b"\n")[-2]) for n in range(1, 7)]
    assert max(counts) == 2


def test_a_limit_that_is_not_there_cannot_be_removed(queue: Queue) -> None:
    with pytest.raises(NotFound):
        limits.remove_key(queue, "k")


# ---------------------------------------------------------------- how often


@pytest.mark.parametrize("of", ["queue", "key"])
def test_a_rate_lets_one_start_each_interval(queue: Queue, of: str) -> None:
    for _ in range(9):
        queue.add("true", limit_key="k")
    every = interval_us("2/s")
    if of == "queue":
        limits.set_queue(queue, "default", interval_us=every)
    else:
        limits.set_key(queue, "k", None, every)
    t = clock.now_us()
    starts = [len(claim(queue, now=t + ms * 1000)) for ms in (0, 100, 499, 500, 501, 999, 1000, 5000, 5001)]
    assert starts == [1, 0, 0, 1, 0, 0, 1, 1, 0]


def test_a_high_rate_may_catch_up_a_little_and_is_kept_over_a_second(queue: Queue) -> None:
    queue.add_many("true" for _ in range(3000))
    limits.set_queue(queue, "default", interval_us=interval_us("1000/s"))
    t = clock.now_us()
    started = [len(claim(queue, 500, now=t + ms * 1000)) for ms in range(0, 1000, 20)]
    assert 950 <= sum(started) <= 1051
    assert max(started) <= 52


def test_what_a_rate_lets_through_later_starts_by_itself(queue: Queue) -> None:
    for _ in range(4):
        queue.add("true")
    limits.set_queue(queue, "default", interval_us=interval_us("5/s"))
    began = clock.now_us()
    work(queue, slots=4)
    starts = sorted(job.started_us or 0 for job in queue.find())
    assert all(at - began > n * 200_000 - 50_000 for n, at in enumerate(starts))


def test_a_target_that_asks_for_rest_is_left_alone(queue: Queue) -> None:
    queue.add(Call("http://one.example/a"), id="a")
    queue.add(Call("http://two.example/b"), id="b")
    calls = Serving(offers=("call",))
    t = clock.now_us()
    limits.rest_key(queue, "one.example:80", t + 60_000_000)
    limits.rest_key(queue, "one.example:80", t + 1)  # an earlier moment does not shorten it
    assert ids(claim(queue, now=t, serving=calls)) == "b"
    assert ids(claim(queue, now=t + 59_000_000, serving=calls)) == ""
    assert ids(claim(queue, now=t + 60_000_000, serving=calls)) == "a"
    limits.forget_past(queue)
    assert limits.of_keys(queue) != []
    queue.store.run("update limits set next_us = 1")
    limits.forget_past(queue)
    assert limits.of_keys(queue) == []


def test_nothing_of_a_limited_rate_is_claimed_ahead_of_its_slot(queue: Queue) -> None:
    for _ in range(5):
        queue.add("true")
    limits.set_queue(queue, "default", interval_us=1)
    assert len(claim(queue, 2, ahead=3)) == 2


# ---------------------------------------------------------------- what is left behind


def test_lanes_of_keys_are_dropped_when_they_are_empty(queue: Queue) -> None:
    for n in range(20):
        queue.add("true", limit_key=f"k{n}")
    assert len(queue.store.run("select 1 from lanes")) == 20
    claim(queue, 20)
    queue.store.checkpoint()  # where that is a task of its own
    assert queue.store.run("select 1 from lanes") == []
    queue.add("true", limit_key="k3")
    assert len(claim(queue)) == 1
