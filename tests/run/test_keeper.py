"""The keeper with real workers below it: those that keep dying, several at once, and a person at its terminal."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from behaviour.harness import alive, eventually

from queuectl import files, workers
from queuectl.run import start
from queuectl.run.keeper import DEATHS_MAX

from .conftest import Machine

pytestmark = pytest.mark.wide

CTRL_C = b"\x03"
DEAF = ("sh", "-c", 'trap "" HUP; exec "$@"', "nohup")  # as `nohup` starts a program
KEEPER = """
import sys
sys.executable = sys.argv.pop(1)
from queuectl.run.keeper import Keeper
sys.exit(Keeper(sys.argv[1:]).run())
"""


def keeper_of(machine: Machine, text: str) -> subprocess.Popen[Any]:
    """A keeper that starts this shell text in place of Python; `exec "$PYTHON" "$@"` there goes on as its worker."""
    interpreter = machine.folder / "interpreter"
    interpreter.write_text(f"#!/bin/sh\nPYTHON={sys.executable}\necho >> {machine.folder}/starts\n{text}\n")
    interpreter.chmod(0o700)
    files.private_folder(machine.queue.place.run)
    arguments = start.keeper_command(machine.queue.place, 1, [])[3:]
    with open(machine.folder / "keeper.said", "ab") as said:
        command = [sys.executable, "-c", KEEPER, str(interpreter), *arguments]
        keeper = subprocess.Popen(command, env=machine.environ, stdin=subprocess.DEVNULL, stdout=said, stderr=said)
    machine.processes.append(keeper)
    return keeper


def starts(machine: Machine) -> int:
    """How often the keeper has started a worker."""
    path = machine.folder / "starts"
    return len(path.read_bytes()) if path.exists() else 0


def parent(pid: int) -> int:
    [line] = [line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("PPid:")]
    return int(line.split()[1])


# ---------------------------------------------------------------- workers that keep dying


@pytest.mark.engine("sqlite")  # a keeper opens no database
def test_a_worker_that_never_gets_going_is_started_after_growing_pauses_and_then_given_up(machine: Machine) -> None:
    keeper = keeper_of(machine, f"date +%s.%N >> {machine.folder}/times; exit 1")
    assert keeper.wait(60) == 1
    times = [float(line) for line in (machine.folder / "times").read_text().split()]
    gaps = [after - before for before, after in pairwise(times)]
    assert len(gaps) == DEATHS_MAX == 6
    wanted = [0.05, 0.1, 0.2, 0.4, 0.8, 1.6]
    assert all(gap > pause - 0.02 for gap, pause in zip(gaps, wanted, strict=True))
    assert gaps[-1] - gaps[0] > 1
    said = (machine.folder / "keeper.said").read_text().splitlines()
    again = "queuectl: the worker died (exit status 1); its jobs run on, starting it again"
    over = "queuectl: the worker died 7 times before it could begin; it is not started again"
    assert said == [again] * 5 + [f"{again} in 1.6 s", over]


@pytest.mark.engine("sqlite")
@pytest.mark.parametrize(("status", "tries"), [(2, 1), (3, 1), (4, 1), (5, 1), (7, 2)])
def test_a_start_that_cannot_succeed_is_not_tried_again_but_for_a_disk_which_may_fail_once(
    machine: Machine, status: int, tries: int
) -> None:
    keeper = keeper_of(machine, f"exit {status}")
    assert keeper.wait(30) == status
    assert starts(machine) == tries


FIRST = {"killed": "kill -KILL $$", "lived": "sleep 1.1; exit 2"}


@pytest.mark.parametrize("first", FIRST)
def test_where_a_worker_has_worked_before_no_trouble_is_taken_for_hopeless(machine: Machine, first: str) -> None:
    """Without the first one, exit status 2 would end the keeper at once."""
    keeper = keeper_with_a_past(machine, FIRST[first], "exit 2")
    eventually(lambda: starts(machine) > 4)
    works_again(machine, keeper)


def test_a_worker_that_has_worked_before_is_started_for_ever(machine: Machine) -> None:
    keeper = keeper_with_a_past(machine, FIRST["killed"], "exit 1")
    eventually(lambda: starts(machine) > DEATHS_MAX + 3, 60)
    works_again(machine, keeper)


def keeper_with_a_past(machine: Machine, first: str, then: str) -> subprocess.Popen[Any]:
    """Its first worker ends in one way, the next ones in another, until the test says that all is well."""
    once = machine.folder / "once"
    well = f"test -e {machine.folder}/said-well"
    return keeper_of(machine, f'test -e {once} || {{ touch {once}; {first}; }}\n{well} || {then}\nexec "$PYTHON" "$@"')


def works_again(machine: Machine, keeper: subprocess.Popen[Any]) -> None:
    assert keeper.poll() is None
    machine.say("well")
    job = machine.add("true")
    assert machine.queue.wait(job.id, timeout=60)[0].state == "completed"
    assert keeper.poll() is None


@pytest.mark.engine("sqlite")
def test_a_keeper_sees_to_the_children_of_its_workers_while_it_pauses(machine: Machine) -> None:
    left = machine.folder / "left"
    leave = f"setsid sh -c 'sleep 0.2; echo $$ > {left}.new; mv {left}.new {left}' &"
    text = f'test "$(wc -c < {machine.folder}/starts)" -lt {DEATHS_MAX} || {{ {leave} }}\nexit 1'
    keeper_of(machine, text)  # it pauses for 1.6 s after the one that leaves a child
    eventually(left.exists)
    eventually(lambda: not Path("/proc", left.read_text().strip()).exists())
    assert time.time() - left.stat().st_mtime < 1


# ---------------------------------------------------------------- a keeper that cannot do what it wants


@pytest.mark.engine("sqlite")
def test_a_keeper_and_a_worker_whose_words_cannot_be_written_go_on_without(machine: Machine) -> None:
    with open("/dev/full", "wb") as full:
        program = [sys.executable, "-m", "queuectl", "worker", "start"]
        keeper = subprocess.Popen(program, env=machine.environ, stdin=subprocess.DEVNULL, stdout=full, stderr=full)
    machine.processes.append(keeper)
    machine.a_job_outlives_its_worker()
    assert keeper.poll() is None


UNTIL_TOLD = """
import signal, sys
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
signal.sigwait([signal.SIGTERM])
open(sys.argv[1], 'w').close()
"""


@pytest.mark.engine("sqlite")
def test_a_keeper_whose_book_cannot_be_written_passes_signals_on_all_the_same(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first worker leaves a child; the second waits for its signal."""
    left, told, well = machine.folder / "left", machine.folder / "told", machine.folder / "well"
    monkeypatch.setitem(globals(), "KEEPER", BOOK_FAILS.format(well=str(well)) + KEEPER)
    leave = f"setsid sh -c 'sleep 0.2; touch {left}' & exit 1"
    text = f'test -e {machine.folder}/once || {{ touch {machine.folder}/once; {leave}; }}\nexec "$PYTHON" -c "{UNTIL_TOLD}" {told}'
    keeper = keeper_of(machine, text)
    eventually(left.exists)
    eventually(lambda: "cannot be written" in (machine.folder / "keeper.said").read_text())
    keeper.terminate()
    eventually(told.exists)
    assert keeper.poll() is None
    well.touch()
    assert keeper.wait(60) == 0


