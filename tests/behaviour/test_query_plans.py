"""What the store's statements cost: which index they use, and that what waits or has ended makes none dearer.

Counted in steps of SQLite's virtual machine, not in time, so that a busy machine changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from queuectl import Query, Queue, lifecycle
from queuectl.clock import now_us
from queuectl.model import Job, Options, Outcome, Serving
from queuectl.schedule import Backoff
from queuectl.store import find, sql, stats

FEW, MANY = 200, 200_000
pytestmark = pytest.mark.engine("sqlite")


def plan(queue: Queue, statement: str, bindings: tuple[Any, ...]) -> str:
    return "\n".join(row[3] for row in queue.store.run(f"explain query plan {statement}", bindings))


def steps(queue: Queue, act: Callable[[], Any]) -> int:
    """How many steps of its virtual machine SQLite makes for an act."""
    taken = 0

    def count() -> bool:
        nonlocal taken
        taken += 1
        return False

    db: Any = queue.store._db  # type: ignore[attr-defined]
    db.set_progress_handler(count, 1)
    try:
        act()
    finally:
        db.set_progress_handler(None)
    return taken


def fill(queue: Queue, n: int, stage: str = "ready", due_us: int | None = None) -> None:
    """n jobs like the first one, in one statement, with their sums."""
    queue.add("true")
    store = queue.store
    state = {"ready": "pending", "later": "pending"}.get(stage, stage)
    rest = ", ".join(c for c in Job.fields if c not in ("number", "stage", "state", "due_us", "key", "name"))
    with store.transaction():
        first = store.take_numbers(n)
        store.run(
            f"with recursive n(x) as (select ? union all select x + 1 from n where x < ?) "
            f"insert into jobs (number, stage, state, due_us, {rest}) select x, ?, ?, ?, {rest} from n, jobs where number = 1",
            (first, first + n - 1, stage, state, due_us),
        )
        job = queue.get(1)
        store.sums.add(job.queue, state, stage, job.lane, n)


def claim(queue: Queue, n: int = 4) -> list[Job]:
    with queue.store.transaction():
        return queue.store.claim(9, n, 0, now_us(), Serving()).jobs


def finish(queue: Queue, job: Job) -> None:
    now = now_us()
    outcome = Outcome(exit_code=0, started_us=now, ended_us=now)
    with queue.store.transaction():
        queue.store.apply(job, lifecycle.Finished(outcome, Options(), Backoff()), now, "w")


# ---------------------------------------------------------------- which index


def test_the_claim_walks_its_index_and_sorts_nothing(queue: Queue) -> None:
    found = plan(queue, sql.READY_IN_LANE, (1, 4))
    assert "jobs_ready" in found
    assert "TEMP B-TREE" not in found
    assert "SCAN jobs" not in found


def test_due_jobs_are_found_by_their_time(queue: Queue) -> None:
    found = plan(queue, sql.DUE, (now_us(), 1000))
    assert "jobs_later" in found
    assert "SCAN jobs" not in found
    assert "jobs_later" in plan(queue, sql.NEXT_DUE, ())


def test_a_list_by_state_walks_its_index_newest_first(queue: Queue) -> None:
    found = plan(queue, *find.select(Query(states=("dead",), limit=20), sql.JOB))
    assert "jobs_state" in found
    assert "TEMP B-TREE" not in found


@pytest.mark.parametrize(
    "query",
    [Query(), Query(limit=20), Query(ids=("7",)), Query(ranges=((1, 9),)), Query(below=7, limit=20), Query(queue="q", limit=20)],
)
def test_a_list_sorts_nothing(queue: Queue, query: Query) -> None:
    assert "TEMP B-TREE FOR ORDER BY" not in plan(queue, *find.select(query, sql.JOB)) or len(query.ids) + len(query.ranges) > 0


@pytest.mark.parametrize("statement", [sql.JOB_BY_NUMBER, sql.JOB_BY_NAME, sql.STOPS_ASKED])
def test_one_job_is_found_without_a_scan(queue: Queue, statement: str) -> None:
    assert "SCAN" not in plan(queue, statement, (1,))


@pytest.mark.parametrize("statement", [sql.JOB_BY_KEY])
def test_a_key_is_found_without_a_scan(queue: Queue, statement: str) -> None:
    assert "jobs_key" in plan(queue, statement, ("q", "k"))


@pytest.mark.parametrize("table", ["history", "attempts"])
def test_what_happened_to_one_job_is_found_without_a_scan(queue: Queue, table: str) -> None:
    assert "SCAN" not in plan(queue, f"select * from {table} where job = ? order by id", (1,))


def test_status_reads_no_row_of_a_job(queue: Queue) -> None:
    read: set[str] = set()

    def note(_: int, table: str | None, *__: Any) -> int:
        read.add(table or "")
        return 0

    db: Any = queue.store._db  # type: ignore[attr-defined]
    db.set_authorizer(note)
    try:
        stats.by_state(queue.store)
        stats.by_queue(queue.store)
        queue.store.workers()
        queue.store.run(sql.OPEN_LANES)
    finally:
        db.set_authorizer(None)
    assert {"counts", "workers", "lanes"} <= read
    assert "jobs" not in read
    assert "history" not in read


# ---------------------------------------------------------------- what it costs


@pytest.fixture
def queues(open_queue: Callable[..., Queue], tmp_path: Any) -> Callable[[str, int | None], tuple[Queue, Queue]]:
    """Opens two queues: behind one wait few jobs of a kind, behind the other many."""
    import queuectl

    opened: list[Queue] = []

    def make(stage: str, due_us: int | None = None) -> tuple[Queue, Queue]:
        for n in (FEW, MANY):
            queue = queuectl.open(f"sqlite://{tmp_path}/{stage}{n}.db")
            fill(queue, n, stage, due_us)
            opened.append(queue)
        return opened[0], opened[1]

    yield make
    for queue in opened:
        queue.close()


def same_cost(few: int, many: int) -> bool:
    return few > 20 and many <= few * 1.1 + 20


@pytest.mark.parametrize(("stage", "due_us"), [("ready", None), ("later", 2**60), ("completed", None)])
def test_a_claim_costs_the_same_whatever_waits_or_has_ended(queues: Any, stage: str, due_us: int | None) -> None:
    few, many = queues(stage, due_us)
    for queue in (few, many):
        claim(queue)  # statements are compiled
        for _ in range(8):
            queue.add("true", priority=1)
    assert same_cost(steps(few, lambda: claim(few)), steps(many, lambda: claim(many)))


def test_adding_and_ending_cost_the_same_behind_many(queues: Any) -> None:
    few, many = queues("ready")
    for act in (lambda q: q.add("true"), lambda q: finish(q, claim(q, 1)[0]), lambda q: stats.by_state(q.store)):
        act(few), act(many)
        assert same_cost(steps(few, lambda: act(few)), steps(many, lambda: act(many)))  # noqa: B023


def test_the_first_page_of_a_list_costs_the_same_behind_many(queues: Any) -> None:
    few, many = queues("completed")
    for query in (Query(limit=20), Query(states=("completed",), limit=20), Query(last=20), Query(ids=("5",))):
        for queue in (few, many):
            queue.find(query)
        assert same_cost(steps(few, lambda: few.find(query)), steps(many, lambda: many.find(query)))  # noqa: B023


def test_making_due_jobs_ready_is_bounded_in_one_turn(queues: Any) -> None:
    _, many = queues("later", 1)
    assert len(claim(many, 1)) == 1
    ready = many.store.run("select count(*) from jobs where stage = 'ready'")[0][0]
    assert 0 < ready <= 1000
