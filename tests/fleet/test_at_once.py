"""A claim in a single trip: it writes what a turn writes, and takes nothing of which a turn would have to know more."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

import queuectl
from queuectl import clock, limits, payload
from queuectl.errors import Replaced, TryAgainLater
from queuectl.model import Job, Serving, Shell, Spec
from queuectl.run.turn import Turn, TurnWriter
from queuectl.store import pg_link, pg_patience
from queuectl.store.pg_wire import Wire
from queuectl.store.postgres import PostgresStore
from queuectl.workers import own_row

from .test_turns import ended

CHANGING = ("number", "created_us", "updated_us", "started_us", "finished_us")


class Idle:
    """A worker that has nothing to tell, once it knows what there is."""

    def __init__(self, queue: queuectl.Queue, free: int = 3) -> None:
        assert isinstance(queue.store, PostgresStore)
        queue.settings.set("lease", 60)  # it is not to be renewed meanwhile
        self.queue, self.store, self.free = queue, queue.store, free
        with self.store.transaction():
            self.id = self.store.add_worker(own_row(9, Serving()))
        self.turns = TurnWriter(queue, self.id, Serving())
        queue.add("true")
        for _ in range(2):  # what things cost is known then
            report = self.turns.commit(self.turn())
            self.turns.commit(Turn([ended(job) for job in report.claimed], []))

    def turn(self) -> Turn:
        return Turn([], [], free=self.free)

    def at_once(self) -> list[str]:
        """What is claimed by asking the server; other reasons not to ask have tests of their own."""
        asked: list[str] = []
        plain = self.store._wire.alone

        def alone(text: str, *rest: Any, **more: Any) -> Any:
            asked.append(text)
            return plain(text, *rest, **more)

        self.store._wire.alone = alone  # type: ignore[method-assign]
        try:
            found = self.unasked()
        finally:
            del self.store._wire.alone
        assert ["taken as" in text for text in asked] == [True]
        return found

    def unasked(self) -> list[str]:
        return [job.id for job in self.store.claim_at_once(self.id, self.free, clock.now_us(), Serving())]

    def properly(self) -> list[Job]:
        """By a turn that asks something more."""
        return self.turns.commit(Turn([], [], free=self.free, count_left=True)).claimed


@pytest.fixture
def idle(queue: queuectl.Queue, monkeypatch: pytest.MonkeyPatch) -> Idle:
    monkeypatch.setattr(pg_patience, "CHEAP_S", 1.0)  # what a busy machine takes
    return Idle(queue)


def told(queue: queuectl.Queue, job: Job) -> tuple[Any, ...]:
    """All that is known of a job but what differs by when it was added and claimed."""
    row = queue.get(job.id)
    attempts = [attempt.but(job=0, started_us=0, ended_us=None) for attempt in queue.attempts(job)]
    lines = [(entry.event, entry.stage, entry.run, entry.actor, entry.note) for entry in queue.history(job)]
    return {name: getattr(row, name) for name in Job.fields if name not in CHANGING}, attempts, lines


def test_what_is_taken_at_once_is_written_as_a_turn_writes_it(queue: queuectl.Queue, idle: Idle) -> None:
    first = queue.add("echo a", label="x", max_retries=2)
    assert idle.at_once() == [first.id]
    counts = dict.fromkeys([(q, s, g) for q, s, g, _ in queue.store.counts()])
    second = queue.add("echo a", label="x", max_retries=2)
    [claimed] = idle.properly()
    assert claimed == queue.get(second.id)
    assert told(queue, first) == told(queue, second)
    assert dict.fromkeys([(q, s, g) for q, s, g, _ in queue.store.counts()]) == counts
    assert [n for _, _, stage, n in queue.store.counts() if stage == "running"] == [2]
    for job in (first, second):
        idle.turns.commit(Turn([ended(queue.get(job.id))], []))
    assert told(queue, first) == told(queue, second)
    assert {state for _, state, _, _ in queue.store.counts()} == {"completed"}


def test_the_loop_gets_the_jobs_as_they_stand_and_is_told_to_look_again(queue: queuectl.Queue, idle: Idle) -> None:
    jobs = [queue.add("true", priority=priority) for priority in (1, 9, 5, 7)]
    report = idle.turns.commit(idle.turn())
    assert [job.priority for job in report.claimed] == [9, 7, 5]
    assert report.claimed == [queue.get(job.id) for job in report.claimed]
    assert all(job.started_us == job.updated_us == report.claimed_us for job in report.claimed)
    assert report.next_due_us is not None and report.next_due_us - report.claimed_us < 50_000
    assert (report.stops, report.stopping, report.calls_wait) == ([], None, False)
    assert idle.at_once() == [jobs[0].id]
    assert idle.at_once() == []


def test_it_is_one_trip(queue: queuectl.Queue, idle: Idle, monkeypatch: pytest.MonkeyPatch) -> None:
    job = queue.add("true")
    time.sleep(0.1)  # the bell has rung
    synced: list[Wire] = []
    plain = Wire._end_of_transaction
    monkeypatch.setattr(Wire, "_end_of_transaction", lambda wire: synced.append(wire) or plain(wire))
    monkeypatch.setattr(idle.store, "begin", lambda: pytest.fail("a transaction was begun"))
    assert [found.id for found in idle.turns.commit(idle.turn()).claimed] == [job.id]
    assert len(synced) == 1


def paused(queue: queuectl.Queue, idle: Idle) -> None:
    queue.add("true")
    limits.set_queue(queue, "default", paused=1)


def limited(queue: queuectl.Queue, idle: Idle) -> None:
    queue.add("true")
    limits.set_queue(queue, "default", parallel=1)


def rated(queue: queuectl.Queue, idle: Idle) -> None:
    queue.add("true")
    limits.set_queue(queue, "default", interval_us=10_000_000)


def another_queue_is_limited(queue: queuectl.Queue, idle: Idle) -> None:
    queue.add("true")
    queue.add("true", queue="other")
    limits.set_queue(queue, "other", parallel=1)


def an_unknown_lane(queue: queuectl.Queue, idle: Idle) -> None:
    queue.add("true")
    queue.add("true", queue="other", priority=5)


def a_key(queue: queuectl.Queue, idle: Idle) -> None:
    queue.add("true", limit_key="k")


def run_before(queue: queuectl.Queue, idle: Idle) -> None:
    job = queue.add("false", max_retries=3)
    [claimed] = idle.properly()
    idle.turns.commit(Turn([ended(claimed, 1)], []))
    queue.retry(job.id)


def with_input(queue: queuectl.Queue, idle: Idle) -> None:
    queue.add("true")
    queue.add(Spec(Shell("cat"), stdin=payload.store_bytes(queue.place, b"x")))


def asked_to_stop(queue: queuectl.Queue, idle: Idle) -> None:
    queue.add("true")
    with queue.store.transaction():
        queue.store.ask_worker(idle.id, "finish")


def silent_for_too_long(queue: queuectl.Queue, idle: Idle) -> None:
    queue.add("true")
    queue.store.run("update workers set lease_us = 1 where id = ?", (idle.id,))


# Of each the number of jobs that a turn takes then.
SITUATIONS: list[tuple[Callable[[queuectl.Queue, Idle], None], int]] = [
    (paused, 0),
    (limited, 1),
    (rated, 1),
    (another_queue_is_limited, 2),
    (an_unknown_lane, 2),
    (a_key, 1),
    (run_before, 1),
    (with_input, 2),
    (asked_to_stop, 1),
    (silent_for_too_long, 1),
]


@pytest.mark.parametrize(("situation", "taken"), SITUATIONS, ids=lambda given: getattr(given, "__name__", None))
def test_what_needs_a_closer_look_is_left_to_the_turn(
    queue: queuectl.Queue, idle: Idle, situation: Callable[[queuectl.Queue, Idle], None], taken: int
) -> None:
    situation(queue, idle)
    before = queue.store.counts()
    assert idle.at_once() == []
    assert queue.store.counts() == before
    assert len(idle.turns.commit(idle.turn()).claimed) == taken


def test_of_two_queues_the_paused_one_is_left(queue: queuectl.Queue, idle: Idle) -> None:
    an_unknown_lane(queue, idle)
    idle.turns.commit(Turn([ended(job) for job in idle.properly()], []))
    first, _ = queue.add("true"), queue.add("true", queue="other", priority=5)
    limits.set_queue(queue, "other", paused=1)
    assert idle.at_once() == [first.id]
    assert idle.properly() == []


def test_a_worker_whose_jobs_were_given_to_others_takes_nothing(queue: queuectl.Queue, idle: Idle) -> None:
    queue.add("true")
    with queue.store.transaction():
        queue.store.take_lease(idle.id)
    assert idle.at_once() == []
    with pytest.raises(Replaced):
        idle.turns.commit(idle.turn())


def test_a_lease_that_is_to_be_renewed_is_renewed_by_a_turn(queue: queuectl.Queue, idle: Idle) -> None:
    queue.add("true")
    idle.store.leases._asked_s = float("-inf")
    assert idle.unasked() == []
    assert len(idle.turns.commit(idle.turn()).claimed) == 1
    queue.add("true")
    assert len(idle.at_once()) == 1


def test_where_anything_is_limited_it_is_not_asked_for_in_vain(
    queue: queuectl.Queue, idle: Idle, monkeypatch: pytest.MonkeyPatch
) -> None:
    another_queue_is_limited(queue, idle)
    idle.properly()
    queue.add("true")
    monkeypatch.setattr(Wire, "alone", lambda *_, **__: pytest.fail("it was asked"))
    assert idle.unasked() == []
    monkeypatch.undo()
    limits.set_queue(queue, "other", parallel=None)
    assert len(idle.properly()) == 1
    queue.add("true")
    assert len(idle.at_once()) == 1


def test_where_a_claim_at_once_is_refused_the_turn_is_tried(
    queue: queuectl.Queue, idle: Idle, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object) -> list[Job]:
        raise TryAgainLater("the store is busy")

    monkeypatch.setattr(idle.store, "claim_at_once", refused)
    queue.add("true")
    assert len(idle.turns.persist(idle.turn()).claimed) == 1


def test_a_statement_sees_what_it_has_waited_for_whatever_the_role_is_set_to(idle: Idle, store: str) -> None:
    run = idle.store._db.execute
    run("create role strict login superuser")
    try:
        run("alter role strict set default_transaction_isolation = 'serializable'")
        with queuectl.open(store.replace("postgres@", "strict@")) as other:
            how = other.store.run("select current_user, current_setting('transaction_isolation')")
        assert how == [("strict", "read committed")]
    finally:
        run("drop role strict")


def test_what_another_has_in_hand_is_passed_by(queue: queuectl.Queue, idle: Idle, store: str) -> None:
    jobs = [queue.add("true") for _ in range(3)]
    with queuectl.open(store) as other, other.store.transaction():
        other.store.locked(jobs[0].number)
        assert idle.at_once() == [jobs[1].id, jobs[2].id]
    idle.turns.commit(idle.turn())
    assert queue.get(jobs[0].id).stage == "running"


@pytest.mark.parametrize("when", ["before", "after"])
def test_when_the_answer_is_lost_what_was_claimed_is_found(
    queue: queuectl.Queue, idle: Idle, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    """Cut before the server has heard of it, or when it has done it."""
    held = queue.add("true")
    assert idle.at_once() == [held.id], "of another moment: not what is looked for"
    job = queue.add("true")
    plain, cut = Wire.alone, []

    def alone(wire: Wire, *rest: Any, **more: Any) -> Any:
        if "taken as" in rest[0] and not cut:
            cut.append(1)
            if when == "after":
                plain(wire, *rest, **more)
            pg_link.shut(wire._db)
        return plain(wire, *rest, **more)

    monkeypatch.setattr(Wire, "alone", alone)
    assert idle.unasked() == ([job.id] if when == "after" else [])
    assert cut
    idle.turns.commit(idle.turn())
    assert [(queue.get(found.id).stage, queue.get(found.id).run) for found in (held, job)] == [("running", 1)] * 2
