"""A worker's turn takes the rows of its jobs as it knows them, and looks at them again when somebody has changed one."""

from __future__ import annotations

from threading import Thread

import pytest

import queuectl
from queuectl import clock, lifecycle, limits
from queuectl.errors import Moved
from queuectl.model import Job, Options, Outcome, Serving
from queuectl.run.turn import Turn, TurnWriter
from queuectl.schedule import Backoff
from queuectl.workers import own_row


@pytest.fixture
def turns(queue: queuectl.Queue) -> TurnWriter:
    with queue.store.transaction():
        worker = queue.store.add_worker(own_row(9, Serving()))
    return TurnWriter(queue, worker, Serving())


def ended(job: Job, code: int = 0) -> tuple[Job, lifecycle.Finished]:
    now = clock.now_us()
    return job, lifecycle.Finished(Outcome(exit_code=code, started_us=now, ended_us=now), Options(), Backoff())


def claimed(queue: queuectl.Queue, turns: TurnWriter, n: int) -> list[Job]:
    queue.add_many(["true"] * n)
    found = turns.commit(Turn([], [], ahead=n)).claimed
    assert len(found) == n
    return found


def test_what_nobody_has_touched_is_written_at_once(queue: queuectl.Queue, turns: TurnWriter) -> None:
    jobs = claimed(queue, turns, 3)
    turns.commit(Turn([ended(job) for job in jobs], []))
    assert [queue.get(job.id).state for job in jobs] == ["completed"] * 3
    assert [[attempt.run for attempt in queue.attempts(job)] for job in jobs] == [[1]] * 3


def test_one_of_several_that_somebody_has_changed_is_decided_again(
    queue: queuectl.Queue, turns: TurnWriter, store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = claimed(queue, turns, 3)
    with queuectl.open(store) as other:
        other.cancel(jobs[1].id)  # which writes to its row, and asks the worker
    moved = []
    plain = type(queue.store)._check

    def check(store: object) -> None:
        try:
            plain(store)  # type: ignore[arg-type]
        except Moved as fault:
            moved.append(fault)
            raise

    monkeypatch.setattr(type(queue.store), "_check", check)
    report = turns.commit(Turn([ended(job) for job in jobs], [], ahead=5))
    assert len(moved) == 1, "the first try was refused, the second looked at the rows"
    assert [job.id for job, _ in report.turn.events] == [job.id for job in jobs]
    assert [queue.get(job.id).state for job in jobs] == ["completed"] * 3
    for job in jobs:
        assert [entry.event for entry in queue.history(job)].count("finish") == 1
        assert len(queue.attempts(job)) == 1
    assert sum(n for _, state, _, n in queue.store.counts() if state == "completed") == 3
    more = claimed(queue, turns, 2)
    turns.commit(Turn([ended(job) for job in more], []))
    assert len(moved) == 1, "it trusts again"


def test_who_begins_to_wait_for_a_job_while_its_end_is_written_is_not_forgotten(
    queue: queuectl.Queue, turns: TurnWriter, store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first that waits for anything, added when the turn has begun and has not written."""
    [job] = claimed(queue, turns, 1)
    plain, added = type(queue.store).apply_all, []

    def just_before(store_here: object, *rest: object, **more: object) -> object:
        if not added:
            with queuectl.open(store) as other:
                added.append(other.add("true", after=[job.id]))
        return plain(store_here, *rest, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(type(queue.store), "apply_all", just_before)
    turns.commit(Turn([ended(job)], []))
    assert queue.get(added[0].id).stage == "ready"


def test_a_pause_waits_for_the_claims_that_have_begun(queue: queuectl.Queue, turns: TurnWriter, store: str) -> None:
    queue.add("true")
    with queuectl.open(store) as other:
        pause = Thread(target=lambda: limits.set_queue(other, "default", paused=1))
        with queue.store.transaction():
            queue.store.share_claims()  # type: ignore[attr-defined]
            queue.store.run("select 1")
            pause.start()
            pause.join(0.5)
            assert pause.is_alive(), "what this claim takes may still start"
        pause.join(10)
        assert not pause.is_alive()
    assert not turns.commit(Turn([], [], ahead=3)).claimed


def test_a_run_that_was_told_of_is_known_as_it_was_written(
    queue: queuectl.Queue, turns: TurnWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = claimed(queue, turns, 2)
    turns.commit(Turn([(job, lifecycle.Started(clock.now_us())) for job in jobs], []))
    monkeypatch.setattr(type(queue.store), "job", lambda store, number: pytest.fail("its row was read again"))
    turns.commit(Turn([ended(job, 1) for job in jobs], []))
    monkeypatch.undo()
    assert [queue.get(job.id).attempts for job in jobs] == [1, 1]
    assert [len(queue.attempts(job)) for job in jobs] == [1, 1]
