"""Group B: keeper and worker killed together, or the worker and then its keeper. The jobs run on, are found again, and
what nobody saw is called interrupted."""

from __future__ import annotations

import os
import random
import shutil
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from queuectl.model import Options, Shell, Spec

from .harness import END, START, Trial, Verdict, alive, command_line, eventually, figure, job, marked, size


def both(one: Trial, keeper: int) -> None:
    """Keeper and worker in one instant: neither sees the other die."""
    pids = [keeper, one.worker_of(keeper)]
    for number in (signal.SIGSTOP, signal.SIGKILL):
        for pid in pids:
            if pid and alive(pid):
                one.kill(pid, number)
    eventually(lambda: not any(alive(pid) for pid in pids if pid))


def test_keeper_and_worker_killed_together(trial: Callable[..., Trial]) -> None:
    kills_wanted, kills, jobs, cut = size(4, 100), 0, 0, 0
    draw, verdict = random.Random(3), Verdict()
    while kills < kills_wanted:
        one = trial()
        n = 40
        one.add([job(f"sleep {draw.uniform(0.05, 1.2):.2f}; ", f"exit {code}", code) for code in draw.sample(range(256), n)])
        while not one.all_ended() and kills < kills_wanted:
            keeper = one.keeper(6)
            time.sleep(draw.uniform(0.1, 0.8))
            both(one, keeper)
            kills += 1
            time.sleep(draw.uniform(0.0, 0.3))
        one.keeper(6)
        one.drained()
        verdict.add(one.check(interrupted=True))
        cut += one.queue.store.run("select coalesce(sum(interruptions), 0) from jobs")[0][0]
        jobs += n
        one.end()
    reached = f"{jobs} jobs, {kills} double kills: {verdict}; {cut} interruptions recorded"
    figure("B keeper and worker killed together", "≥ 100: 0 overlaps, 0 lost, the rest interrupted", reached, verdict.holds)


def test_an_unknown_end_follows_the_jobs_choice(trial: Callable[..., Trial]) -> None:
    """The jobs are killed with keeper and worker, and reaped before anybody looks: nobody can know how they ended."""
    one = trial()
    env = {"LEDGER": str(one.ledger), "PATH": "/usr/bin:/bin"}
    text = START + "sleep 30; " + END
    choices = ("rerun", "hold", "fail")
    one.queue.add_many([Spec(Shell(text), env=env, cwd="/", max_retries=0, options=Options(if_interrupted=c)) for c in choices])
    for n in range(1, 4):
        keeper = one.keeper(4)
        eventually(lambda n=n: [line for line in one.lines() if line[1] == "1"][n - 1 :], what="the next run")
        eventually(lambda: all(pid for (pid,) in one.queue.store.run(OPEN)), what="the pids")
        pids = [pid for (pid,) in one.queue.store.run(OPEN)]
        both(one, keeper)
        for pid in pids:
            one.kill(pid)
        eventually(lambda pids=pids: not any(alive(pid) for pid in pids))
        time.sleep(2.5)  # the container's first process may take its time to reap them
    one.keeper(4)
    eventually(lambda: one.queue.get(1).stage == "held")
    rows = {choice: one.queue.get(n) for n, choice in enumerate(choices, 1)}
    told = {choice: (row.stage, row.interruptions) for choice, row in rows.items()}
    why = one.queue.history(rows["rerun"])[-1].note or ""
    wanted = {"rerun": ("held", 3), "hold": ("held", 1), "fail": ("dead", 1)}
    figure("B unknown ends: rerun, hold or fail; three hold", str(wanted), f"{told}; {why!r}", told == wanted and "3 times" in why)


OPEN = "select coalesce(pid, 0) from attempts where ended_us is null"


def test_jobs_left_by_worker_stop_leave_have_their_true_ends(trial: Callable[..., Trial]) -> None:
    """The worker goes, the keeper stays for the jobs and writes how they end; the next worker reads it."""
    one = trial()
    one.add([job(f"sleep {0.3 + code / 100}; ", f"exit {code}", code) for code in range(1, 9)])
    keeper = one.keeper(8)
    eventually(lambda: len(one.lines()) == 8)
    assert one.command("worker", "stop", "--leave").returncode == 0
    eventually(lambda: not alive(keeper))
    one.keeper(8)
    one.drained()
    verdict = one.check()
    figure("A worker stop --leave, ends before the next worker", "8 of 8 true", str(verdict), verdict.holds)


def test_leave_and_then_the_keeper_killed(trial: Callable[..., Trial]) -> None:
    """What runs on is adopted; the kernel tells its end where it can (Linux 6.15), else it is interrupted."""
    one = trial()
    one.add([job("sleep 5; ", f"exit {code}", code) for code in range(1, 5)])
    keeper = one.keeper(4)
    eventually(lambda: len(one.lines()) == 4)
    assert one.command("worker", "stop", "--leave").returncode == 0
    one.kill(keeper)
    one.keeper(4)
    one.drained()
    verdict = one.check(interrupted=True)
    cut = one.queue.store.run("select sum(interruptions) from jobs")[0][0]
    figure("B worker stop --leave, then the keeper killed", "0 overlaps", f"4 jobs, {cut} interrupted: {verdict}", verdict.holds)


@pytest.mark.skipif(os.geteuid() != 0 or shutil.which("unshare") is None, reason="no root or no unshare: NO container was tried")
def test_a_worker_of_another_container_leaves_the_jobs_to_their_own_keeper(trial: Callable[..., Trial]) -> None:
    """It cannot see them: to it every process of the other container looks gone."""
    one = trial()
    one.add([job("sleep 9; ", f"exit {code}", code) for code in range(1, 4)])
    inside = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc", sys.executable, "-m", "queuectl"]
    one.started([*inside, "worker", "start", "--count", "3"])
    eventually(lambda: len(one.lines()) == 3)
    one.keeper(2)
    time.sleep(0.5)
    mark = f"QUEUECTL_URL={one.url}\0".encode()
    worker = next(pid for pid in marked([mark]) if in_container(pid))
    keeper = int(Path(f"/proc/{worker}/stat").read_text().rpartition(")")[2].split()[1])
    one.kill(keeper, signal.SIGSTOP)  # slow to start the next one: the other worker looks first
    one.kill(worker)
    time.sleep(6)
    one.kill(keeper, signal.SIGCONT)
    one.drained()
    verdict = one.check()
    figure("B a worker killed in one container, another one looking on", "0 twice, 0 wrong", str(verdict), verdict.holds)


def in_container(pid: int) -> bool:
    """A worker whose process numbers are others than ours."""
    mine = os.readlink("/proc/self/ns/pid") == os.readlink(f"/proc/{pid}/ns/pid")
    return not mine and "queuectl.run.process" in command_line(pid)
