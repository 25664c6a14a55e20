"""What runs on while all around it changes: under new code, without a worker, without worker and keeper."""

from __future__ import annotations

import os
import platform
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from behaviour.harness import alive, eventually

import queuectl
from queuectl import workers

from .conftest import Machine
from .test_keeper import keeper_of

pytestmark = pytest.mark.wide

# ---------------------------------------------------------------- new code


class Code:
    """A copy of the program, which the machine's processes run from now on: it changes beneath them."""

    def __init__(self, machine: Machine) -> None:
        self._package = Path(shutil.copytree(Path(queuectl.__file__).parent, machine.folder / "code" / "queuectl"))
        machine.environ["PYTHONPATH"] = str(self._package.parent)

    def begins(self, name: str, with_text: str) -> None:
        """A file of the package as it was, but that this comes first in it."""
        plain, first = Path(queuectl.__file__).with_name("run") / name, "from __future__ import annotations\n"
        (self._package / "run" / name).write_text(plain.read_text().replace(first, first + with_text, 1))


def test_a_restart_brings_new_code_to_keeper_and_worker_under_a_running_job(machine: Machine) -> None:
    """Each of the two files says that it ran, as what, and in which process."""
    code = Code(machine)
    keeper = machine.worker()
    job = machine.add(machine.until("go") + "; (exit 6)", max_retries=0)
    pid, before = machine.ledger.began(job.id), machine.the_worker()
    ran = machine.folder / "ran"
    ran.mkdir()
    for name in ("keeper", "process"):
        code.begins(f"{name}.py", f"import os\nopen(f'{ran}/{name} as {{__name__}} in {{os.getpid()}}', 'w').close()\n")
    restart = machine.command("worker", "restart")
    assert restart.returncode == 0, restart.stderr
    after = machine.another_worker(before)
    assert f"keeper as __main__ in {keeper.pid}" in os.listdir(ran)
    assert f"process as __main__ in {after}" in os.listdir(ran)
    assert keeper.poll() is None
    assert alive(pid)
    machine.say("go")
    [done] = machine.queue.wait(job.id, timeout=60)
    assert (done.exit_code, done.run, done.interruptions, machine.ledger.starts()) == (6, 1, 0, {job.id: 1})


@pytest.mark.engine("sqlite")
def test_new_code_that_cannot_be_loaded_ends_neither_keeper_nor_job_and_is_tried_until_it_can(machine: Machine) -> None:
    code = Code(machine)
    keeper = machine.worker()
    job = machine.add(machine.until("go") + "; (exit 6)", max_retries=0)
    pid, before = machine.ledger.began(job.id), machine.the_worker()
    code.begins("keeper.py", "this is no Python\n")
    restart = machine.command("worker", "restart")
    assert restart.returncode == 7
    assert restart.stderr.startswith("queuectl: not every worker has begun anew: 1 ended and 0 began")
    assert keeper.poll() is None
    assert alive(pid)
    said = (machine.folder / "worker.out").read_text()
    assert "the keeper cannot be renewed (it cannot be loaded); going on with the one there is" in said
    machine.say("go")
    code.begins("keeper.py", "")
    machine.another_worker(before)
    [done] = machine.queue.wait(job.id, timeout=60)
    assert (done.exit_code, done.run, done.interruptions) == (6, 1, 0)


@pytest.mark.engine("sqlite")
def test_a_start_in_the_background_says_that_the_worker_did_not_begin_and_leaves_nothing(machine: Machine) -> None:
    Code(machine).begins("process.py", "if __name__ == '__main__':\n    raise SystemExit('not today')\n")
    start = machine.command("worker", "start", "--background")
    assert start.returncode == 7
    log = machine.queue.place.run + "/worker.log"
    assert start.stderr == f"queuectl: the worker did not start: its own words are in {log} (read them)\n"
    assert "not today\nqueuectl: the worker died (exit status 1)" in Path(log).read_text()
    eventually(lambda: not [name for name in os.listdir(machine.queue.place.run) if name.startswith("keeper-")])


@pytest.mark.engine("sqlite")
def test_a_signal_that_comes_while_a_keeper_changes_its_code_is_heard_by_the_new_one(machine: Machine) -> None:
    code, begun = Code(machine), machine.folder / "begun"
    keeper = machine.worker()
    job = machine.add(machine.until("go"))
    machine.ledger.began(job.id)
    code.begins("keeper.py", f"if __name__ == '__main__':\n    import time; open('{begun}', 'w'); time.sleep(1)\n")
    workers.ask(machine.queue, machine.queue.store.workers(), "restart")
    eventually(begun.exists)
    keeper.terminate()
    machine.say("go")
    assert keeper.wait(60) == 0
    assert machine.queue.get(job.id).state == "completed"


@pytest.mark.engine("sqlite")
def test_a_keeper_that_was_started_with_ends_of_children_ignored_sees_them_all_the_same(machine: Machine) -> None:
    deaf = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    try:
        machine.worker()
    finally:
        signal.signal(signal.SIGCHLD, deaf)
    machine.a_job_outlives_its_worker()


# ---------------------------------------------------------------- what is recorded of a run that was taken over

CPU_S, MEMORY = 1.0, 60_000_000
BURN = f"""
import os, sys, time
folder, held = sys.argv[1], b"x" * {MEMORY}
while time.process_time() < {CPU_S}:
    pass
open(f"{{folder}}/burnt", "w").close()
while not os.path.exists(f"{{folder}}/said-go"):
    time.sleep(0.02)
with open(f"{{folder}}/new", "w") as file:
    file.write(str(time.time_ns() // 1000))
os.rename(file.name, f"{{folder}}/ended")
os._exit(7)
"""


