"""Killed at every system call that changes something: the process of a packet, and the watch over the folders."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time

import pytest
from behaviour.harness import work

import queuectl
from queuectl import clock, spool_rows, spools
from queuectl.packets.names import done_name
from queuectl.run import spawn

from .conftest import Folder, Spooled

# The watch is started by hand, over the file of a queue.
pytestmark = [pytest.mark.chaos, pytest.mark.timeout(900), pytest.mark.engine("sqlite")]
LONG = os.environ.get("QUEUECTL_CHAOS") == "long"
DELIVERY_CALLS = ("flock", "openat", "rename", "fsync", "vfork,clone,clone3", "wait4", "exit_group")
WATCH_CALLS = ("flock", "rename", "fsync,fdatasync", "pwrite64", "openat", "epoll_wait", "fcntl")
MOST = 400 if LONG else 8  # kills of one kind


@pytest.fixture
def strace() -> str:
    found = shutil.which("strace")
    if found is None:
        pytest.skip("strace is not installed, so nothing was killed at its system calls")
    return found


def killed_at(strace: str, calls: str, when: int) -> list[str]:
    """The tracer stands beside what it traces, so that our child is the program itself."""
    return [strace, "-D", "-o", os.devnull, "-e", f"trace={calls}", "-e", f"inject={calls}:signal=KILL:when={when}"]


def delivery(place: Spooled, folder: Folder, run: int) -> tuple[list[str], dict[str, str]]:
    spool = next(spool for spool in spool_rows.all_of(place.queue.store) if spool.folder == str(folder.path))
    words = [os.fsdecode(spawn.DELIVER), spools.delivery(spool, 1, b"fspl-1.fspl")]
    return [sys.executable, "-I", "-S", "-c", *words], {**os.environ, "QUEUECTL_RUN": f"store:1:{run}"}


@pytest.mark.parametrize("calls", DELIVERY_CALLS)
def test_a_packet_that_has_succeeded_is_not_run_again_wherever_its_process_was_killed(
    place: Spooled, strace: str, calls: str
) -> None:
    for when in range(1, MOST):
        folder = Folder(place.folder / f"Q-{when}")
        trace = folder.path / "trace"
        terms = spool_rows.Terms(command=("sh", "-c", f"echo $FSPL_SEQ >> {trace}"), cwd="/")
        spools.attach(place.queue, f"q{when}", str(folder.path), terms, os.environb)
        folder.put(1, name="fspl-1.fspl")
        command, env = delivery(place, folder, 1)
        cut = subprocess.run([*killed_at(strace, calls, when), *command], env=env, capture_output=True, timeout=30)
        time.sleep(0.05)  # a command that was just started goes on without its process; its worker would end it
        before = trace.read_text().splitlines() if trace.exists() else []
        sure = (folder.jobs / os.fsdecode(done_name("store", 1))).exists()
        again, env = delivery(place, folder, 2)
        done = subprocess.run(again, env=env, capture_output=True, timeout=30)
        assert (done.returncode, folder.next) == (0, 2), (when, done)
        assert trace.read_text().splitlines() == (before if sure else [*before, "1"]), (when, sure)
        if cut.returncode != -signal.SIGKILL:
            assert cut.returncode == 0 and sure, cut
            return


@pytest.mark.parametrize("calls", WATCH_CALLS)
def test_wherever_the_watch_is_killed_no_packet_is_lost_and_none_is_run_twice(place: Spooled, strace: str, calls: str) -> None:
    place.attach(*place.tracing())
    watch = [sys.executable, "-m", "queuectl.run.spools", str(place.folder / "queuectl.db"), ""]
    keeper = [str(os.getpid()), str(clock.process_start(os.getpid()))]
    kills = 0
    for when in range(1, MOST):
        place.spool.put(when)
        process = subprocess.Popen([*killed_at(strace, calls, when), *watch, *keeper], env=place.environ)
        end = time.monotonic() + 3
        while process.poll() is None and place.spool.next <= when and time.monotonic() < end:
            run_what_waits(place.queue)
        kills += process.poll() == -signal.SIGKILL
        process.kill()
        process.wait()
    process = subprocess.Popen([*watch, *keeper], env=place.environ)
    end = time.monotonic() + 30
    while place.spool.next < MOST and time.monotonic() < end:
        run_what_waits(place.queue)
    process.kill()
    process.wait()
    assert place.trace == [str(number) for number in range(1, MOST)] and kills


def run_what_waits(queue: queuectl.Queue) -> None:
    if queue.count(queuectl.Query(stages=("ready", "later"))):
        work(queue, slots=1)
    else:
        time.sleep(0.02)
