"""Group B: whatever a job has started ends with its cancel and its timeout; no descriptor of ours reaches a job."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from queuectl.model import Shell, Spec

from .harness import Trial, alive, eventually, figure, size

# Each leaves processes called `sleep MARK` (or a copy of sleep with an odd name) behind when it is not ended whole.
STUBBORN = {
    "ignores TERM": "trap '' TERM HUP INT; while :; do sleep {mark}; done",
    "forks twice": "(sh -c 'sleep {mark} & sleep {mark} &' &) ; sleep {mark}",
    "leaves its session": "setsid -f sleep {mark}; setsid -f sh -c 'trap \"\" TERM; sleep {mark}; sleep {mark}'; sleep {mark}",
    "leaves it and is orphaned": "sh -c 'setsid -f sh -c \"sleep {mark} & sleep {mark}\"'; sleep {mark}",
    "leaves it, cleaned and orphaned": "setsid -f env -i /bin/sleep {mark}; sleep {mark}",
    "closes its descriptors": "exec 0<&- 1>&- 2>&-; sleep {mark} & sleep {mark}",
    "has an odd name": "'{odd}' {mark} & exec '{odd}' {mark}",
    "is stopped": "sleep {mark} & sleep 0.1; kill -STOP $! ; kill -STOP $$",
    "is many": "for n in 1 2 3 4 5 6 7 8 9 10; do sleep {mark} & setsid -f sleep {mark}; done; wait",
    "ends in time itself": "setsid -f sleep {mark}; trap 'exit 0' TERM; while :; do sleep 0.1; done",
}


def survivors(mark: str) -> list[int]:
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                words = Path(f"/proc/{name}/cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if mark.encode() in words and alive(int(name)):
                found.append(int(name))
    return found


@pytest.mark.parametrize("how", ["cancel", "timeout", "stop --now", "cancel after an adoption"])
def test_nothing_survives(trial: Callable[..., Trial], tmp_path: Path, how: str) -> None:
    one, left, total = trial(), {}, 0
    odd = tmp_path / "a) R 1 1 (sh"
    shutil.copy("/bin/sleep", odd)
    for round_ in range(size(1, 5)):
        base = 5_000_000 + os.getpid() * 100 + round_ * 10  # seconds: nobody else sleeps just so long
        marks = {kind: f"{base}.{n}" for n, kind in enumerate(STUBBORN)}
        timeout = 0.7 if how == "timeout" else None
        texts = [text.format(mark=marks[kind], odd=odd) for kind, text in STUBBORN.items()]
        more = {"env": {"PATH": os.environ["PATH"]}, "timeout_s": timeout, "max_retries": 0}
        one.queue.add_many([Spec(Shell(text), **more) for text in texts])
        total += len(STUBBORN)
        keeper = one.keeper(len(STUBBORN))
        for kind, mark in marks.items():
            eventually(lambda m=mark: survivors(m), 20, kind)
        time.sleep(0.2)
        if how == "cancel after an adoption":
            one.kill(one.worker_of(keeper))
            eventually(lambda: "took over" in one.said())
        ids = [str(job.number) for job in one.queue.find()][: len(STUBBORN)]
        if how.startswith("cancel"):
            assert one.command("cancel", *ids).returncode == 0
            one.drained(30)
        elif how == "timeout":
            one.drained(30)
        one.command("worker", "stop", "--now")
        eventually(lambda k=keeper: not alive(k))
        left.update({kind: n for kind, mark in marks.items() if (n := len(survivors(mark)))})
        for mark in marks.values():
            for pid in survivors(mark):
                os.kill(pid, 9)
        if how == "stop --now":
            one.command("cancel", *ids)
    reached = f"{total} trees of {len(STUBBORN)} kinds: {left or 'none'} left"
    figure(f"B process trees after {how}", "0 survivors", reached, not left)


def test_no_descriptor_of_ours_reaches_a_job(trial: Callable[..., Trial], tmp_path: Path) -> None:
    one = trial()
    code = "import os; print(*sorted(int(n) for n in os.listdir('/proc/self/fd')))"
    one.queue.add_many([Spec(Shell(f'{sys.executable} -c "{code}"'), max_retries=0) for _ in range(20)])
    ends = os.pipe()
    secret = os.open(tmp_path / "secret", os.O_RDWR | os.O_CREAT)
    high = os.dup2(secret, 200)
    for fd in (*ends, secret, high):
        os.set_inheritable(fd, True)
    command = [sys.executable, "-m", "queuectl", "worker", "start", "--count", "4"]
    keeper = one.started(command, pass_fds=(*ends, secret, high))
    one.drained()
    seen = {b"".join(one.queue.logs(job.number)).decode().strip() for job in one.queue.find()}
    held = [name for name in os.listdir(f"/proc/{keeper}/fd") if os.readlink(f"/proc/{keeper}/fd/{name}").endswith("secret")]
    for fd in (*ends, secret, high):
        os.close(fd)
    # 3 is the listing itself.
    figure("B descriptors that a job sees, worker started with four more", "0 1 2", f"{seen}", seen == {"0 1 2 3"})
    figure("B descriptors given to the worker that its keeper goes on holding", "0", f"{len(held)}", not held)


def test_every_end_has_its_exact_status(trial: Callable[..., Trial]) -> None:
    one = trial()
    signals = [n for n in range(1, 32) if n not in (17, 18, 19, 20, 21, 22, 23, 28)]  # those end a process
    texts = [(f"exit {n}", n) for n in range(256)] + [(f"ulimit -c 0; kill -{n} $$; sleep 9", -n) for n in signals]
    texts += [("/nowhere/at-all", 127), ("/etc/passwd", 126), ("no-such-program-here", 127)]
    one.queue.add_many([Spec(Shell(text), max_retries=0, cwd="/", env={"PATH": "/usr/bin:/bin"}) for text, _ in texts])
    with tempfile.TemporaryDirectory() as gone:
        one.queue.add("true", cwd=gone, max_retries=0)
    one.keeper(8)
    one.drained()
    ends = {job.number: job.exit_code for job in one.queue.find()}
    wrong = {text: ends[n] for n, (text, wanted) in enumerate(texts, 1) if ends[n] != wanted}
    missing = one.queue.get(len(texts) + 1).exit_code
    reached = f"{len(texts) + 1} ends, wrong: {wrong or 'none'}; missing folder: {missing}"
    figure("B exit 0–255, every signal, missing program and folder", "exact", reached, not wrong and missing == 125)


BOMB = "n=0; while [ $n -lt 3000 ]; do n=$((n+1)); (setsid sleep {mark} &) ; (sleep {mark} &) ; done; sleep {mark}"


@pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("setpriv") is None, reason="not root, or no setpriv: NO job tried to fork without end"
)
def test_a_job_that_forks_without_end_is_bounded_and_ended(trial: Callable[..., Trial]) -> None:
    """The system does not limit root's processes: the job becomes a user whom it does."""
    one, most, user = trial(), 40, 65533
    mark = f"{5_500_000 + os.getpid()}"
    text = f"exec setpriv --reuid={user} --clear-groups /bin/sh -c '{BOMB.format(mark=mark)}'"
    job = one.queue.add(text, env={"PATH": os.environ["PATH"]}, processes=most, max_retries=0)
    beside = one.queue.add("echo fine", env={"PATH": os.environ["PATH"]})
    keeper = one.keeper(2)
    eventually(lambda: len(survivors(mark)) >= most - 5, 30, "many processes")
    time.sleep(1)
    largest = len(survivors(mark))
    assert one.queue.wait(beside.id, timeout=20)[0].state == "completed"
    assert one.command("cancel", job.id).returncode == 0
    one.drained(30)
    left = len(survivors(mark))
    reached = f"{largest} processes, limit {most}; {left} left after cancel; keeper lives: {alive(keeper)}"
    holds = largest <= most and not left and alive(keeper)
    figure("B a job that forks without end, --processes", "bounded, 0 survivors", reached, holds)


