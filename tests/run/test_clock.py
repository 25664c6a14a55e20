"""A clock that somebody sets: spans of time keep their length, moments stay what they are."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

import queuectl
from queuectl import clock
from queuectl.lifecycle import Finished
from queuectl.model import Options, Outcome, Serving
from queuectl.run.turn import Turn, TurnWriter
from queuectl.schedule import Backoff
from queuectl.workers import own_row

HOURS_2_US = 7_200_000_000


@pytest.fixture
def queue(tmp_path: Path) -> queuectl.Queue:
    return queuectl.open(f"sqlite://{tmp_path}/queuectl.db")


def looked_before_the_clock_was_set(queue: queuectl.Queue, by_us: int) -> None:
    """As a worker's last look would have left it, had the clock been set by so much since."""
    with queue.store.transaction():
        queue.store.follow_clock(clock.boot_id(), clock.boot_offset_us() - by_us)


def look(queue: queuectl.Queue) -> None:
    with queue.store.transaction():
        queue.store.follow_clock(clock.boot_id(), clock.boot_offset_us())


@pytest.mark.parametrize("by_us", [HOURS_2_US, -HOURS_2_US], ids=["forward", "back"])
def test_a_delay_added_after_the_clock_was_set_begins_when_it_is_added(queue: queuectl.Queue, by_us: int) -> None:
    looked_before_the_clock_was_set(queue, by_us)
    for job in (queue.add("true", delay=60), *_in_bulk(queue)):
        look(queue)
        due = queue.get(job.id).due_us
        assert due is not None
        assert abs(due / 1e6 - time.time() - 60) < 10


def _in_bulk(queue: queuectl.Queue) -> list[queuectl.Job]:
    queue.add_many(["true"], delay=60)
    return queue.find()[:1]


def test_a_delay_added_before_the_clock_was_set_keeps_its_length(queue: queuectl.Queue) -> None:
    job = queue.add("true", delay=60)
    looked_before_the_clock_was_set(queue, 0)
    before = queue.get(job.id).due_us
    looked_before_the_clock_was_set(queue, HOURS_2_US)  # set back by two hours
    after = queue.get(job.id).due_us
    assert before is not None and after is not None
    assert abs(before - HOURS_2_US - after) < 1_000_000


def test_a_new_delay_of_an_edited_job_begins_when_it_is_edited(queue: queuectl.Queue) -> None:
    job = queue.add("true", delay=3600)
    looked_before_the_clock_was_set(queue, -HOURS_2_US)
    queue.edit(job.id, delay=60)
    look(queue)
    due = queue.get(job.id).due_us
    assert due is not None and abs(due / 1e6 - time.time() - 60) < 10


def test_the_rate_of_a_queue_rests_no_longer_because_the_clock_was_set_back(queue: queuectl.Queue) -> None:
    queue.add("true")
    now = clock.now_us()
    look(queue)
    queue.store.run("update queues set interval_us = 1000000, next_us = ?", (now + 1_000_000,))
    looked_before_the_clock_was_set(queue, 86_400_000_000)  # the wall clock now shows a day less
    [(opens,)] = queue.store.run("select next_us from queues")
    assert abs(opens - (now + 1_000_000 - 86_400_000_000)) < 1_000_000


def test_a_backoff_is_no_longer_because_the_clock_was_set_back_after_the_end(queue: queuectl.Queue) -> None:
    job = queue.add("false", max_retries=3)
    with queue.store.transaction():
        claimed = queue.store.claim(1, 1, 0, clock.now_us(), queuectl.model.Serving()).jobs[0]
    ended = clock.now_us() + HOURS_2_US  # by the clock as it was
    outcome = Outcome(exit_code=1, started_us=ended, ended_us=ended)
    with queue.store.transaction():
        queue.store.apply_all([(claimed, Finished(outcome, Options(), Backoff(10.0)))], clock.now_us(), "worker 1")
    due = queue.get(job.id).due_us
    assert due is not None and abs(due / 1e6 - time.time() - 10) < 5


def test_a_delay_is_not_over_because_the_clock_was_set_back_while_a_turn_began(
    queue: queuectl.Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker may wait for the store: what it read of the clock before it got it is not the time of what it finds there."""
    with queue.store.transaction():
        writer = TurnWriter(queue, queue.store.add_worker(own_row(1, Serving())), Serving())
    job = queue.add("true", delay=60)
    writer.commit(Turn([], []))
    offset = clock.boot_offset_us()
    monkeypatch.setattr(clock, "boot_offset_us", lambda: offset - HOURS_2_US)
    assert not writer.commit(Turn([], [], ahead=1)).claimed
    assert queue.get(job.id).stage == "later"
