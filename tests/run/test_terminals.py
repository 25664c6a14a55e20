"""Workers of several terminals on one queue: each start has a keeper of its own, and its Ctrl-C ends what it started."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest
from behaviour.harness import alive, eventually

from queuectl import workers
from queuectl.run.ends import End, EndsBook
from queuectl.run.journal import Journal, read

from .conftest import Machine

pytestmark = pytest.mark.wide


def test_a_second_start_adds_its_slots_and_ctrl_c_ends_only_its_own(machine: Machine) -> None:
    first, second = machine.worker("--count", "2"), machine.worker("--count", "4")
    jobs = [machine.add(machine.until("go")) for _ in range(6)]
    for job in jobs:
        machine.ledger.began(job.id)  # all six at once
    machine.say("go")
    os.kill(second.pid, signal.SIGINT)
    assert second.wait(20) == 0
    assert first.poll() is None and len(machine.workers()) == 1
    assert [job.state for job in machine.queue.wait(*[job.id for job in jobs], timeout=60)] == ["completed"] * 6
    later = machine.add("true")
    assert machine.queue.wait(later.id, timeout=60)[0].state == "completed"  # the first goes on


def test_a_start_beside_the_keeper_of_left_jobs_takes_them_over_and_the_old_keeper_goes_with_the_last(machine: Machine) -> None:
    old = machine.worker("--count", "2")
    short = machine.add(machine.until("short") + "; (exit 5)", max_retries=0)
    long = machine.add(machine.until("long") + "; (exit 6)", max_retries=0)
    machine.ledger.began(short.id), machine.ledger.began(long.id)
    workers.ask(machine.queue, workers.living(machine.queue.store), "leave")
    eventually(lambda: not machine.workers())
    assert old.poll() is None
    new = machine.worker("--count", "2")
    for job, word, code in ((short, "short", 5), (long, "long", 6)):
        assert old.poll() is None
        machine.say(word)
        [done] = machine.queue.wait(job.id, timeout=60)
        assert (done.exit_code, done.run, done.interruptions) == (code, 1, 0)
    assert old.wait(10) == 0
    assert new.poll() is None


def test_what_a_killed_start_ran_is_taken_over_by_the_other_terminal(machine: Machine) -> None:
    machine.worker("--count", "1")
    first_worker = machine.the_worker()
    second = machine.worker("--count", "3")
    [second_worker] = [pid for pid in machine.workers() if pid != first_worker]
    job = machine.add(machine.until("go") + "; (exit 7)", max_retries=0)
    machine.add(machine.until("go"))
    machine.ledger.began(job.id)
    for number in (signal.SIGSTOP, signal.SIGKILL):
        for pid in (second.pid, second_worker):
            os.kill(pid, number)
    eventually(lambda: not alive(second_worker))
    machine.say("go")
    [done] = machine.queue.wait(job.id, timeout=60)
    assert machine.ledger.overlaps() == []
    assert done.exit_code == 7 and done.state == "dead"


def test_a_restart_returns_when_the_next_worker_runs(machine: Machine) -> None:
    machine.worker()
    before = machine.the_worker()
    for _ in range(3):
        assert machine.command("worker", "restart").returncode == 0
        after = machine.workers()
        assert len(after) == 1 and after[0] != before
        before = after[0]


def test_lines_of_an_earlier_worker_with_the_same_number_are_not_believed(tmp_path: Path) -> None:
    """A restored backup counts workers from where it was; their journals may still lie there."""
    path = tmp_path / "worker-1.journal"
    path.write_bytes(b"K 1 1\nP 1 1 99 99 0 0\nE 1 1 0 0 0 0\n")
    journal = Journal(str(path), (2, 2))
    assert read(str(path)).traces == {} and read(str(path)).keeper == (2, 2)
    journal.close(remove=True)


def test_a_keeper_that_can_write_nowhere_does_not_wait_for_ever(tmp_path: Path) -> None:
    book = EndsBook(str(tmp_path / "no such folder" / "keeper-1-1.journal"))
    began = time.monotonic()
    book.note(1, 1, End(0, 0, 0, 0, 0))
    assert time.monotonic() - began < 20


@pytest.mark.skipif(os.geteuid() != 0, reason="not root: NO folder was mounted read-only")
def test_a_worker_in_a_folder_that_cannot_be_written_is_refused_with_words(machine: Machine) -> None:
    folder = machine.queue.place.run
    if subprocess.run(["mount", "--bind", folder, folder], check=False).returncode:
        pytest.skip("mounting is not allowed here: NO folder was made read-only")
    try:
        subprocess.run(["mount", "-o", "remount,bind,ro", folder], check=True)
        done = machine.command("worker", "start")
    finally:
        subprocess.run(["umount", "-l", folder], check=True)
    assert done.returncode == 7
    assert "read-only" in done.stderr and "Traceback" not in done.stderr
