"""A pile that is being added disturbs nothing that runs, and what comes and goes meanwhile does not disturb it."""

from __future__ import annotations

from collections import Counter
from random import Random

import pytest

from queuectl import Queue, clock, codec, limits
from queuectl.bulk import BulkAdd
from queuectl.lifecycle import Finished
from queuectl.model import Job, Options, Outcome, Query, Serving, Shell
from queuectl.schedule import Backoff
from queuectl.store.claim import FEW, Claim
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


@pytest.mark.parametrize(("lanes", "each"), [(30, 20), (40, 6)])
def test_of_many_lanes_few_jobs_are_read_that_do_not_start(
    queue: Queue, lanes: int, each: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: Counter[str] = Counter()
    kind = type(queue.store.new_claim(0, 0))
    plain = kind._read

    def counted(claim: Claim, asked: dict[int, int]) -> dict[int, list[Job]]:
        found = plain(claim, asked)
        read["jobs"] += sum(len(jobs) for jobs in found.values())
        read["times"] += 1
        return found

    monkeypatch.setattr(kind, "_read", counted)
    worker = queue.store.add_worker(own_row(1, Serving()))
    for _ in range(lanes):
        queue.add_many(["true"] * each)
    numbers: list[int] = []
    claims = 0
    while jobs := some_claimed(queue, worker, 60):
        numbers += [job.number for job in jobs]
        claims += 1
    assert numbers == sorted(numbers)
    assert len(numbers) == lanes * each
    assert read["jobs"] < claims * (FEW * lanes + 3 * 60), "all that a claim wants was read of each lane"
    assert read["times"] < claims * 7
