"""Whatever of ours is killed: jobs run on, their true ends are recorded once, nothing runs twice beside itself."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time

import pytest
from behaviour.harness import STUBBORN, alive, eventually, marked, running, states, work, written

from .conftest import Machine

WHOLE = b"begin\nfinish\n"


# ---------------------------------------------------------------- the worker is killed


def test_jobs_of_a_killed_worker_run_on_and_their_true_ends_are_recorded(machine: Machine) -> None:
    ends = [0, 3, 255]
    jobs = [machine.add(f"sleep 0.8; (exit {status})", max_retries=0) for status in ends]
    machine.worker("--count", "3")
    for job in jobs:
        machine.ledger.began(job.id)
    machine.kill_worker()
    done = machine.queue.wait(*[job.id for job in jobs], timeout=20)
    assert [job.exit_code for job in done] == ends
    assert [job.state for job in done] == ["completed", "dead", "dead"]
    assert {(job.run, job.attempts, job.interruptions) for job in done} == {(1, 1, 0)}
    assert set(machine.ledger.starts().values()) == {1}
    assert [written(machine.queue, job) for job in jobs] == [WHOLE] * 3


def test_a_signal_that_ends_an_adopted_job_is_recorded(machine: Machine) -> None:
    job = machine.add("sleep 30", max_retries=0)
    machine.worker()
    pid = machine.ledger.began(job.id)
    eventually(lambda: machine.queue.attempts(job)[0].pid)
    machine.kill_worker()
    os.kill(pid, signal.SIGUSR1)  # about as the next worker looks for it
    [done] = machine.queue.wait(job.id, timeout=60)
    assert (done.state, done.exit_code) == ("dead", -int(signal.SIGUSR1))


def test_a_job_that_ends_while_no_worker_is_there_has_its_true_end(machine: Machine) -> None:
    job = machine.add("sleep 0.3; (exit 9)", max_retries=0)
    keeper = machine.worker()
    machine.ledger.began(job.id)
    os.kill(machine.the_worker(), signal.SIGKILL)
    [done] = machine.queue.wait(job.id, timeout=60)
    assert (done.exit_code, done.interruptions, machine.ledger.starts()) == (9, 0, {job.id: 1})
    assert keeper.poll() is None


@pytest.mark.wide
def test_a_worker_killed_again_and_again_runs_each_job_once(machine: Machine) -> None:
    kill_often(machine, jobs=60, kills=6, slots=2)


@pytest.mark.chaos
@pytest.mark.timeout(900)
def test_a_worker_killed_very_often_runs_each_job_once(machine: Machine) -> None:
    kill_often(machine, jobs=800, kills=40, slots=4)  # thousands: tests/chaos


def kill_often(machine: Machine, jobs: int, kills: int, slots: int) -> None:
    chance = random.Random(jobs)
    machine.queue.add_many(machine.ledger.job(f"sleep {chance.random() * 0.1:.3f}; (exit {n % 5})") for n in range(jobs))
    machine.queue.settings.set("backoff_base", 1000)  # one run each: failures wait
    keeper = machine.worker("--count", str(slots))
    for _ in range(kills):
        time.sleep(chance.random() * 0.15)
        for pid in machine.workers():
            os.kill(pid, signal.SIGKILL)
        assert keeper.poll() is None
    ended = ("completed", "failed")
    eventually(lambda: all(state in ended for state in states(machine.queue).values()), 60 + jobs / 10)
    found = machine.queue.find()
    assert {job.id: job.exit_code for job in found} == {str(n + 1): n % 5 for n in range(jobs)}
    assert machine.ledger.starts() == {str(n + 1): 1 for n in range(jobs)}
    assert {job.interruptions for job in found} == {0}
    assert {written(machine.queue, job) for job in found} == {WHOLE}


@pytest.mark.wide
def test_a_worker_killed_as_it_claims_loses_nothing(machine: Machine) -> None:
    machine.worker("--count", "2")
    for n in range(6):
        job = machine.add("sleep 0.05")
        while machine.queue.get(job.id).run == 0:
            pass
        time.sleep(n * 0.003)
        machine.kill_worker()
        assert machine.queue.wait(job.id, timeout=60)[0].state == "completed"
    assert set(machine.ledger.starts().values()) == {1}


@pytest.mark.parametrize("what", ["timeout", "cancel"])
def test_an_adopted_job_is_still_ended_with_its_whole_tree(machine: Machine, what: str) -> None:
    text = STUBBORN.format(more=f"echo start $QUEUECTL_JOB_ID $$ >> {machine.ledger.path}; wait; sleep 100")
    job = machine.queue.add(text, max_retries=0, **({"timeout": 1.5} if what == "timeout" else {}))
    machine.worker()
    machine.ledger.began(job.id)
    machine.kill_worker()
    if what == "cancel":
        machine.queue.cancel(job.id)
    [done] = machine.queue.wait(job.id, timeout=60)
    assert (done.state, done.reason) == (("dead", "timeout") if what == "timeout" else ("cancelled", "cancelled"))
    [(store_id,)] = machine.queue.store.run("select value from meta where key = 'store_id'")
    assert marked(f"QUEUECTL_RUN={store_id}:".encode()) == []


def test_the_time_before_the_kill_counts_for_the_timeout(machine: Machine) -> None:
    job = machine.add("sleep 30", timeout=1.5, max_retries=0)
    machine.worker()
    machine.ledger.began(job.id)
    time.sleep(0.5)
    machine.kill_worker()
    [done] = machine.queue.wait(job.id, timeout=60)
    assert done.started_us is not None
    assert done.finished_us is not None
    assert 1.4 <= (done.finished_us - done.started_us) / 1e6 < 20


# ---------------------------------------------------------------- the keeper is killed


def test_a_worker_whose_keeper_is_killed_goes_on_and_nothing_is_lost(machine: Machine) -> None:
    job = machine.add("sleep 1; (exit 4)", max_retries=0)
    keeper = machine.worker()
    machine.ledger.began(job.id)
    before = machine.the_worker()
    keeper.kill()
    keeper.wait(10)
    machine.another_worker(before)
    [done] = machine.queue.wait(job.id, timeout=60)
    assert (done.exit_code, done.run, done.interruptions) == (4, 1, 0)
    assert machine.ledger.starts() == {job.id: 1}
    again = machine.add("true")
    assert machine.queue.wait(again.id, timeout=60)[0].state == "completed"
    assert machine.command("worker", "stop").returncode == 0
    eventually(lambda: not machine.workers())


def test_keeper_and_then_worker_killed_still_lose_no_status(machine: Machine) -> None:
    job = machine.add("sleep 1.5; (exit 4)", max_retries=0)
    keeper = machine.worker()
    machine.ledger.began(job.id)
    before = machine.the_worker()
    keeper.kill()
    keeper.wait(10)
    machine.another_worker(before)
    machine.kill_worker()
    [done] = machine.queue.wait(job.id, timeout=60)
    assert (done.exit_code, done.run, machine.ledger.starts()) == (4, 1, {job.id: 1})


# ---------------------------------------------------------------- both are killed


def test_a_job_whose_worker_and_keeper_died_is_found_again_and_never_doubled(machine: Machine) -> None:
    job = machine.add(machine.until("go"))
    keeper = machine.worker()
    first = machine.ledger.began(job.id)
    machine.kill_both(keeper)
    assert alive(first)
    machine.worker("--count", "2")
    time.sleep(0.4)
    assert machine.ledger.starts() == {job.id: 1}
    assert running(machine.queue, job)
    machine.say("go")
    [done] = machine.queue.wait(job.id, timeout=60)
    assert (done.state, done.attempts) == ("completed", 1)
    assert machine.ledger.starts() == {job.id: done.run}
    assert machine.ledger.overlaps() == []
    # A newer kernel tells how it ended; where none does, the run counts as interrupted, and another one was made.
    assert (done.run, done.interruptions) in ((1, 0), (2, 1))
    first_attempt = machine.queue.attempts(job)[0]
    assert (first_attempt.reason, first_attempt.exit_code) in ((None, 0), ("interrupted", None))


def test_a_run_that_was_cut_keeps_its_own_part_of_the_log(machine: Machine) -> None:
    job = machine.add("echo $$; sleep 0.3")
    keeper = machine.worker()
    first = machine.ledger.began(job.id)
    eventually(lambda: machine.queue.attempts(job)[0].log_start)
    machine.kill_both(keeper, first)
    work(machine.queue)
    assert written(machine.queue, job, 1) == f"begin\n{first}\n".encode()
    assert written(machine.queue, job).count(b"begin") == 2


def test_a_job_that_was_cut_is_interrupted_and_run_again(machine: Machine) -> None:
    job = machine.add("test -e once || { touch once; sleep 30; }", cwd=str(machine.folder))
    keeper = machine.worker()
    pid = machine.ledger.began(job.id)
    eventually((machine.folder / "once").exists)
    machine.kill_both(keeper, pid)
    assert machine.queue.get(job.id).state == "processing"
    work(machine.queue)
    done = machine.queue.get(job.id)
    assert (done.state, done.attempts, done.interruptions) == ("completed", 1, 1)
    assert [entry.event for entry in machine.queue.history(job)].count("interrupt") == 1


@pytest.mark.parametrize(("choice", "stage"), [("hold", "held"), ("fail", "dead")])
def test_what_an_interruption_leads_to_is_the_jobs_choice(machine: Machine, choice: str, stage: str) -> None:
    job = machine.add("sleep 30", if_interrupted=choice, max_retries=0)
    keeper = machine.worker()
    pid = machine.ledger.began(job.id)
    machine.kill_both(keeper, pid)
    work(machine.queue)
    assert machine.queue.get(job.id).stage == stage
    assert machine.ledger.starts() == {job.id: 1}


@pytest.mark.wide
def test_a_job_interrupted_three_times_is_held_and_says_why(machine: Machine) -> None:
    job = machine.add("test -e enough || sleep 30", cwd=str(machine.folder))
    for n in range(1, 4):
        keeper = machine.worker()
        eventually(lambda n=n: machine.ledger.starts()[job.id] == n)
        machine.kill_both(keeper, machine.ledger.began(job.id))
    work(machine.queue)
    held = machine.queue.get(job.id)
    assert (held.stage, held.state, held.interruptions, held.attempts) == ("held", "pending", 3, 0)
    assert "interrupted 3 times" in (machine.queue.history(job)[-1].note or "")
    (machine.folder / "enough").touch()
    machine.queue.release(job.id)
    work(machine.queue)
    assert machine.queue.get(job.id).state == "completed"


def test_jobs_of_a_dead_worker_are_found_by_another_that_lives(machine: Machine) -> None:
    job = machine.add("test -e once || { touch once; sleep 30; }", cwd=str(machine.folder))
    keeper = machine.worker()
    pid = machine.ledger.began(job.id)
    eventually((machine.folder / "once").exists)
    dead = machine.the_worker()
    machine.worker()
    for number in (signal.SIGSTOP, signal.SIGKILL):
        for process in (keeper.pid, dead, pid):
            os.kill(process, number)
    keeper.wait(10)
    [done] = machine.queue.wait(job.id, timeout=60)
    # Cut, and not charged; unless the kernel remembers the signal: then the first run is known to have failed.
    assert (done.state, done.attempts, done.interruptions) in {("completed", 1, 1), ("completed", 2, 0)}
    assert machine.ledger.overlaps() == [job.id]  # the first never wrote its end: it was cut
    assert not alive(pid)


def test_what_was_only_claimed_goes_back_when_its_worker_dies(machine: Machine) -> None:
    machine.queue.add_many(machine.ledger.job("sleep 0.01") for _ in range(80))
    keeper = machine.worker()
    eventually(lambda: len(machine.ledger.starts()) > 20)
    machine.kill_both(keeper)
    time.sleep(0.1)
    work(machine.queue)
    assert set(states(machine.queue).values()) == {"completed"}
    doubled = [job for job, n in machine.ledger.starts().items() if n > 1]
    assert len(doubled) <= 2  # the run that nobody saw end, and one whose end was not written yet
    assert machine.ledger.overlaps() == []


# ---------------------------------------------------------------- stopping on purpose


def test_restart_changes_the_worker_under_running_jobs(machine: Machine) -> None:
    job = machine.add("sleep 1; (exit 6)", max_retries=0)
    keeper = machine.worker()
    machine.ledger.began(job.id)
    before = machine.the_worker()
    assert machine.command("worker", "restart").returncode == 0
    assert machine.another_worker(before) != before
    [done] = machine.queue.wait(job.id, timeout=60)
    assert (done.exit_code, done.run, done.interruptions, machine.ledger.starts()) == (6, 1, 0, {job.id: 1})
    assert keeper.poll() is None


def test_stop_and_leave_lets_jobs_run_on_and_the_next_worker_takes_them_over(machine: Machine) -> None:
    job = machine.add(machine.until("go") + "; (exit 6)", max_retries=0)
    keeper = machine.worker()
    pid = machine.ledger.began(job.id)
    assert machine.command("worker", "stop", "--leave").returncode == 0
    assert alive(pid)
    assert running(machine.queue, job)
    assert keeper.poll() is None
    machine.worker()
    machine.say("go")
    [done] = machine.queue.wait(job.id, timeout=60)
    assert (done.exit_code, done.run, machine.ledger.starts()) == (6, 1, {job.id: 1})
    assert keeper.wait(10) == 0


def test_a_left_job_that_ended_before_the_next_worker_has_its_true_end(machine: Machine) -> None:
    job = machine.add("sleep 0.4; (exit 6)", max_retries=0)
    keeper = machine.worker()
    machine.ledger.began(job.id)
    assert machine.command("worker", "stop", "--leave").returncode == 0
    assert keeper.wait(10) == 0
    work(machine.queue)
    done = machine.queue.get(job.id)
    assert (done.exit_code, done.run, done.interruptions) == (6, 1, 0)


def test_stop_now_puts_running_jobs_back_uncharged(machine: Machine) -> None:
    job = machine.add("sleep 30")
    keeper = machine.worker()
    pid = machine.ledger.began(job.id)
    assert machine.command("worker", "stop", "--now").returncode == 0
    assert keeper.wait(10) == 0
    after = machine.queue.get(job.id)
    assert (after.state, after.stage, after.attempts, after.interruptions) == ("pending", "ready", 0, 0)
    assert not alive(pid)
    assert machine.queue.store.workers() == []


@pytest.mark.parametrize("wait_s", [0.0, 0.02, 0.05, 0.1, 0.2])
def test_a_worker_told_to_end_as_it_starts_ends(machine: Machine, wait_s: float) -> None:
    program = [sys.executable, "-m", "queuectl", "worker", "start"]
    keeper = subprocess.Popen(program, env=machine.environ, stdin=-3, stdout=-3, stderr=-3)
    machine.processes.append(keeper)
    time.sleep(wait_s)
    keeper.terminate()
    assert keeper.wait(10) in (0, -int(signal.SIGTERM))
    eventually(lambda: not machine.workers())


def test_a_worker_that_ends_in_good_order_leaves_nothing_behind(machine: Machine) -> None:
    machine.add("true")
    keeper = machine.worker("--until-idle")
    assert keeper.wait(20) == 0
    assert machine.queue.store.workers() == []
    assert [name for name in os.listdir(machine.queue.place.run) if "journal" in name] == []
