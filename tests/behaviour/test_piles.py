"""A pile that is being added disturbs nothing that runs, and what comes and goes meanwhile does not disturb it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from random import Random

import pytest

from queuectl import Queue, clock, codec, limits
from queuectl.bulk import BulkAdd
from queuectl.lifecycle import Finished
from queuectl.model import Job, Options, Outcome, Query, Serving, Shell, Spec
from queuectl.schedule import Backoff
from queuectl.store.claim import Claim
from queuectl.workers import own_row


def claimed(queue: Queue, worker: int) -> Job:
    with queue.store.transaction():
        return queue.store.claim(worker, 1, 0, clock.now_us(), Serving()).jobs[0]


def test_the_end_of_a_job_of_an_earlier_pile_is_recorded_while_another_is_being_added(queue: Queue) -> None:
    worker = queue.store.add_worker(own_row(1, Serving()))
    for _ in range(3):  # the lane of a pile goes when it is empty; the next pile's is a new one
        queue.add_many(["true"])
        job = claimed(queue, worker)
        with BulkAdd(queue, codec.spec(Shell("-"), {})) as adding:
            for _ in range(100):  # the smallest chunk: written, not yet open
                adding.add(Shell("false"))
            outcome = Outcome(exit_code=0, started_us=clock.now_us(), ended_us=clock.now_us())
            with queue.store.transaction():
                queue.store.apply_all([(job, Finished(outcome, Options(), Backoff()))], clock.now_us(), "worker 1")
            assert queue.get(job.id).state == "completed"
        queue.cancel(Query(states=("pending",)))


def some_claimed(queue: Queue, worker: int, n: int) -> list[Job]:
    with queue.store.transaction():
        return queue.store.claim(worker, 0, n, clock.now_us(), Serving()).jobs


@pytest.mark.parametrize("seed", range(6))
def test_jobs_start_in_the_same_order_however_many_lanes_they_stand_in(queue: Queue, seed: int) -> None:
    """Against all that waits, sorted: piles, everyday adds, priorities, limits that several lanes share."""
    random = Random(seed)
    room = {"a": 1 << 30, "b": random.randrange(5, 60), "c": random.randrange(5, 60)}
    for name in ("b", "c"):
        limits.set_queue(queue, name, parallel=room[name])
    for _ in range(12):
        fields = {"queue": random.choice("abc"), "priority": random.choice([0, 0, 0, 1, 5])}
        if random.random() < 0.5:
            queue.add_many(["true"] * random.choice([1, 7, 40]), **fields)
        else:
            for _ in range(random.randrange(8)):
                queue.add("true", **fields)
    waiting = sorted(queue.find(Query(states=("pending",))), key=lambda job: (-job.priority, job.number))
    worker = queue.store.add_worker(own_row(1, Serving()))
    while True:
        n = random.choice([1, 3, 10, 30])
        expected = []
        for job in waiting:
            if room[job.queue] and len(expected) < n:
                room[job.queue] -= 1
                expected.append(job.number)
        assert [job.number for job in some_claimed(queue, worker, n)] == expected
        if not expected:
            break
        waiting = [job for job in waiting if job.number not in expected]


@pytest.fixture
def read(queue: Queue, monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often claims read lanes, and how many jobs."""
    found: Counter[str] = Counter()
    kind = type(queue.store.new_claim(0, 0))
    plain = kind._read

    def counted(claim: Claim, lanes: list[int]) -> None:
        plain(claim, lanes)
        found["jobs"] += sum(len(claim._found[lane]) for lane in lanes)
        found["times"] += 1

    monkeypatch.setattr(kind, "_read", counted)
    return found


def piles(queue: Queue, many: int, each: int) -> None:
    for _ in range(many):
        queue.add_many(["true"] * each)


def keys(queue: Queue, many: int, each: int) -> None:
    """Each has a lane of its own, and they take turns."""
    queue.add_many([Spec(work=Shell("true"), limit_key=f"key-{n % many}") for n in range(many * each)])


# What fills the lanes, how many a claim wants; how many reads it takes at most, and how many jobs are read for each that starts.
CROWDS = [
    *[(piles, 30, 20, 50, 4, 2.5), (piles, 40, 6, 60, 6, 3.0), (piles, 3, 200, 100, 2, 2.0)],
    *[(keys, 20, 20, 50, 3, 3.0), (keys, 100, 1, 60, 2, 2.0), (keys, 100, 6, 60, 2, 3.5)],
]


@pytest.mark.parametrize(("fill", "lanes", "each", "wanted", "times", "share"), CROWDS)
def test_of_many_lanes_few_jobs_are_read_that_do_not_start(
    queue: Queue,
    fill: Callable[[Queue, int, int], None],
    lanes: int,
    each: int,
    wanted: int,
    times: int,
    share: float,
    read: Counter[str],
) -> None:
    worker = queue.store.add_worker(own_row(1, Serving()))
    fill(queue, lanes, each)
    numbers: list[int] = []
    claims = 0
    while jobs := some_claimed(queue, worker, wanted):
        numbers += [job.number for job in jobs]
        claims += 1
    assert numbers == sorted(numbers)
    assert len(numbers) == lanes * each
    assert read["times"] <= claims * times
    assert read["jobs"] <= len(numbers) * share


def test_lanes_whose_limit_is_reached_are_not_read_on(queue: Queue, read: Counter[str]) -> None:
    limits.set_queue(queue, "default", parallel=5)
    piles(queue, 40, 3)
    worker = queue.store.add_worker(own_row(1, Serving()))
    assert len(some_claimed(queue, worker, 100)) == 5
    assert read["times"] <= 3
    assert not some_claimed(queue, worker, 100)
