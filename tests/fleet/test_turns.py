"""A worker's turn takes the rows of its jobs as it knows them, and looks at them again when somebody has changed one."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from threading import Thread

import pytest

import queuectl
from queuectl import bell, clock, lifecycle, limits
from queuectl.errors import Moved
from queuectl.files import private_folder
from queuectl.model import Job, Options, Outcome, Serving, Shell, Spec
from queuectl.run.journal import Trace
from queuectl.run.turn import Turn, TurnWriter
from queuectl.schedule import Backoff
from queuectl.store import pg_bell, pg_patience
from queuectl.store.pg_bell import SharedListener
from queuectl.store.pg_trust import Trust
from queuectl.store.pg_wire import Wire
from queuectl.store.postgres import PostgresStore
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
    plain = Trust.check

    def check(trust: Trust) -> None:
        try:
            plain(trust)
        except Moved as fault:
            moved.append(fault)
            raise

    monkeypatch.setattr(Trust, "check", check)
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


@pytest.fixture
def trips(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Grows with each time that somebody waits for the server; an answer in two pieces is waited for twice."""
    found: list[str] = []
    plain = Wire._wait

    def wait(wire: Wire, unsent: bool, until: float) -> bool:
        found.append("trip")
        return plain(wire, unsent, until)

    monkeypatch.setattr(Wire, "_wait", wait)
    return found


def test_a_claim_takes_two_trips_and_a_turn_of_ends_four(
    queue: queuectl.Queue, turns: TurnWriter, trips: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pg_patience, "CHEAP_S", 1.0)  # what a busy machine takes
    for _ in range(3):  # what things cost is known then
        queue.add("true")
        [job] = turns.commit(Turn([], [], ahead=1)).claimed
        turns.commit(Turn([ended(job)], [], ahead=1))
    queue.add("true")
    time.sleep(0.1)  # the bell has rung
    trips.clear()
    [job] = turns.commit(Turn([], [], ahead=1)).claimed
    assert len(trips) <= 3
    trips.clear()
    turns.commit(Turn([ended(job)], [], ahead=1))
    assert len(trips) <= 6  # one more than usual: it had got all that it wanted, and so looks behind its mark first


def test_a_worker_that_finds_nothing_waits_for_no_disk(queue: queuectl.Queue, turns: TurnWriter) -> None:
    def looks_that_were_not_flushed() -> int:
        turns.commit(Turn([], [], ahead=3))
        [(is_behind,)] = queue.store.run("select pg_current_wal_flush_lsn() < pg_current_wal_insert_lsn()")
        return int(is_behind)

    turns.commit(Turn([], [], ahead=3))
    assert sum([looks_that_were_not_flushed() for _ in range(20)]) > 10