BOOK_FAILS = """
import os
from queuectl.run.ends import EndsBook
write = os.write
def refused(fd, line):
    if fd > 2 and not os.path.exists({well!r}):
        raise OSError(28, "No space left on device")
    return write(fd, line)
os.write = refused
"""


def test_a_worker_that_finishes_when_its_keeper_is_killed_goes_on_finishing(machine: Machine) -> None:
    keeper = machine.worker()
    job = machine.add(machine.until("go") + "; (exit 6)", max_retries=0)
    machine.ledger.began(job.id)
    worker = machine.the_worker()
    keeper.terminate()
    eventually(lambda: "stopping, waiting for 1 running" in (machine.folder / "worker.out").read_text())
    later = machine.add("true")
    keeper.kill()
    keeper.wait(20)
    eventually(lambda: "taking its place" in (machine.folder / "worker.out").read_text())
    eventually(lambda: machine.workers() not in ([], [worker]))
    machine.say("go")
    [done] = machine.queue.wait(job.id, timeout=60)
    assert (done.exit_code, done.run, done.interruptions) == (6, 1, 0)
    eventually(lambda: machine.queue.store.workers() == [])
    waits = machine.queue.get(later.id)
    assert (waits.state, machine.queue.attempts(waits)) == ("pending", [])


