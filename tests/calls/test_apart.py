"""A caller's turns are committed by a process beside it: killed, either takes the other with it and nothing is lost."""

from __future__ import annotations

import fcntl
import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from queuectl.model import Call
from queuectl.queue import Queue
from queuectl.run import journal

from .conftest import CallerProcess, Target, until

Start = Callable[..., CallerProcess]


def committer_of(caller: CallerProcess) -> int:
    pid = caller.process.pid
    children = Path(f"/proc/{pid}/task/{pid}/children")
    until(lambda: children.read_text().split())
    [child] = children.read_text().split()
    return int(child)


def is_gone(pid: int) -> bool:
    try:
        return ") Z " in Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return True


def completed(queue: Queue) -> int:
    return int(queue.store.run("select count(*) from jobs where state = 'completed'")[0][0])


def run_folder(queue: Queue) -> list[str]:
    return sorted(name for name in os.listdir(queue.place.run) if name.startswith("worker-"))


def test_an_orderly_end_leaves_nothing_behind(queue: Queue, target: Target, start_caller: Start) -> None:
    job = queue.add(Call(target.url + "/ok"))
    caller = start_caller()
    child = committer_of(caller)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        os.kill(child, number)  # as when everything is told to end: it is not for this one to hear
    until(lambda: queue.get(job.id).ended)
    assert len(run_folder(queue)) == 2, "a journal and the lock of who commits"
    assert caller.stop() == 0
    assert is_gone(child)
    assert not run_folder(queue)


@pytest.mark.wide
@pytest.mark.parametrize("whom", ["the caller", "the committer"])
def test_killed_under_load_nothing_is_lost(queue: Queue, target: Target, start_caller: Start, whom: str) -> None:
    queue.settings.set("backoff_base", "0")
    n = 300
    queue.add_many([Call(target.url + f"/slow?s=0.005&n={i}") for i in range(n)])
    for _ in range(3):
        before, caller = completed(queue), start_caller()
        child = committer_of(caller)
        until(lambda before=before: completed(queue) > before + 20)  # type: ignore[misc]
        os.kill(child if whom == "the committer" else caller.process.pid, signal.SIGKILL)
        assert caller.process.wait(10) != 0
        until(lambda child=child: is_gone(child))  # type: ignore[misc]
        queue.store.run("update jobs set interruptions = 0 where interruptions > 0")  # three would hold a job
    start_caller()
    until(lambda: completed(queue) == n)
    succeeded = queue.store.run("select job from attempts where exit_code = 0")
    assert len(succeeded) == len(set(succeeded)) == n
    assert caller.process.stderr
    said = caller.process.stderr.read()
    assert "Traceback" not in said
    assert ("the process that commits" in said) == (whom == "the committer")


@pytest.mark.wide
def test_nobody_takes_over_while_the_last_turn_may_be_on_its_way(queue: Queue, target: Target, start_caller: Start) -> None:
    target.may_answer.clear()
    job = queue.add(Call(target.url + "/gate"))
    caller = start_caller()
    until(lambda: target.now == 1)
    child = committer_of(caller)
    [dead] = queue.store.workers()
    caller.kill()
    until(lambda: is_gone(child))
    target.may_answer.set()
    with open(journal.commits_path(journal.journal_path(queue.place.run, dead.id)), "wb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)  # as by a committer that is slow to die
        start_caller()
        until(lambda: len(queue.store.workers()) == 2)
        done = queue.add(Call(target.url + "/ok"))
        until(lambda: queue.get(done.id).ended)
        assert queue.get(job.id).worker == dead.id
    until(lambda: queue.get(job.id).ended, 15)
    assert queue.get(job.id).interruptions == 1
    assert run_folder(queue) == [name for name in run_folder(queue) if not name.startswith(f"worker-{dead.id}.")]
