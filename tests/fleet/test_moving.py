"""A queue moves from one engine to the other and back, with everything that belongs to it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from behaviour.harness import work

import queuectl
from queuectl import Conflict, Queue, Shell, Spec, limits, moving, payload, schedules
from queuectl.store.stats import by_state

pytestmark = pytest.mark.wide


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
    schedules.add(queue, "nightly", "0 3 * * *", Spec(work=Shell("true")))
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
        "schedules": schedules.all_of(queue),
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


CHANGES: tuple[Callable[[Queue], object], ...] = (
    lambda queue: queue.add("true"),
    lambda queue: queue.add_many(["true"] * 50),
    lambda queue: queue.edit("later", priority=9),
    lambda queue: queue.cancel("later"),
    lambda queue: queue.retry("dead"),
    lambda queue: limits.set_queue(queue, "pile", paused=1),
    lambda queue: queue.prune(queuectl.Query(ids=("done",))),
    lambda queue: schedules.add(queue, "weekly", "0 3 * * 0", Spec(work=Shell("true"))),
)


def refuses(queue: Queue) -> None:
    for change in CHANGES:
        with pytest.raises(Conflict) as refused:
            change(queue)
        assert "moved" in str(refused.value)


def test_a_queue_that_is_moved_takes_no_change_on_either_side(old: Queue, store: str) -> None:
    def look(line: str) -> None:
        if line.startswith(("jobs", "history")):
            refuses(old)
            with queuectl.open(store) as half:
                refuses(half)

    with queuectl.open(store) as new:
        assert all(one.same for one in moving.copy(old, new, look))
        refuses(old)
        for change in CHANGES:
            change(new)
        assert moving.keep(old)
        for change in CHANGES:
            change(old)


@pytest.mark.parametrize("back", [False, pytest.param(True, marks=pytest.mark.wide)], ids=["there", "back"])
def test_a_move_that_is_killed_again_and_again_ends_whole(old: Queue, store: str, tmp_path: Path, back: bool) -> None:
    old.add_many([f"echo {n}" for n in range(2000)])
    before, source, target = everything(old), old.place.url or f"sqlite://{old.place.database}", store
    if back:
        with queuectl.open(store) as new:
            moving.copy(old, new, print)
        source, target = store, f"sqlite://{tmp_path}/again.db"
    program = [sys.executable, "-m", "queuectl", "store", "copy", source, target]
    for kill_s in (0.3, 0.5, 0.7, 0.9, 1.1, 1.3):
        mover = subprocess.Popen(program, env=dict(os.environ), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(kill_s)
        mover.send_signal(signal.SIGKILL)
        mover.wait()
    done = subprocess.run(program, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0 or "is a queue already" in done.stderr, done.stderr  # the last one was whole
    with queuectl.open(target) as new:
        assert everything(new) == before
        assert [total for _, *total in moving.check(new.store)][4] == [total for _, *total in moving.check(old.store)][4]
        assert new.add("true").number


def test_nothing_moves_over_another_queue(old: Queue, queue: Queue) -> None:
    queue.add("true")
    with pytest.raises(Conflict):
        moving.copy(old, queue, print)
    finish(old)  # and the old one was not touched