# ---------------------------------------------------------------- several at once


def test_one_keeper_is_the_parent_of_all_workers_of_a_start_with_processes(machine: Machine) -> None:
    keeper = machine.worker("--count", "3", "--use-processes")
    workers = eventually(lambda: machine.workers() if len(machine.workers()) == 3 else None)
    assert {parent(pid) for pid in workers} == {keeper.pid}
    assert [row.slots for row in machine.queue.store.workers()] == [1, 1, 1]
    jobs = [machine.add(machine.until("go") + "; (exit 4)", max_retries=0) for _ in range(3)]
    runs = {machine.ledger.began(job.id) for job in jobs}
    assert {parent(pid) for pid in runs} == set(workers)

    os.kill(workers[0], signal.SIGKILL)
    others = eventually(lambda: machine.workers() if len(set(machine.workers()) - {workers[0]}) == 3 else None)
    assert set(workers[1:]) < set(others)
    assert {parent(pid) for pid in others} == {keeper.pid}
    machine.say("go")
    done = machine.queue.wait(*[job.id for job in jobs], timeout=60)
    assert [(job.exit_code, job.run, job.interruptions) for job in done] == [(4, 1, 0)] * 3


def test_a_worker_that_began_behind_the_asking_for_a_restart_is_renewed_too(machine: Machine) -> None:
    """One is killed, and before the next has a row the others are asked: their renewal would wait for it."""
    machine.worker("--count", "2", "--use-processes")
    old = eventually(lambda: machine.workers() if len(machine.workers()) == 2 else None)
    os.kill(old[0], signal.SIGKILL)
    late = eventually(lambda: [pid for pid in machine.workers() if pid not in old])[0]
    workers.ask(machine.queue, [row for row in machine.queue.store.workers() if row.pid == old[1]], "restart")
    eventually(lambda: len(set(machine.workers()) - {*old, late}) == 2)
    assert not alive(late)


@pytest.mark.engine("sqlite")
def test_a_signal_counts_once_so_that_a_worker_which_finishes_can_still_be_told_to_leave(machine: Machine) -> None:
    keeper = machine.worker()
    job = machine.add(machine.until("go"))
    machine.ledger.began(job.id)
    keeper.terminate()
    eventually(lambda: "stopping, waiting for 1 running" in (machine.folder / "worker.out").read_text())
    left = machine.command("worker", "stop", "--leave", "--timeout", "20s")
    assert left.returncode == 0, left.stderr
    assert machine.queue.get(job.id).state == "processing"
    machine.say("go")


@pytest.mark.engine("sqlite")
def test_what_is_asked_of_a_worker_that_was_killed_its_successor_does(machine: Machine) -> None:
    """It has no row yet when a stop looks who is there."""
    keeper = keeper_of(
        machine, f'test -e {machine.folder}/first && {machine.until("go")}; touch {machine.folder}/first; exec "$PYTHON" "$@"'
    )
    os.kill(machine.the_worker(), signal.SIGKILL)
    eventually(lambda: starts(machine) == 2)
    stop = machine.command("worker", "stop")
    assert (stop.returncode, stop.stderr) == (0, "queuectl: no worker is running\n")
    machine.say("go")
    assert keeper.wait(60) == 0


# ---------------------------------------------------------------- at a terminal


