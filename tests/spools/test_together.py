"""Filespooler itself on a folder that is attached; and what is killed while packets run."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from behaviour.harness import alive, eventually, states

from queuectl.packets.names import done_name

from .conftest import FSPL, Folder, Spooled

LONG = os.environ.get("QUEUECTL_CHAOS") == "long"


def processes(place: Spooled, module: str) -> list[int]:
    """The living processes of this place that run this module."""
    found = subprocess.run(["pgrep", "-f", "--", f"-m queuectl.run.{module} {place.folder}"], capture_output=True, text=True)
    return [int(pid) for pid in found.stdout.split() if alive(int(pid))]


@pytest.fixture(params=["ours", "real"])
def fspl(request: pytest.FixtureRequest) -> list[str]:
    return FSPL if request.param == "ours" else request.getfixturevalue("real")


@pytest.mark.wide
def test_both_work_on_one_folder_in_turn(place: Spooled, fspl: list[str]) -> None:
    place.worker()
    place.attach(*place.tracing())
    for number in (1, 2):
        place.spool.put(number)
    place.done(2)
    place.command("spool", "detach", "s")
    for number in (4, 3):
        place.spool.put(number)
    done = place.spool.fspl("queue-process", "sh", "--", "-c", f"echo fspl $FSPL_SEQ >> {place.folder}/trace", program=fspl)
    assert done.returncode == 0, done
    place.attach(*place.tracing())
    place.spool.put(5)
    place.done(5)
    assert place.trace == ["1", "2", "fspl 3", "fspl 4", "5"] and place.spool.left() == []


def test_filespooler_is_locked_out_while_a_packet_runs_and_only_then(place: Spooled, fspl: list[str]) -> None:
    place.worker()
    place.attach(*place.tracing(f"until [ -e {place.folder}/go ]; do sleep 0.02; done"))
    assert place.spool.fspl("queue-process", "true", program=fspl).returncode == 0
    place.spool.put(1)
    eventually(lambda: place.trace == ["1"])
    refused = place.spool.fspl("queue-process", "true", program=fspl)
    assert refused.returncode == 1 and b"os error 11" in refused.stderr
    (place.folder / "go").touch()
    place.done(1)
    eventually(lambda: place.spool.fspl("queue-set-next", "7", program=fspl).returncode == 0)  # the watch may look just now
    eventually(lambda: "waits for packet 7" in place.said())


@pytest.mark.wide
def test_the_lock_outlives_whoever_is_killed_while_the_packet_runs(place: Spooled, fspl: list[str]) -> None:
    place.worker()
    place.attach(*place.tracing(f"until [ -e {place.folder}/go ]; do sleep 0.02; done"))
    place.spool.put(1)
    eventually(lambda: place.trace == ["1"])
    for module in ("keeper", "spools", "process"):
        for pid in processes(place, module):
            os.kill(pid, signal.SIGKILL)
    for pid in [*processes(place, "keeper"), *processes(place, "process"), *processes(place, "spools")]:
        os.kill(pid, signal.SIGKILL)
    assert place.spool.fspl("queue-process", "true", program=fspl).returncode == 1
    (place.folder / "go").touch()
    eventually(lambda: place.spool.next == 2)
    eventually(lambda: place.spool.fspl("queue-process", "true", program=fspl).returncode == 0)
    place.worker()
    place.spool.put(2)
    place.done(2)
    assert place.trace == ["1", "2"]


@pytest.mark.wide
def test_another_program_that_has_the_lock_is_waited_for(place: Spooled, fspl: list[str]) -> None:
    place.worker()
    place.attach(*place.tracing())
    place.spool.put(1)
    place.done(1)
    wait = f"touch {place.folder}/begun; until [ -e {place.folder}/go ]; do sleep 0.02; done; "
    wait += f"echo fspl $FSPL_SEQ >> {place.folder}/trace"
    place.command("worker", "stop")
    place.spool.put(2)
    place.spool.put(3)
    other = subprocess.Popen([*fspl, "queue-process", "-q", str(place.spool.path), "-n", "1", "sh", "--", "-c", wait])
    eventually((place.folder / "begun").exists)
    place.worker()
    eventually(lambda: "another program has locked the queue" in place.said())
    (place.folder / "go").touch()
    assert other.wait(20) == 0
    place.done(3)
    assert place.trace == ["1", "fspl 2", "3"]


@pytest.mark.wide
def test_a_packet_that_another_program_has_run_meanwhile_is_not_run_again(place: Spooled) -> None:
    """Taken, and nobody there to keep the lock: whoever runs it then has run it."""
    place.worker()
    place.command("queue", "pause", "default")
    place.attach(*place.tracing())
    place.spool.put(1)
    eventually(lambda: states(place.queue) == {"s-1": "pending"} or None)
    place.command("worker", "stop")
    eventually(lambda: place.spool.fspl("queue-process", "true").returncode == 0)
    assert place.spool.next == 2
    place.command("queue", "resume", "default")
    place.worker()
    eventually(lambda: states(place.queue)["s-1"] in ("cancelled", "dead"))
    place.spool.put(2)
    place.done(2)
    assert place.trace == ["2"]


# ---------------------------------------------------------------- killed in the moment of success


def deliver(place: Spooled, number: int, run: int) -> subprocess.CompletedProcess[bytes]:
    """The process of packet `number`'s job, as the worker starts it."""
    from queuectl import spool_rows, spools
    from queuectl.run import spawn

    [spool] = spool_rows.all_of(place.queue.store)
    name = next(name for name in [*place.spool.left(), "gone"] if name.startswith(f"fspl-{number}-") or name == "gone")
    words = [os.fsdecode(spawn.DELIVER), spools.delivery(spool, number, name.encode())]
    env = {**os.environ, "QUEUECTL_RUN": f"store:{number}:{run}"}
    return subprocess.run([sys.executable, "-I", "-S", "-c", *words], env=env, capture_output=True, timeout=30)


