"""A queue moves from one engine to the other and back, with everything that belongs to it."""

from __future__ import annotations

from pathlib import Path

import pytest
from behaviour.harness import work

import queuectl
from queuectl import Conflict, Queue, Shell, Spec, limits, moving, payload
from queuectl.store.stats import by_state


@pytest.fixture
def old(tmp_path: Path) -> Queue:
    queue = queuectl.open(f"sqlite://{tmp_path}/old.db")
    queue.settings.set("backoff_base", 0)
    queue.add("echo hello; echo more", id="done", label="l")
    queue.add("echo no >&2; exit 3", id="dead", max_retries=1)
    queue.add("seq 1 100000", id="large")
    work(queue)
    queue.add(Spec(work=Shell("cat"), id="reads", stdin=payload.store_bytes(queue.place, b"given")))
    queue.add("echo later", id="later", delay=3600, key="k", priority=5)
    queue.add("true", id="held")
    queue.hold("held")
    queue.add_many(["true"] * 300, queue="pile", limit_key="api")
    limits.set_queue(queue, "pile", parallel=2)
    limits.set_key(queue, "api", 2, 1000)
    return queue


def finish(queue: Queue) -> None:
    """Run what there is, but for what is to run much later."""
    queue.cancel("later")
    work(queue)


def everything(queue: Queue) -> dict[str, object]:
    jobs = queue.find()
    return {
        "jobs": jobs,
        "history": {job.id: queue.history(job) for job in jobs},
        "attempts": {job.id: queue.attempts(job) for job in jobs},
        "logs": {job.id: b"".join(queue.logs(job.id)) for job in jobs if job.run},
        "settings": queue.settings.stored(),
        "limits": [*limits.of_queues(queue), *limits.of_keys(queue)],
        "states": by_state(queue.store),
    }


def test_everything_moves_there_and_back(old: Queue, store: str, tmp_path: Path) -> None:
    before = everything(old)
    with queuectl.open(store) as new, queuectl.open(f"sqlite://{tmp_path}/again.db") as again:
        found = moving.copy(old, new, print)
        assert all(one.same for one in found)
        assert everything(new) == before
        moving.copy(new, again, print)
        assert everything(again) == before
        finish(again)
        assert by_state(again.store) == {**by_state(again.store), "completed": 303, "dead": 1, "pending": 1, "cancelled": 1}
        assert b"".join(again.logs("reads")) == b"given"
        number = again.add("true").number
        assert number > max(job.number for job in old.find())


def test_a_moved_queue_works_where_it_is_and_takes_no_workers_where_it_was(old: Queue, store: str) -> None:
    with queuectl.open(store) as new:
        moving.copy(old, new, print)
        with pytest.raises(Conflict):
            work(old)
        finish(new)
        assert new.get("reads").state == "completed"
        assert b"".join(new.logs("reads")) == b"given"
        assert new.add("true").number == old.find(queuectl.Query(limit=1))[0].number + 1
        assert moving.keep(old)
        finish(old)


def test_a_cut_move_goes_on_where_it_was(old: Queue, store: str) -> None:
    def cut(line: str) -> None:
        if line.startswith("jobs"):
            raise KeyboardInterrupt

    with queuectl.open(store) as new:
        with pytest.raises(KeyboardInterrupt):
            moving.copy(old, new, cut)
        with pytest.raises(Conflict):
            work(new)
        lines: list[str] = []
        assert all(one.same for one in moving.copy(old, new, lines.append))
        assert not any(line.startswith("jobs") for line in lines)


def test_nothing_moves_over_another_queue(old: Queue, queue: Queue) -> None:
    queue.add("true")
    with pytest.raises(Conflict):
        moving.copy(old, queue, print)
    finish(old)  # and the old one was not touched
