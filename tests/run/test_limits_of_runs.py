"""What a job asked for its run alone: to be nicer, to have less memory, and what becomes of that which it leaves behind."""

from __future__ import annotations

import os
import sys

import pytest
from behaviour.harness import STUBBORN, alive, marked, written

import queuectl

from .conftest import Machine

pytestmark = pytest.mark.wide


def enqueued(machine: Machine, *words: str) -> queuectl.Job:
    """The job that the command line has added, ended."""
    added = machine.command("enqueue", "--max-retries", "0", *words)
    assert added.returncode == 0, added.stderr
    return machine.queue.wait(added.stdout.strip(), timeout=60)[0]


def notes(machine: Machine, job: queuectl.Job) -> list[str]:
    return [entry.note for entry in machine.queue.history(job) if entry.note]


# ---------------------------------------------------------------- limits


def test_a_job_is_as_much_nicer_than_its_worker_as_it_asked_also_with_less_memory(machine: Machine) -> None:
    machine.worker()
    own = os.getpriority(os.PRIO_PROCESS, machine.the_worker())
    nicer = min(19, own + 10)
    text = "nice; ulimit -v"
    for words, printed in {
        (): f"{own}\nunlimited\n",
        ("--nice", "10"): f"{nicer}\nunlimited\n",
        ("--memory", "1G"): f"{own}\n{10**9 // 1024}\n",
        ("--nice", "10", "--memory", "1G"): f"{nicer}\n{10**9 // 1024}\n",
    }.items():
        job = enqueued(machine, *words, "--command", text)
        assert (job.exit_code, written(machine.queue, job).decode()) == (0, printed), words


def test_a_job_that_takes_more_than_its_memory_is_refused_it(machine: Machine) -> None:
    """The address space: 1 GB is asked for and not touched."""
    machine.worker()
    takes = (sys.executable, "-c", "import mmap; mmap.mmap(-1, 10**9)")
    enough, less = (enqueued(machine, "--memory", size, "--", *takes) for size in ("4G", "400M"))
    assert (enough.exit_code, less.exit_code) == (0, 1)
    assert b"Cannot allocate memory" in written(machine.queue, less)


# ---------------------------------------------------------------- leftovers


def leaving(machine: Machine, *, group: int = 0, daemons: int = 0) -> str:
    """Shell text that leaves so many processes in its process group and in sessions of their own, which write their
    numbers into the folder `left`, and ends well when all have."""
    folder = machine.folder / "left"
    folder.mkdir()
    sleeper = f"sh -c 'touch {folder}/$$; exec sleep 100' >/dev/null 2>&1"
    text = f"{sleeper} & " * group + f"setsid -f {sleeper}; " * daemons
    return text + f"until test `ls {folder} | wc -l` = {group + daemons}; do sleep 0.02; done"


def left(machine: Machine) -> list[int]:
    return [int(name) for name in os.listdir(machine.folder / "left")]


@pytest.mark.parametrize(
    ("group", "daemons", "words"),
    [(1, 0, "left 1 process running"), (2, 0, "left 2 processes running"), (1, 2, "left 3 processes running")],
)
def test_what_a_job_leaves_in_its_process_group_runs_on_and_is_reported(
    machine: Machine, group: int, daemons: int, words: str
) -> None:
    machine.worker()
    job = enqueued(machine, "--command", leaving(machine, group=group, daemons=daemons))
    assert (job.state, job.exit_code) == ("completed", 0)
    assert notes(machine, job) == [words]
    assert f"({words})" in machine.command("show", job.id).stdout
    assert len(left(machine)) == group + daemons and all(alive(pid) for pid in left(machine))


@pytest.mark.parametrize(
    ("group", "daemons", "words"), [(1, 0, "ended 1 process"), (0, 1, "ended 1 process"), (2, 2, "ended 4 processes")]
)
def test_what_a_job_leaves_is_ended_when_it_asked_for_that_also_in_other_sessions(
    machine: Machine, group: int, daemons: int, words: str
) -> None:
    machine.worker()
    job = enqueued(machine, "--leftovers", "kill", "--command", leaving(machine, group=group, daemons=daemons))
    assert (job.state, job.exit_code, job.reason) == ("completed", 0, None)
    assert notes(machine, job) == [words]
    assert len(left(machine)) == group + daemons and not any(alive(pid) for pid in left(machine))


def test_a_daemon_that_is_alone_in_leaving_is_left_without_a_word(machine: Machine) -> None:
    """The help promises a report of those in the process group: to look for others would cost every job a search."""
    machine.worker()
    job = enqueued(machine, "--command", leaving(machine, daemons=1))
    assert (job.state, notes(machine, job)) == ("completed", [])
    assert all(alive(pid) for pid in left(machine))


def test_leftovers_that_ignore_term_are_killed_after_the_grace_of_the_job(machine: Machine) -> None:
    machine.worker()
    job = enqueued(machine, "--leftovers", "kill", "--grace", "0.2", "--command", STUBBORN.format(more="sleep 0.2; exit 3"))
    assert (job.state, job.exit_code, job.reason) == ("dead", 3, None)
    [(store_id,)] = machine.queue.store.run("select value from meta where key = 'store_id'")
    assert marked(f"QUEUECTL_RUN={store_id}:{job.number}:".encode()) == []


def test_a_job_that_leaves_nothing_has_no_word_of_it(machine: Machine) -> None:
    machine.worker()
    for words in ((), ("--leftovers", "kill")):
        assert notes(machine, enqueued(machine, *words, "--command", "sleep 0.05 & wait")) == []
