"""Killed again and again, at random moments: every job runs once, and its end is known."""

from __future__ import annotations

import os
import random
import signal
import time

import pytest

from .conftest import Spooler, eventually

pytestmark = pytest.mark.chaos
ROUNDS = 12 if os.environ.get("QUEUECTL_CHAOS") == "short" else 60


@pytest.mark.timeout(600)
@pytest.mark.parametrize("victims", [["server", "worker"], ["server", "worker", "keeper"]])
def test_killed_again_and_again_a_server_loses_nothing_and_runs_nothing_twice(server: Spooler, victims: list[str]) -> None:
    """With both its worker and the keeper that took it over dead, nobody sees how a job ends: it has failed then."""
    chance = random.Random(20)
    modules = {"worker": "queuectl.run.process", "keeper": "queuectl.run.keeper"}
    queued = 0
    for _ in range(ROUNDS):
        for _ in range(chance.randint(0, 4)):
            queued += 1
            server.queue(f"echo {queued} >> runs; sleep 0.{chance.randint(0, 6)}; echo out {queued}; exit {queued % 200}")
        time.sleep(chance.random() * 0.6)
        victim = chance.choice(victims)
        if victim == "server":
            server.kill()
            server.start()
        elif found := server.processes(modules[victim]):
            os.kill(found[0], signal.SIGKILL)
    eventually(lambda: not (all := server.all())["queue_length"] + all["active_workers"], 60)
    jobs = {job["job_id"]: job for job in server.all()["jobs"]}
    assert sorted(jobs) == list(range(1, queued + 1))
    known = {n: job["exit_code"] for n, job in jobs.items() if job["exit_code"] is not None or "keeper" not in victims}
    assert known == {n: n % 200 for n in known}
    assert len(known) >= 0.6 * queued
    assert sorted(map(int, (server.folder / "runs").read_text().split())) == sorted(jobs)
    eventually(lambda: all((server.temp / f"job-{n}.out").read_text() == f"out {n}\n" for n in jobs))


@pytest.mark.timeout(600)
def test_no_bytes_at_all_bring_the_server_down(server: Spooler) -> None:
    chance = random.Random(21)
    pieces = [b"queue:", b"status:", b"all", b" ", b"\n", b"\0", b"\xff", b"1", b"-", b"{", b"true", b"9" * 40, b"x" * 70_000]
    before = server.process.pid if server.process else 0
    for _ in range(ROUNDS * 10):
        with server.connect() as client:
            try:
                for piece in chance.choices(pieces, k=chance.randint(0, 5)):
                    client.sendall(piece)
                    if chance.random() < 0.1:
                        time.sleep(chance.random() * 0.15)
                match chance.randint(0, 3):
                    case 0:
                        client.shutdown(1)
                    case 1:
                        client.shutdown(1)
                        client.recv(chance.choice([1, 10_000]))
            except OSError:
                pass
    assert server.all()["max_concurrent_jobs"] == 3
    assert server.process and server.process.pid == before and server.process.poll() is None