class Terminal:
    """The program in the foreground of a terminal of its own, as a person has started it."""

    def __init__(self, machine: Machine, *words: str, by: tuple[str, ...] = ()) -> None:
        self._screen, slave = pty.openpty()
        os.set_blocking(self._screen, False)
        self._said = b""
        command = ["setsid", "--ctty", *by, sys.executable, "-m", "queuectl", *words]
        self.program = subprocess.Popen(command, env=machine.environ, stdin=slave, stdout=slave, stderr=slave)
        machine.processes.append(self.program)
        os.close(slave)

    def type(self, keys: bytes) -> None:
        os.write(self._screen, keys)

    def said(self) -> str:
        try:
            self._said += os.read(self._screen, 65536)
        except OSError:
            pass  # nothing new; or all that had the terminal open have ended
        return self._said.decode()

    def close(self) -> None:
        os.close(self._screen)


@pytest.mark.parametrize("words", [(), ("--count", "2", "--use-processes")], ids=["one", "two"])
def test_ctrl_c_at_a_terminal_finishes_what_runs_and_starts_no_more(machine: Machine, words: tuple[str, ...]) -> None:
    """Once is once: did it reach a worker from the terminal and from the keeper, the job would be ended and put back."""
    terminal, workers = Terminal(machine, "worker", "start", *words), 2 if words else 1
    jobs = [machine.add(machine.until("go")) for _ in range(workers)]
    runs = [machine.ledger.began(job.id) for job in jobs]
    terminal.type(CTRL_C)
    eventually(lambda: terminal.said().count("stopping, waiting for 1 running") == workers)
    later = machine.add("true")
    time.sleep(0.5)
    assert all(alive(pid) for pid in runs)
    machine.say("go")
    assert terminal.program.wait(20) == 0
    for done in machine.queue.wait(*[job.id for job in jobs], timeout=20):
        assert (done.state, done.exit_code, done.run, done.attempts) == ("completed", 0, 1, 1)
    waits = machine.queue.get(later.id)
    assert (waits.state, waits.run) == ("pending", 0)
    assert machine.ledger.starts() == {job.id: 1 for job in jobs}
    assert machine.queue.store.workers() == []
    terminal.close()


def test_a_terminal_that_is_closed_is_a_request_to_finish(machine: Machine) -> None:
    terminal = Terminal(machine, "worker", "start")
    machine.ledger.began((job := machine.add(machine.until("go"))).id)
    terminal.close()
    time.sleep(0.5)
    later = machine.add("true")
    machine.say("go")
    assert terminal.program.wait(20) == 0
    assert (machine.queue.get(job.id).state, machine.queue.get(later.id).state) == ("completed", "pending")


def test_a_worker_under_nohup_works_on_when_its_terminal_is_closed(machine: Machine) -> None:
    terminal = Terminal(machine, "worker", "start", by=DEAF)
    machine.ledger.began((job := machine.add(machine.until("go"))).id)
    terminal.close()
    time.sleep(0.5)
    later = machine.add("true")
    machine.say("go")
    assert [done.state for done in machine.queue.wait(job.id, later.id, timeout=20)] == ["completed"] * 2
    assert terminal.program.poll() is None
    terminal.program.terminate()
    assert terminal.program.wait(20) == 0


def test_a_second_ctrl_c_ends_what_runs_and_puts_it_back(machine: Machine) -> None:
    terminal = Terminal(machine, "worker", "start")
    job = machine.add("sleep 100")
    pid = machine.ledger.began(job.id)
    terminal.type(CTRL_C)
    eventually(lambda: "stopping, waiting for 1 running" in terminal.said())
    assert alive(pid)
    terminal.type(CTRL_C)
    assert terminal.program.wait(20) == 0
    assert not alive(pid)
    back = machine.queue.get(job.id)
    assert (back.state, back.stage, back.attempts, back.interruptions) == ("pending", "ready", 0, 0)
    assert "Traceback" not in terminal.said()
    terminal.close()