class Burning:
    """A job that has used processor and memory and now waits for `say("go")`, and a command that waits for its end."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._ended = machine.folder / "ended"
        self.job = machine.queue.add([sys.executable, "-c", BURN, str(machine.folder)], max_retries=0)
        command = [sys.executable, "-m", "queuectl", "wait", self.job.id]
        self.waits = subprocess.Popen(command, env=machine.environ, stdin=subprocess.DEVNULL)
        machine.processes.append(self.waits)

    def has_burnt(self) -> None:
        eventually((self._machine.folder / "burnt").exists, 60)

    def end(self) -> None:
        self._machine.say("go")
        eventually(self._ended.exists)

    def is_recorded_as_it_was(self) -> None:
        assert self.waits.wait(60) == 7
        queue, [attempt] = self._machine.queue, self._machine.queue.attempts(self.job)
        done, ended_us = queue.get(self.job.id), int(self._ended.read_text())
        assert (done.state, done.exit_code, done.run, done.interruptions) == ("dead", 7, 1, 0)
        assert done.finished_us is not None and attempt.cpu_s is not None and attempt.memory_max is not None
        assert 0 <= done.finished_us - ended_us < 1_500_000
        assert CPU_S <= attempt.cpu_s < CPU_S + 2
        assert MEMORY < attempt.memory_max < 200_000_000


def test_a_job_that_ends_between_two_workers_is_recorded_with_its_true_end_and_use(machine: Machine) -> None:
    burning = Burning(machine)
    machine.worker()
    burning.has_burnt()
    assert machine.command("worker", "stop", "--leave").returncode == 0
    burning.end()
    time.sleep(2)
    machine.worker()
    burning.is_recorded_as_it_was()


def test_a_job_that_ends_after_its_worker_was_killed_is_recorded_with_its_true_end_and_use(machine: Machine) -> None:
    """The next worker begins when the test says so."""
    burning = Burning(machine)
    once = machine.folder / "once"
    keeper = keeper_of(machine, f'test ! -e {once} || {machine.until("begin")}\ntouch {once}\nexec "$PYTHON" "$@"')
    burning.has_burnt()
    os.kill(machine.the_worker(), signal.SIGKILL)
    burning.end()
    time.sleep(2)
    assert burning.waits.poll() is None
    machine.say("begin")
    burning.is_recorded_as_it_was()
    assert keeper.poll() is None


def test_a_job_that_was_taken_over_is_recorded_with_its_use_before_that(machine: Machine) -> None:
    burning = Burning(machine)
    machine.worker()
    burning.has_burnt()
    machine.kill_worker()
    eventually(lambda: "1 running" in (machine.folder / "worker.out").read_text())
    burning.end()
    burning.is_recorded_as_it_was()


@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed: NO keeper was slowed down")
def test_a_keeper_tells_what_a_job_has_used_before_anybody_can_have_read_its_end(machine: Machine) -> None:
    """It reaps the job half a second after it has written down how that ended."""
    burning = Burning(machine)
    keeper = machine.worker()
    burning.has_burnt()
    machine.kill_worker()
    eventually(lambda: "1 running" in (machine.folder / "worker.out").read_text())
    slowed = ["strace", "-qq", "-o", "/dev/null", "-e", "trace=wait4", "-e", "inject=wait4:delay_enter=500000", "-p"]
    machine.processes.append(subprocess.Popen([*slowed, str(keeper.pid)], stdin=subprocess.DEVNULL))
    eventually(lambda: "TracerPid:\t0\n" not in Path(f"/proc/{keeper.pid}/status").read_text())
    burning.end()
    burning.is_recorded_as_it_was()


# ---------------------------------------------------------------- what the kernel tells


def kernel() -> tuple[int, ...]:
    release = platform.release().split("-")[0].split(".")
    return tuple(int(number) for number in release[:2]) if sys.platform == "linux" else ()


@pytest.mark.skipif(kernel() < (6, 15), reason="this kernel does not tell how another's child has ended: NOT shown")
@pytest.mark.parametrize(("end", "status"), [("exit 7", 7), ("exit 0", 0), ("kill -TERM $$", -15), ("kill -KILL $$", -9)])
def test_a_newer_kernel_tells_how_a_job_ended_whose_worker_and_keeper_had_died(machine: Machine, end: str, status: int) -> None:
    """It was running when the next worker found it; nobody of ours could wait for it."""
    job = machine.add(f"{machine.until('go')}; {end}", max_retries=0)
    keeper: subprocess.Popen[Any] = machine.worker()
    pid = machine.ledger.began(job.id)
    machine.kill_both(keeper)
    machine.worker()
    eventually(lambda: "1 running" in (machine.folder / "worker.out").read_text())
    assert alive(pid)
    machine.say("go")
    [done] = machine.queue.wait(job.id, timeout=60)
    assert (done.exit_code, done.run, done.attempts, done.interruptions) == (status, 1, 1, 0)
    assert done.state == ("completed" if status == 0 else "dead")
    [attempt] = machine.queue.attempts(job)
    assert (attempt.reason, attempt.exit_code) == (None, status)
    assert machine.ledger.starts() == {job.id: 1}
