"""A caller that is killed loses no call, reports none twice, and never sends again what must not be sent twice."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from time import monotonic, sleep

from queuectl import codec
from queuectl.model import Call
from queuectl.queue import Queue
from queuectl.run import journal
from queuectl.run.journal import Trace

from .conftest import PATIENCE_S, CallerProcess, Target, log_of, until

Start = Callable[..., CallerProcess]


def test_what_was_under_way_is_called_interrupted_and_made_again_or_held(queue: Queue, target: Target, start_caller: Start) -> None:
    target.may_answer.clear()
    get = queue.add(Call(target.url + "/gate?get"))
    post = queue.add(Call(target.url + "/gate?post", method="POST"))
    caller = start_caller()
    until(lambda: target.now == 2)
    caller.kill()
    target.may_answer.set()
    start_caller()
    until(lambda: queue.get(get.id).ended)
    assert (queue.get(get.id).state, queue.get(get.id).attempts, queue.get(get.id).interruptions) == ("completed", 1, 1)
    held = queue.get(post.id)
    assert (held.stage, held.reason, held.attempts) == ("held", "interrupted", 0)
    assert queue.history(held)[-1].note == "its caller died while it waited for the answer"
    assert target.paths().count("/gate?post") == 1, "what must not be sent twice was sent once"
    queue.release(post.id)
    until(lambda: queue.get(post.id).ended)
    assert queue.get(post.id).state == "completed"


def test_a_restart_waits_for_no_call_that_is_under_way_and_a_stop_behind_it_does(queue: Queue, target: Target) -> None:
    env = os.environ | {"QUEUECTL_DB_PATH": queue.place.database}
    program = [sys.executable, "-m", "queuectl", "worker"]
    target.may_answer.clear()
    job = queue.add(Call(target.url + "/gate"))
    keeper = subprocess.Popen([*program, "start"], env=env, stderr=subprocess.DEVNULL)
    try:
        until(lambda: target.now == 1)
        restart = subprocess.run([*program, "restart"], env=env, capture_output=True, text=True, timeout=60)
        assert (restart.returncode, restart.stderr) == (0, "queuectl: 1 worker restarted\n")
        assert queue.get(queue.add("true").id).state == "pending"
        until(lambda: queue.find()[0].state == "completed")  # somebody works
        assert (target.now, queue.get(job.id).state) == (1, "processing")
        keeper.terminate()
        sleep(1.5)
        assert keeper.poll() is None
        target.may_answer.set()
        assert keeper.wait(PATIENCE_S) == 0
        assert queue.get(job.id).state == "completed"
        assert target.paths() == ["/gate"]
    finally:
        keeper.kill()


def test_what_was_claimed_and_not_sent_goes_back_uncharged(queue: Queue, target: Target, start_caller: Start) -> None:
    """More calls to one target than may run at once: the rest is never sent by the one that is killed."""
    queue.settings.set("call_parallel", "2")
    target.may_answer.clear()
    jobs = [queue.add(Call(target.url + f"/gate?{n}", method="POST")) for n in range(10)]
    caller = start_caller()
    until(lambda: target.now == 2)
    caller.kill()
    target.may_answer.set()
    start_caller()
    until(lambda: sum(queue.get(job.id).state == "completed" for job in jobs) == 8)
    assert sum(queue.get(job.id).stage == "held" for job in jobs) == 2
    assert len(target.seen) == 10
    assert len(set(target.paths())) == 10


def test_an_answer_that_is_in_the_journal_alone_is_recorded(queue: Queue, target: Target, start_caller: Start) -> None:
    """Killed between the answer and the commit: a row that runs, and a journal that knows better."""
    target.may_answer.clear()
    job = queue.add(Call(target.url + "/gate", method="POST"), max_retries=0)
    caller = start_caller()
    until(lambda: queue.get(job.id).stage == "running" and target.now)
    caller.kill()
    [row] = queue.store.workers()
    path = journal.journal_path(queue.place.run, row.id)
    trace = journal.read(path).traces[job.number, 1]
    assert trace.sent
    ended = trace.but(said=1_418, ended_us=trace.started_us + 5_000_000, log_end=trace.log_start)
    with open(path, "a", encoding="ascii") as file:
        file.write(f"A {ended.job} {ended.run} {ended.said} {ended.ended_us} 0 0 {ended.log_start} {ended.log_end}\n")
    start_caller()
    until(lambda: queue.get(job.id).ended)
    found = queue.get(job.id)
    assert (found.state, found.reason, found.exit_code, found.attempts) == ("dead", "http 418", 1, 1)
    assert found.finished_us == ended.ended_us
    assert len(target.seen) == 1


def test_a_journal_keeps_what_it_is_told_of_calls(tmp_path: Path) -> None:
    book = journal.Journal(str(tmp_path / "worker-1.journal"))
    sent = book.calling(Trace(7, 2, started_us=5, log_start=40))
    book.answered(sent.but(said=2000, ended_us=9, final=1, not_before_us=11, log_end=50))
    book.calling(Trace(8, 1, started_us=6, log_start=41))
    book.flush()
    traces = journal.read(book.path).traces
    assert traces[7, 2] == sent.but(said=2000, ended_us=9, final=1, not_before_us=11, log_end=50)
    assert traces[8, 1] == Trace(8, 1, started_us=6, log_start=41, sent=1)
    book.close(remove=True)


def test_killed_again_and_again_under_load_nothing_is_lost_or_reported_twice(
    queue: Queue, target: Target, start_caller: Start
) -> None:
    queue.settings.set("backoff_base", "0")
    n = 200
    queue.add_many([Call(target.url + f"/slow?s=0.02&n={i}") for i in range(n)])
    rng = random.Random(5)

    def done() -> bool:
        return queue.store.run("select count(*) from jobs where state = 'completed'") == [(n,)]

    while not done():
        caller, before = start_caller(), len(target.seen)
        until(lambda before=before: len(target.seen) > before + 30 or done())  # type: ignore[misc]
        sleep(rng.random() * 0.1)
        caller.kill()
        # Three interruptions hold a job for a person: this one lets it go on.
        queue.store.run("update jobs set interruptions = 0 where interruptions > 0")
    assert queue.store.run("select count(*) from jobs") == [(n,)]
    succeeded = queue.store.run("select job from attempts where exit_code = 0")
    assert sorted(succeeded) == sorted(set(succeeded)), "none succeeded twice"
    assert {path.rpartition("=")[2] for path in target.paths()} == {str(i) for i in range(n)}
    for (number,) in queue.store.run("select number from jobs limit 20"):
        job = queue.store.job(number)
        assert job
        assert "slow" in log_of(queue, job)


def test_a_stop_lets_calls_end_and_a_second_ends_them(queue: Queue, target: Target, start_caller: Start) -> None:
    target.may_answer.clear()
    get, post = (queue.add(Call(target.url + f"/gate?{method}", method=method)) for method in ("GET", "POST"))
    caller = start_caller()
    until(lambda: target.now == 2)
    caller.process.send_signal(signal.SIGTERM)
    sleep(0.3)
    assert caller.process.poll() is None, "it waits for what is under way"
    caller.process.send_signal(signal.SIGTERM)
    assert caller.process.wait(10) == 0
    assert (queue.get(get.id).stage, queue.get(get.id).attempts) == ("ready", 0)
    assert queue.get(post.id).stage == "held", "nobody knows whether it was read"
    assert not queue.store.workers()
    assert not [name for name in os.listdir(queue.place.run) if name.startswith("worker-")]


def test_an_orderly_stop_records_what_was_under_way(queue: Queue, target: Target, start_caller: Start) -> None:
    job = queue.add(Call(target.url + "/slow?s=0.5"))
    caller = start_caller()
    until(lambda: target.now == 1)
    assert caller.stop() == 0
    assert queue.get(job.id).state == "completed"


def test_a_caller_that_is_not_used_ends(queue: Queue, start_caller: Start) -> None:
    caller = start_caller("idle=0.5")
    assert caller.process.wait(15) == 0


def test_many_slow_targets_hold_nobody_else_up(queue: Queue, target: Target, start_caller: Start) -> None:
    """Each a target of its own, as far as the queue can tell."""
    slow = Call(target.url + "/slow?s=30")
    queue.add_many([codec.spec(slow, {"limit_key": f"target {n}"}) for n in range(300)])
    start_caller()
    until(lambda: queue.store.run("select count(*) from jobs where stage = 'running'")[0][0] >= 300)
    quick = queue.add(Call(target.url + "/ok"))
    began = monotonic()
    until(lambda: queue.get(quick.id).ended)
    assert queue.get(quick.id).state == "completed"
    assert monotonic() - began < 20