def test_a_turn_that_writes_anything_is_flushed_before_anybody_is_told(
    queue: queuectl.Queue, turns: TurnWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = queue.store
    assert isinstance(store, PostgresStore)
    plain_end, written = store.end, []

    def end() -> None:
        written.append(store.run("select cast(pg_current_wal_insert_lsn() as text)")[0][0])
        plain_end()

    def flushed(turn: Turn) -> bool:
        turns.commit(turn)
        [(is_flushed,)] = store.run("select pg_current_wal_flush_lsn() >= cast(cast(? as text) as pg_lsn)", (written[-1],))
        return bool(is_flushed)

    monkeypatch.setattr(store, "end", end)
    for n in range(5):
        [job] = claimed(queue, turns, 1)
        rests, told = Turn([], [], rests=((f"key {n}", clock.now_us()),)), Turn([], [Trace(job.number, job.run, pid=1)])
        assert [flushed(turn) for turn in (rests, told, Turn([ended(job)], []))] == [True] * 3
        queue.add("true")
        assert flushed(Turn([], [], ahead=1))
        store.leases._asked_s = float("-inf")
        assert flushed(Turn([], []))


def test_a_worker_with_more_than_enough_to_do_sees_a_higher_priority_at_once_and_a_retry_soon(
    queue: queuectl.Queue, turns: TurnWriter, store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pg_patience, "CHEAP_S", 1.0)  # what a busy machine takes
    for _ in range(16):  # not as a pile, which has a lane of its own
        queue.add("true")

    def three() -> list[int]:
        return [job.number for job in turns.commit(Turn([], [], ahead=3)).claimed]

    assert (three(), three()) == ([1, 2, 3], [4, 5, 6])
    assert isinstance(queue.store, PostgresStore)
    assert queue.store.marks.busy_until_s > 0
    queue.store.marks.busy_until_s = float("inf")
    with queuectl.open(store) as other:
        urgent = other.add("true", priority=9).number
        other.hold("7")
        assert three() == [urgent, 8, 9]
        other.release("7")
    assert three() == [10, 11, 12]
    queue.store.marks.busy_until_s = 0.0
    assert three() == [7, 13, 14]


@pytest.mark.parametrize(("workers", "least_s", "most_s"), [(0, 0.125, 0.375), (1, 0.125, 0.375), (4, 0.5, 1.5), (500, 1.0, 3.0)])
def test_of_many_workers_each_looks_for_a_retry_the_more_seldom(
    queue: queuectl.Queue, turns: TurnWriter, workers: int, least_s: float, most_s: float
) -> None:
    for _ in range(4):
        queue.add("true")
    assert isinstance(queue.store, PostgresStore)
    time.sleep(0.1)  # the bell has rung
    queue.store.ringer.workers = workers
    before = time.monotonic()
    assert len(turns.commit(Turn([], [], ahead=3)).claimed) == 3
    assert before + least_s <= queue.store.marks.busy_until_s <= time.monotonic() + most_s


def test_a_worker_that_finds_too_few_behind_its_mark_looks_before_it_at_once(
    queue: queuectl.Queue, turns: TurnWriter, store: str
) -> None:
    for _ in range(11):
        queue.add("true")
    queue.hold("1")
    assert len(turns.commit(Turn([], [], ahead=9)).claimed) == 9  # more than enough: it need not look there for a while
    with queuectl.open(store) as other:
        other.release("1")
    assert [job.number for job in turns.commit(Turn([], [], ahead=3)).claimed] == [1, 11]


def test_what_a_turn_writes_itself_is_seen_by_its_claim(queue: queuectl.Queue, turns: TurnWriter) -> None:
    for _ in range(3):
        [job] = claimed(queue, turns, 1)
        turns.commit(Turn([ended(job)], [], ahead=5))
    [job] = claimed(queue, turns, 1)
    queue.add("true", after=[job.id])
    [waited] = turns.commit(Turn([ended(job)], [], ahead=5)).claimed
    assert waited.id != job.id
    later = queue.add("true", delay=0.3)
    assert not turns.commit(Turn([ended(waited)], [], ahead=5)).claimed
    time.sleep(0.4)
    assert later.id in [job.id for job in turns.commit(Turn([], [], ahead=5)).claimed]


def test_a_target_that_asked_to_be_left_alone_gets_nothing_in_the_same_turn(queue: queuectl.Queue, turns: TurnWriter) -> None:
    for _ in range(3):
        [job] = claimed(queue, turns, 1)
        turns.commit(Turn([ended(job)], [], ahead=5))
    queue.add("true", limit_key="api")
    assert not turns.commit(Turn([], [], rests=(("api", clock.now_us() + 60_000_000),), ahead=5)).claimed


def test_workers_hear_of_an_add_that_was_its_own_ring(queue: queuectl.Queue, store: str, trips: list[str], tmp_path: Path) -> None:
    queue.add("true")
    to, store_id = queue.store.to, queue.store.store_id  # type: ignore[attr-defined]
    ears = SharedListener(str(private_folder(str(tmp_path / "elsewhere"))), bell.WORK, to, store_id)  # as on another machine
    try:
        with queuectl.open(store) as other:
            other.add("true")  # its first knows no environment
            other.add("true")
            time.sleep(0.2)
            ears.drain()
            trips.clear()
            other.add("true")
            assert len(trips) <= 2
            assert ears.wait(2.0)
    finally:
        ears.close()


def test_an_add_whose_ring_fails_was_added(queue: queuectl.Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    queue.add("true")
    queue.add("true")
    time.sleep(0.05)
    monkeypatch.setattr(pg_bell, "RING", "select 1 / 0, ?::text, 1")
    added = queue.add("echo rings not")
    assert queue.get(added.id).command == "echo rings not"
    time.sleep(0.05)
    assert queue.add("true").number == added.number + 1


def test_a_worker_whose_slots_are_busy_looks_for_nothing_that_it_may_not_claim(
    queue: queuectl.Queue, turns: TurnWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pg_patience, "CHEAP_S", 1.0)
    queue.add("sleep 60", if_interrupted="hold")
    for _ in range(3):
        report = turns.commit(Turn([], [], free=0, ahead=4))
        assert not report.claimed and report.next_due_us is None


def test_a_pile_of_jobs_that_ask_the_server_for_others_is_written_in_small_pieces(queue: queuectl.Queue, store: str) -> None:
    first = queue.add("true")
    seen = []

    def pile() -> Iterator[Spec]:
        for _ in range(150):
            yield Spec(work=Shell("true"), after=(first.id,))
            with queuectl.open(store) as other:
                seen.append(other.count())

    assert queue.add_many(pile()) == 150
    assert 101 in seen, "a hundred were written before the rest came"


def test_a_store_without_the_function_takes_jobs_step_by_step(queue: queuectl.Queue, store: str) -> None:
    functions = "select oid::regprocedure::text from pg_proc where proname = 'add_job' and pronamespace = ?::regnamespace"
    [(name,)] = queue.store.run(functions, (queue.store.to.schema,))  # type: ignore[attr-defined]
    queue.store.run(f"drop function {name}")
    assert [queue.add("true").number for _ in range(4)] == [1, 2, 3, 4]


def test_an_add_does_not_mind_a_connection_that_was_ended_meanwhile(queue: queuectl.Queue, store: str) -> None:
    for _ in range(2):
        queue.add("true")
    for number in (3, 4):
        with queuectl.open(store) as other:
            other.store.run("select pg_terminate_backend(?::int)", (queue.store.served_by[0],))  # type: ignore[attr-defined]
        time.sleep(0.2)
        assert queue.add("true").number == number
    assert [job.number for job in queue.find()] == [4, 3, 2, 1]
