"""Timeouts, cancels and stops end what they should, all of it and nothing else; the worker as a library."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import queuectl
from queuectl import Queue

from .harness import FAST, STUBBORN, Place, alive, eventually, marked, running, work, written


def test_a_timeout_ends_the_run_and_says_so(open_queue: Callable[..., Queue]) -> None:
    queue = open_queue(**FAST)
    job = queue.add("echo before; sleep 100", timeout=0.2, max_retries=0)
    began = time.monotonic()
    work(queue)
    done = queue.get(job.id)
    assert (done.state, done.reason) == ("dead", "timeout")
    assert done.exit_code in (-15, 143)  # the shell was ended, or saw first that its child was
    assert written(queue, job) in (b"before\n", b"before\nTerminated\n")
    assert time.monotonic() - began < 30


def test_a_timeout_ends_the_whole_tree_escapers_too(open_queue: Callable[..., Queue], tmp_path: Path) -> None:
    queue = open_queue(**FAST)
    job = queue.add(STUBBORN.format(more=f"echo $$ > {tmp_path}/pid; wait; sleep 100"), timeout=0.3, max_retries=0)
    work(queue)
    [(store_id,)] = queue.store.run("select value from meta where key = 'store_id'")
    assert marked(f"QUEUECTL_RUN={store_id}:".encode()) == []
    assert queue.get(job.id).reason == "timeout"


def test_what_ends_at_term_is_given_the_time_to_tidy_up(open_queue: Callable[..., Queue], tmp_path: Path) -> None:
    queue = open_queue(kill_grace=100)
    queue.add("trap 'echo tidy; exit 9' TERM; while :; do sleep 0.05; done", timeout=0.2, max_retries=0)
    began = time.monotonic()
    work(queue)
    assert written(queue, 1).endswith(b"tidy\n")
    assert (queue.get(1).exit_code, queue.get(1).reason) == (9, "timeout")
    assert time.monotonic() - began < 30


def test_the_timeout_of_the_settings_counts_for_jobs_without_their_own(open_queue: Callable[..., Queue]) -> None:
    queue = open_queue(**FAST, job_timeout=0.2)
    queue.add("sleep 0.6", max_retries=0)
    queue.add("sleep 0.6", max_retries=0, timeout=0)
    queue.add("sleep 0.6", max_retries=0, timeout=30)
    work(queue, slots=3)
    assert [queue.get(n).state for n in (1, 2, 3)] == ["dead", "completed", "completed"]


def test_a_timed_out_run_is_charged_and_retried(open_queue: Callable[..., Queue]) -> None:
    queue = open_queue(**FAST)
    job = queue.add("test $QUEUECTL_ATTEMPT = 2 || sleep 100", timeout=0.2)
    work(queue)
    assert (queue.get(job.id).state, queue.get(job.id).attempts) == ("completed", 2)


def test_a_daemon_that_a_job_leaves_behind_holds_up_nothing(queue: Queue, tmp_path: Path) -> None:
    queue.add(
        f"setsid -f sh -c 'echo $$ > {tmp_path}/pid; exec sleep 100' >/dev/null 2>&1; until test -s {tmp_path}/pid; do :; done"
    )
    began = time.monotonic()
    work(queue)
    assert queue.get(1).state == "completed"
    assert time.monotonic() - began < 30
    assert alive(int((tmp_path / "pid").read_text()))


# ---------------------------------------------------------------- cancelling what runs


def test_cancel_ends_a_running_job_with_all_it_started(place: Place) -> None:
    queue = place.open(**FAST)
    job = queue.add(STUBBORN.format(more="echo ready; wait; sleep 100"))
    place.worker()
    eventually(lambda: written(queue, job) and running(queue, job))
    queue.cancel(job.id)
    [done] = queue.wait(job.id, timeout=60)
    assert (done.state, done.reason) == ("cancelled", "cancelled")
    [(store_id,)] = queue.store.run("select value from meta where key = 'store_id'")
    assert marked(f"QUEUECTL_RUN={store_id}:".encode()) == []


def test_a_cancelled_run_is_not_retried(place: Place) -> None:
    queue = place.open(**FAST)
    job = queue.add("sleep 100", max_retries=9)
    place.worker()
    eventually(lambda: running(queue, job))
    queue.cancel(job.id)
    queue.wait(job.id, timeout=60)
    assert (queue.get(job.id).state, len(queue.attempts(job))) == ("cancelled", 1)


def test_a_job_is_started_within_a_moment_of_being_added(place: Place) -> None:
    queue = place.open()
    place.worker()
    waits = []
    for _ in range(10):
        job = queue.add("true")
        [done] = queue.wait(job.id, timeout=60)
        assert done.started_us is not None
        waits.append(done.started_us - done.created_us)
    assert sorted(waits)[2] < 200_000


# ---------------------------------------------------------------- the worker as a library


def test_a_worker_until_idle_runs_everything_and_returns(open_queue: Callable[..., Queue]) -> None:
    queue = open_queue(**FAST)
    queue.add_many(["true"] * 200)
    queue.add("false")
    queue.add("true", delay=0.2)
    work(queue)
    assert {job.state for job in queue.find()} == {"completed", "dead"}
    assert queue.store.workers() == []


def test_a_worker_until_idle_does_not_wait_for_held_jobs(queue: Queue) -> None:
    queue.hold(queue.add("true").id)
    work(queue)
    assert queue.get(1).stage == "held"


def test_a_worker_with_nothing_to_do_returns_at_once(queue: Queue) -> None:
    began = time.monotonic()
    work(queue)
    assert time.monotonic() - began < 5


def test_a_worker_leaves_the_process_as_it_found_it(queue: Queue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    handlers = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGCHLD)]
    descriptors = set(os.listdir("/proc/self/fd"))
    mask = os.umask(0o022)
    os.umask(mask)
    queue.add("true", cwd="/", umask=0o077)
    work(queue)
    after = os.umask(mask)
    assert os.getcwd() == str(tmp_path)
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGCHLD)] == handlers
    assert after == mask
    eventually(lambda: set(os.listdir("/proc/self/fd")) <= descriptors)  # a ring to a server that is under way has one


def test_a_worker_runs_in_a_thread_that_is_not_the_main_one(queue: Queue) -> None:
    from threading import Thread

    queue.add_many(["true"] * 20)
    thread = Thread(target=work, args=(queue,))
    thread.start()
    thread.join(20)
    assert not thread.is_alive()
    assert {job.state for job in queue.find()} == {"completed"}


def test_two_workers_share_a_queue_and_run_each_job_once(place: Place, tmp_path: Path) -> None:
    queue = place.open()
    queue.add_many(f"echo {n} >> {tmp_path}/ledger" for n in range(300))
    keepers = [place.worker("--until-idle", "--count", "2") for _ in range(2)]
    assert [keeper.wait(30) for keeper in keepers] == [0, 0]
    assert sorted(map(int, (tmp_path / "ledger").read_text().split())) == list(range(300))


# ---------------------------------------------------------------- stopping


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_lets_running_jobs_finish_and_starts_no_more(place: Place, number: signal.Signals) -> None:
    queue = place.open()
    first = queue.add(f"touch {place.folder}/started; sleep 0.5; echo done")
    keeper = place.worker()
    # Not when it is claimed: what is claimed and not yet started goes back.
    eventually((place.folder / "started").exists)
    second = queue.add("true")
    keeper.send_signal(number)
    assert keeper.wait(10) == 0
    assert (queue.get(first.id).state, queue.get(second.id).state) == ("completed", "pending")
    assert queue.store.workers() == []


def test_a_second_signal_ends_running_jobs_and_puts_them_back(place: Place) -> None:
    queue = place.open(**FAST)
    job = queue.add("sleep 100")
    keeper = place.worker()
    eventually(lambda: running(queue, job))
    keeper.send_signal(signal.SIGTERM)
    eventually(lambda: b"stopping" in (place.folder / "worker.out").read_bytes())
    keeper.send_signal(signal.SIGTERM)
    assert keeper.wait(10) == 0
    after = queue.get(job.id)
    assert (after.state, after.attempts, after.stage) == ("pending", 0, "ready")


def test_a_worker_asked_to_stop_in_the_store_stops(place: Place) -> None:
    queue = place.open()
    job = queue.add("sleep 0.4")
    keeper = place.worker()
    eventually(lambda: running(queue, job))
    assert place.command("worker", "stop").returncode == 0
    assert keeper.wait(10) == 0
    assert queue.get(job.id).state == "completed"


def test_the_library_worker_returns_after_a_signal(place: Place) -> None:
    queue = place.open()
    process = place.python("import queuectl; queuectl.Worker(queuectl.open()).run(); print('returned')", stdout=-1, text=True)
    eventually(queue.store.workers)
    process.send_signal(signal.SIGINT)
    assert process.communicate(timeout=60)[0] == "returned\n"
    assert queuectl.__version__
