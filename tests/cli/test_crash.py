"""Kills: a job is never lost, never stuck, never beside itself."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from .conftest import Queuectl, is_alive

pytestmark = pytest.mark.wide

# Fails with 99 when another run of it is under way; leaves a line for each run.
ALONE = "mkdir alone || exit 99; echo run >> ran; sleep {}; rmdir alone; echo done"


def parent_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()[1])


def worker_pid(queue: Queuectl) -> int:
    [worker] = queue.until(lambda: queue.json("worker", "list"))
    return int(worker["pid"])


def runs(queue: Queuectl) -> int:
    ran = queue.folder / "ran"
    return ran.read_text().count("run") if ran.exists() else 0


def test_a_job_runs_on_when_its_worker_is_killed_and_its_end_is_recorded(queue: Queuectl) -> None:
    queue.ok("worker-start")
    queue.ok("enqueue", "--command", ALONE.format(1.5))
    queue.until(lambda: runs(queue))
    os.kill(worker_pid(queue), signal.SIGKILL)
    queue.ok("wait", "1", "--timeout", "30")
    job = queue.job("1")
    assert (job["state"], job["attempts"], runs(queue)) == ("completed", 1, 1)
    assert queue.ok("logs", "1") == "done\n"


def test_a_job_outlives_three_crashes_of_its_worker_in_a_row(queue: Queuectl) -> None:
    queue.ok("worker-start")
    queue.ok("enqueue", "--command", ALONE.format(3))
    queue.until(lambda: runs(queue))
    killed: set[int] = set()
    for _ in range(3):
        killed.add(pid := queue.until(lambda: next((w["pid"] for w in queue.json("worker", "list") if w["pid"] not in killed), 0)))
        os.kill(pid, signal.SIGKILL)
    queue.ok("wait", "1", "--timeout", "30")
    assert (queue.states(), runs(queue)) == ({"1": "completed"}, 1)


def test_when_worker_and_keeper_are_killed_the_next_worker_takes_the_running_job_over(queue: Queuectl) -> None:
    queue.ok("worker-start")
    queue.ok("enqueue", "--command", ALONE.format(2))
    queue.until(lambda: runs(queue))
    worker = worker_pid(queue)
    for pid in (parent_of(worker), worker):
        os.kill(pid, signal.SIGKILL)
    queue.drain()
    job = queue.job("1")
    # Nobody sees the exit status of an orphan: it may be run again, after its end, never beside it.
    assert job["state"] == "completed" and 99 not in [run["exit_code"] for run in job["attempts_made"]]


def test_when_everything_is_killed_the_job_is_run_again(queue: Queuectl) -> None:
    queue.ok("worker-start")
    queue.ok("enqueue", "--command", "echo $$ > pid; echo run >> ran; test $(wc -l < ran) = 2 || exec sleep 60")
    queue.until(lambda: runs(queue))
    worker = worker_pid(queue)
    everybody = (parent_of(worker), worker, int((queue.folder / "pid").read_text()))
    for number in (signal.SIGSTOP, signal.SIGKILL):  # stopped first, so that nobody sees another's end
        for pid in everybody:
            os.kill(pid, number)
    queue.drain()
    job = queue.job("1")
    assert (job["state"], runs(queue)) == ("completed", 2)
    # Not charged, unless the kernel remembers that the job was killed: then its first run is known to have failed.
    assert (job["attempts"], job["interruptions"]) in {(1, 1), (2, 0)}


def test_another_worker_that_runs_already_takes_the_jobs_of_a_dead_one_within_twenty_seconds(queue: Queuectl) -> None:
    queue.ok("enqueue", "--queue", "a", "--command", "echo $$ > pid; echo run >> ran; test $(wc -l < ran) = 2 || exec sleep 60")
    first = queue.start("worker", "start", "--queue", "a")
    queue.until(lambda: runs(queue))
    worker = worker_pid(queue)
    queue.start("worker", "start")
    queue.until(lambda: len(queue.json("worker", "list")) == 2)
    for pid in (first.pid, worker, int((queue.folder / "pid").read_text())):
        os.kill(pid, signal.SIGKILL)
    queue.until(lambda: queue.states() == {"1": "completed"}, patience_s=20)


def test_a_kill_during_the_backoff_neither_loses_nor_hurries_the_retry(queue: Queuectl) -> None:
    queue.ok("config", "set", "backoff_base", "6")
    queue.ok("enqueue", "--command", "echo run >> ran; test $(wc -l < ran) = 2")
    queue.ok("worker-start")
    queue.until(lambda: queue.states()["1"] == "failed")
    os.kill(worker_pid(queue), signal.SIGKILL)
    assert runs(queue) == 1
    queue.ok("wait", "1", "--timeout", "30")
    first, second = queue.job("1")["attempts_made"]
    assert queue.states() == {"1": "completed"} and first["exit_code"] == 1 and second["exit_code"] == 0


def test_a_worker_killed_at_any_moment_of_many_short_jobs_runs_each_once(queue: Queuectl) -> None:
    queue.ok("enqueue", "--from", "-", stdin=b"".join(b"echo run %d >> ran\n" % n for n in range(150)))
    queue.ok("worker-start", "--count", "2")
    for _ in range(5):
        found = queue.json("worker", "list")
        if found:
            os.kill(found[0]["pid"], signal.SIGKILL)
    queue.until(lambda: queue.json("status")["completed"] == 150)
    assert sorted((queue.folder / "ran").read_text().split("\n"))[1:] == sorted(f"run {n}" for n in range(150))


def test_jobs_of_every_state_are_there_after_everything_was_stopped_and_started_again(queue: Queuectl) -> None:
    queue.ok("config", "set", "backoff_base", "300")
    queue.ok("enqueue", "--id", "completed", "--command", "true")
    queue.ok("enqueue", "--id", "dead", "--command", "false", "--max-retries", "0")
    queue.ok("enqueue", "--id", "failed", "--command", "false")
    queue.ok("enqueue", "--id", "running", "--command", "sleep 1")
    queue.ok("enqueue", "--id", "later", "--command", "true", "--delay", "1h")
    queue.ok("enqueue", "--id", "held", "--command", "true", "--delay", "1h")
    queue.ok("enqueue", "--id", "cancelled", "--command", "true", "--delay", "1h")
    queue.ok("hold", "held")
    queue.ok("cancel", "cancelled")
    queue.ok("worker-start", "--count", "4")
    queue.until(lambda: queue.states()["failed"] == "failed" and queue.states()["dead"] == "dead")
    queue.ok("worker-stop")
    before = queue.json("list")
    queue.ok("worker-start")
    queue.until(lambda: queue.json("status")["active_workers"])
    assert queue.json("list") == before
    kept = {"completed": "completed", "dead": "dead", "failed": "failed", "running": "completed", "cancelled": "cancelled"}
    assert {job["id"]: job["state"] for job in before} == kept | {"later": "pending", "held": "pending"}


def test_stopping_leaves_no_process_behind(queue: Queuectl) -> None:
    queue.ok("worker-start", "--count", "2", "--use-processes")
    workers = [worker["pid"] for worker in queue.json("worker", "list")]
    keeper = parent_of(workers[0])
    queue.ok("worker-stop")
    queue.until(lambda: not any(is_alive(pid) for pid in (*workers, keeper)))