def test_a_run_that_was_cut_after_it_had_succeeded_runs_nothing_again(place: Spooled) -> None:
    place.attach(*place.tracing())
    mark = place.spool.jobs / os.fsdecode(done_name("store", 1))
    place.spool.put(1)
    assert deliver(place, 1, 1).returncode == 0
    assert (place.trace, place.spool.next, mark.exists()) == (["1"], 2, True)
    for nextseq in (1, 2):  # cut before the number moved, or after
        place.spool.next = nextseq
        again = deliver(place, 1, 2)
        assert (again.returncode, place.trace, place.spool.next) == (0, ["1"], 2), again
        assert b"had succeeded" in again.stderr


def test_a_packet_whose_number_another_program_has_passed_is_refused(place: Spooled) -> None:
    place.attach(*place.tracing())
    place.spool.put(1)
    place.spool.next = 3
    refused = deliver(place, 1, 1)
    assert (refused.returncode, place.trace) == (69, []) and b"packet 3 is next" in refused.stderr


# ---------------------------------------------------------------- kills at random


KILLED: dict[str, Callable[[Spooled], list[int]]] = {
    "the watch": lambda place: processes(place, "spools"),
    "the worker": lambda place: processes(place, "process"),
    "any of them": lambda place: [*processes(place, "spools"), *processes(place, "process"), *processes(place, "keeper")],
}


@pytest.mark.parametrize("who", list(KILLED))
@pytest.mark.timeout(600)
@pytest.mark.wide
def test_kills_at_random_lose_no_packet_run_none_twice_and_keep_the_order(place: Spooled, who: str) -> None:
    packets, most, pause_s = (1000, 80, 6.0) if LONG else (30, 4, 0.4)  # what dies often is started again after a pause
    kills, chance = 0, random.Random(who)
    place.worker("--count", "2")
    place.attach("--max-retries", "50", *place.tracing("sleep 0.0$((FSPL_SEQ % 5))"))
    order = list(range(1, packets + 1))
    chance.shuffle(order)
    for number in order:
        place.spool.put(number)
    while place.spool.next <= packets and kills < most:
        time.sleep(chance.uniform(0.05, pause_s))
        victims = KILLED[who](place)
        if victims:
            os.kill(chance.choice(victims), signal.SIGKILL)
            kills += 1
        if not processes(place, "keeper") and not processes(place, "process"):
            place.worker("--count", "2")
    place.done(packets, 60 + packets)
    assert place.trace == [str(number) for number in range(1, packets + 1)], (kills, place.trace)
    assert place.spool.left() == [] and kills > 1


@pytest.mark.chaos
@pytest.mark.timeout(900)
def test_a_thousand_attached_spools_cost_little_and_nothing_while_idle(place: Spooled) -> None:
    from queuectl import spool_rows, spools

    count = 1000 if LONG else 300
    for number in range(count):
        folder = Folder(place.folder / f"Q{number}")
        spools.attach(place.queue, f"s{number}", str(folder.path), spool_rows.Terms(command=("true",)), os.environb)
    place.worker("--count", "2")
    [watch] = eventually(lambda: processes(place, "spools"))
    time.sleep(5)
    used = processor_time(watch)
    time.sleep(40 if LONG else 10)  # the longer one is more than from one look around to the next
    assert processor_time(watch) - used < 0.2
    some = range(0, count, 7)
    for number in some:
        Folder.put(folder_of(place, number), 1)
    eventually(lambda: list(states(place.queue).values()) == ["completed"] * len(some), 120)
    largest = next(line for line in Path(f"/proc/{watch}/status").read_text().splitlines() if line.startswith("VmHWM"))
    assert int(largest.split()[1]) < 50 * 1024, largest


def folder_of(place: Spooled, number: int) -> Folder:
    folder = Folder.__new__(Folder)
    folder.path = place.folder / f"Q{number}"
    folder.jobs = folder.path / "jobs"
    return folder


def processor_time(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