def test_a_job_that_wants_too_much_memory_or_time_ends_alone(trial: Callable[..., Trial]) -> None:
    one = trial()
    greedy = f"{sys.executable} -c 'x = bytearray(800_000_000); print(len(x))'"
    memory = one.queue.add(greedy, memory=200_000_000, max_retries=0)
    busy = one.queue.add("while :; do :; done", cpu_time=1, max_retries=0)
    fine = one.queue.add("echo fine", max_retries=0)
    keeper = one.keeper(3)
    worker = one.worker_of(keeper)
    done = one.queue.wait(memory.id, busy.id, fine.id, timeout=30)
    ends = [(job.state, job.exit_code) for job in done]
    # The soft limit of processor time is a XCPU, the hard one a KILL; both are the same here.
    holds = ends[0] == ("dead", 1) and ends[1][1] in (-24, -9) and ends[2] == ("completed", 0) and alive(worker)
    figure("B limits of memory and processor time", "the job ends, nothing else", f"{ends}; worker lives: {alive(worker)}", holds)


MOST = 150_000_000


@pytest.fixture
def small_group() -> Iterator[Path]:
    """A control group whose processes may together use so much memory and no more."""
    for root, limit in (("/sys/fs/cgroup/memory", "memory.limit_in_bytes"), ("/sys/fs/cgroup", "memory.max")):
        group = Path(root, f"queuectl-test-{os.getpid()}")
        try:
            group.mkdir()
            if (group / limit).exists():
                (group / limit).write_text(str(MOST))
                yield group
                eventually(lambda g=group: not (g / "cgroup.procs").read_text(), what="an empty group")
                group.rmdir()
                return
            group.rmdir()
        except OSError:
            pass
    pytest.skip("NOT TESTED: a job that the kernel ends for want of memory (no right to limit a control group)")


def test_a_job_for_which_there_is_no_memory_ends_alone(small_group: Path, trial: Callable[..., Trial]) -> None:
    """Keeper, worker and jobs share the group: the kernel chooses whom to end, and a job is the largest."""
    one = trial()
    greedy = f"exec {sys.executable} -c 'x = bytearray(4 * {MOST}); x[::4096] = bytes(range(256)) * (len(x[::4096]) // 256 + 1)'"
    jobs = [one.queue.add(greedy, max_retries=0) for _ in range(size(3, 20))]
    beside = one.queue.add("sleep 2; exit 5", max_retries=0)
    into = f'echo $$ >{small_group}/cgroup.procs; exec "$@"'
    keeper = one.started(["sh", "-c", into, "sh", sys.executable, "-m", "queuectl.run.keeper", str(one.database), "2", "", "", "1"])
    worker = one.worker_of(keeper)
    done = one.queue.wait(*[job.id for job in (*jobs, beside)], timeout=60)
    ends = {(job.state, job.exit_code) for job in done[:-1]}
    holds = ends == {("dead", -9)} and done[-1].exit_code == 5 and alive(worker) and alive(keeper)
    reached = f"{len(jobs)} jobs: {ends}; beside: {done[-1].exit_code}; worker and keeper live: {alive(worker) and alive(keeper)}"
    figure("B no memory is left (the kernel's own choice)", "the job ends, nothing else", reached, holds)
