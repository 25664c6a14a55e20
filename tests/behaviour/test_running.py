"""Running jobs: in order, with what was asked for, and their ends recorded exactly."""

from __future__ import annotations

import os
import random
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from queuectl import Queue, Shell, Spec, payload

from .harness import FAST, Place, work, written

STATUSES = [0, 1, 2, 63, 125, 126, 127, 128, 129, 200, 254, 255]
SIGNALS = sorted(n for n in signal.valid_signals() if n not in (signal.SIGSTOP, signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU))
HARMLESS = {signal.SIGCHLD, signal.SIGCONT, signal.SIGURG, signal.SIGWINCH}


def order(queue: Queue) -> list[str]:
    return [job.id for job in sorted(queue.find(), key=lambda job: (job.started_us or 0, job.number))]


# ---------------------------------------------------------------- which runs next


def test_equals_run_first_in_first_out(queue: Queue) -> None:
    for n in range(20):
        queue.add(f"echo {n}")
    work(queue, slots=1)
    assert order(queue) == [str(n + 1) for n in range(20)]


def test_a_larger_priority_runs_first(queue: Queue) -> None:
    for n, priority in enumerate([0, -1, 5, 0, 5, 2147483647, -2147483647]):
        queue.add("true", priority=priority, id=f"{'abcdefg'[n]}")
    work(queue, slots=1)
    assert "".join(order(queue)) == "fceadbg"


def test_priority_and_age_count_over_all_queues_and_bulk_adds(queue: Queue) -> None:
    queue.add("true", id="a", queue="one")
    queue.add_many([Spec(work=Shell("true"), id="b", queue="two"), Spec(work=Shell("true"), id="c", queue="one", priority=1)])
    queue.add("true", id="d", queue="two", priority=1)
    queue.add("true", id="e", queue="one")
    work(queue, slots=1)
    assert "".join(order(queue)) == "cdabe"


def test_as_many_run_at_once_as_there_are_slots(queue: Queue, tmp_path: Path) -> None:
    for _ in range(6):
        queue.add(f"touch {tmp_path}/run.$$; ls {tmp_path} | grep -c ^run; sleep 0.1; rm {tmp_path}/run.$$")
    work(queue, slots=3)
    counts = [int(written(queue, n)) for n in range(1, 7)]
    assert max(counts) == 3


def test_a_paused_queue_starts_nothing_until_it_is_resumed(place: Place) -> None:
    queue = place.open()
    queue.add("true", queue="a")
    queue.add("true", queue="b")
    assert place.command("queue", "pause", "a").returncode == 0
    place.worker()
    queue.wait(2, timeout=60)
    time.sleep(0.1)
    assert queue.get(1).state == "pending"
    assert place.command("queue", "resume", "a").returncode == 0
    queue.wait(1, timeout=20)


def test_a_limited_queue_runs_so_many_at_once_and_wastes_no_time(place: Place, tmp_path: Path) -> None:
    queue = place.open()
    assert place.command("queue", "limit", "a", "2").returncode == 0
    queue.add_many(
        Spec(work=Shell(f"touch {tmp_path}/run.$$; ls {tmp_path} | grep -c ^run; sleep 0.05; rm {tmp_path}/run.$$"), queue="a")
        for _ in range(10)
    )
    began = time.monotonic()
    work(queue, slots=6)
    assert max(int(written(queue, n)) for n in range(1, 11)) == 2
    assert time.monotonic() - began < 8


def test_a_limit_holds_over_several_lanes_of_a_queue(place: Place, tmp_path: Path) -> None:
    queue = place.open()
    assert place.command("queue", "limit", "a", "1").returncode == 0
    job = f"touch {tmp_path}/run.$$; ls {tmp_path} | grep -c ^run; sleep 0.03; rm {tmp_path}/run.$$"
    for _ in range(3):
        queue.add_many([Spec(work=Shell(job), queue="a")] * 2)
        queue.add(job, queue="a")
    work(queue, slots=4)
    assert {int(written(queue, n)) for n in range(1, 10)} == {1}


def test_a_worker_serves_the_queues_it_was_told(queue: Queue) -> None:
    queue.add("true", queue="a")
    queue.add("true", queue="b")
    work(queue, queues=("b",))
    assert (queue.get(1).state, queue.get(2).state) == ("pending", "completed")


def test_queues_that_servers_keep_for_themselves_are_left_alone(queue: Queue) -> None:
    queue.add("true", queue="taskspool")
    queue.add("true", queue="tasker")
    work(queue)
    assert {job.state for job in queue.find()} == {"pending"}


# ---------------------------------------------------------------- how a run ended


def test_exit_statuses_are_exact(queue: Queue) -> None:
    for status in STATUSES:
        queue.add(f"exit {status}", max_retries=0, id=f"s{status}")
    work(queue)
    assert {status: queue.get(f"s{status}").exit_code for status in STATUSES} == {status: status for status in STATUSES}
    assert {job.id for job in queue.find() if job.state == "completed"} == {"s0"}


@pytest.mark.chaos
def test_all_exit_statuses_are_exact(queue: Queue) -> None:
    queue.add_many(Spec(work=Shell(f"exit {status}"), id=f"s{status}", max_retries=0) for status in range(256))
    work(queue)
    assert [queue.get(f"s{status}").exit_code for status in range(256)] == list(range(256))


def test_signals_are_exact(queue: Queue) -> None:
    for number in SIGNALS:
        queue.add(f"kill -{int(number)} $$", max_retries=0, id=f"n{int(number)}", cwd="/tmp")
    work(queue)
    ends = {number: queue.get(f"n{int(number)}").exit_code for number in SIGNALS}
    assert ends == {number: 0 if number in HARMLESS else -int(number) for number in SIGNALS}


@pytest.mark.parametrize(
    ("work_", "status", "word"),
    [
        (["no-such-program-anywhere"], 127, "not found"),
        (["/no/such/program"], 127, "not found"),
        ("no-such-program-anywhere", 127, "not found"),
        ("no-such-program-anywhere; exit $?", 127, None),
        (["./plain"], 126, "not executable"),
        ("./plain", 126, "not executable"),
        (["/tmp"], 126, "not executable"),
        (["./broken"], 127, "not found"),
    ],
)
def test_what_cannot_be_started_ends_as_in_a_shell(
    queue: Queue, tmp_path: Path, work_: str | list[str], status: int, word: str | None
) -> None:
    (tmp_path / "plain").write_text("echo")
    (tmp_path / "plain").chmod(0o644)
    (tmp_path / "broken").write_text("#!/no/such/interpreter\n")
    (tmp_path / "broken").chmod(0o755)
    job = queue.add(work_, cwd=str(tmp_path), max_retries=0)
    work(queue)
    done = queue.get(job.id)
    assert (done.state, done.exit_code) == ("dead", status)
    if word:
        assert word in (done.reason or "")
        assert word.encode() in written(queue, job)


def test_a_folder_that_is_gone_ends_with_125_and_is_named(queue: Queue, tmp_path: Path) -> None:
    job = queue.add("true", cwd=str(tmp_path / "gone"), max_retries=0)
    work(queue)
    done = queue.get(job.id)
    assert (done.state, done.exit_code) == ("dead", 125)
    assert f"{tmp_path}/gone" in (done.reason or "")


def test_a_folder_that_comes_back_is_found_by_the_retry(open_queue: Callable[..., Queue], tmp_path: Path) -> None:
    queue = open_queue(backoff_base=0.2)
    queue.add(f"mkdir {tmp_path}/late")
    queue.add("pwd", cwd=str(tmp_path / "late"), priority=1, max_retries=5)
    work(queue, slots=1)
    assert queue.get(2).state == "completed"


def test_a_script_without_an_interpreter_line_is_run_by_the_shell(queue: Queue, tmp_path: Path) -> None:
    (tmp_path / "script").write_text("echo script $1\n")
    (tmp_path / "script").chmod(0o755)
    queue.add(["./script", "a b"], cwd=str(tmp_path))
    work(queue)
    assert written(queue, 1) == b"script a b\n"


def test_a_program_is_looked_up_in_the_path_of_the_job(queue: Queue, tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("#!/bin/sh\necho mine\n")
    (tmp_path / "mine").chmod(0o755)
    queue.add(["mine"], env={"PATH": f"{tmp_path}:/bin:/usr/bin"})
    queue.add("mine", env={"PATH": f"{tmp_path}:/bin:/usr/bin"})
    work(queue)
    assert written(queue, 1) == written(queue, 2) == b"mine\n"


@pytest.mark.parametrize(
    "text",
    ["echo a  b", "A=1 env | grep ^A=", "exit 3 || true", "cd /; pwd", "  true", "echo ~+", "true # no", "-x", ": > f; cat f"],
)
def test_text_means_what_it_means_to_a_shell(queue: Queue, tmp_path: Path, text: str) -> None:
    import subprocess

    env = {"PATH": os.environ["PATH"]}
    shell = subprocess.run(["/bin/sh", "-c", "--", text], cwd=tmp_path, env=env, stdout=-1, stderr=-2, timeout=60)
    job = queue.add(text, cwd=str(tmp_path), env=env, max_retries=0)
    work(queue)
    assert queue.get(job.id).exit_code == shell.returncode
    if shell.returncode == 0:
        assert written(queue, job) == shell.stdout


def test_the_whole_life_of_a_failing_job(open_queue: Callable[..., Queue]) -> None:
    queue = open_queue(backoff_base=0)
    job = queue.add("echo run $QUEUECTL_ATTEMPT; false", max_retries=2)
    work(queue)
    done = queue.get(job.id)
    assert (done.state, done.attempts, done.run, done.exit_code) == ("dead", 3, 3, 1)
    assert written(queue, job) == b"run 1\nrun 2\nrun 3\n"
    assert [attempt.exit_code for attempt in queue.attempts(job)] == [1, 1, 1]


def test_a_retry_waits_for_its_backoff(open_queue: Callable[..., Queue]) -> None:
    queue = open_queue(backoff_base=0.3)
    job = queue.add("test $QUEUECTL_ATTEMPT = 2")
    work(queue)
    first, second = queue.attempts(job)
    assert first.ended_us is not None
    assert 0.3 <= (second.started_us - first.ended_us) / 1e6 < 2.0
    assert (queue.get(job.id).state, queue.get(job.id).attempts) == ("completed", 2)


def test_statuses_that_are_not_to_be_retried_are_dead_at_once(open_queue: Callable[..., Queue]) -> None:
    queue = open_queue(**FAST)
    queue.add("exit 65", no_retry=[64, 65])
    queue.add("exit 1", no_retry=[64, 65])
    work(queue)
    assert (queue.get(1).attempts, queue.get(2).attempts) == (1, 4)


def test_a_run_knows_its_job(queue: Queue) -> None:
    queue.add("echo $QUEUECTL_JOB_ID $QUEUECTL_ATTEMPT $QUEUECTL_QUEUE", id="me", queue="here")
    work(queue)
    assert written(queue, "me") == b"me 1 here\n"


def test_what_a_run_used_is_measured(place: Place, queue: Queue) -> None:
    job = queue.add(
        [sys.executable, "-c", "b = bytearray(60_000_000)\nfor i in range(0, len(b), 4096): b[i] = 1\nsum(range(2_000_000))"]
    )
    assert place.worker("--until-idle").wait(20) == 0
    [attempt] = queue.attempts(job)
    assert attempt.cpu_s is not None
    assert attempt.memory_max is not None
    assert 0.01 < attempt.cpu_s < 10
    assert 60_000_000 < attempt.memory_max < 200_000_000


def test_the_worker_s_own_memory_is_not_called_a_job_s(place: Place, queue: Queue) -> None:
    """The kernel counts it, for a child shares its parent's memory until its `exec`."""
    job = queue.add("true")
    assert place.worker("--until-idle").wait(20) == 0
    [attempt] = queue.attempts(job)
    assert attempt.cpu_s is not None
    assert attempt.memory_max is None


# ---------------------------------------------------------------- what a run is given


def test_standard_input_is_empty_unless_given(queue: Queue) -> None:
    queue.add("cat; echo end")
    work(queue)
    assert written(queue, 1) == b"end\n"


@pytest.mark.parametrize("size", [0, 1, 5_000_000])
def test_a_payload_reaches_the_job_byte_for_byte(queue: Queue, tmp_path: Path, size: int) -> None:
    content = random.Random(size).randbytes(size)
    (tmp_path / "payload").write_bytes(content)
    fd = os.open(tmp_path / "payload", os.O_RDONLY)
    name = payload.store(queue.place, fd)
    os.close(fd)
    queue.add(Spec(work=Shell("cat"), stdin=name, cwd=str(tmp_path)))
    work(queue)
    assert written(queue, 1) == content


def test_a_payload_is_there_for_the_retry_too(open_queue: Callable[..., Queue], tmp_path: Path) -> None:
    queue = open_queue(**FAST)
    (tmp_path / "payload").write_bytes(b"once more\n")
    fd = os.open(tmp_path / "payload", os.O_RDONLY)
    name = payload.store(queue.place, fd)
    os.close(fd)
    queue.add(Spec(work=Shell("cat; test $QUEUECTL_ATTEMPT = 2"), stdin=name, cwd="/"))
    work(queue)
    assert written(queue, 1) == b"once more\nonce more\n"


def test_no_descriptor_of_the_worker_reaches_a_job(queue: Queue) -> None:
    leak = os.open("/", os.O_RDONLY)
    os.set_inheritable(leak, True)
    queue.add("ls /proc/self/fd")
    work(queue)
    os.close(leak)
    assert written(queue, 1).split() == [b"0", b"1", b"2", b"3"]  # 3: the listing's own


def test_a_job_starts_with_all_signals_at_their_default(queue: Queue) -> None:
    before = signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    queue.add(["grep", "-E", "^Sig(Blk|Ign)", "/proc/self/status"])
    work(queue)
    signal.signal(signal.SIGPIPE, before)
    masks = [int(line.split()[1], 16) for line in written(queue, 1).splitlines()]
    assert [mask & 0x7FFFFFFF for mask in masks] == [0, 0]  # the rest is the C library's own


# ---------------------------------------------------------------- what a run writes


def test_output_that_is_not_utf_8_is_kept_as_it_is(queue: Queue) -> None:
    queue.add("printf '\\377\\000\\033[31m\\r\\n\\303('")
    work(queue)
    assert written(queue, 1) == b"\xff\x00\x1b[31m\r\n\xc3("


def test_ten_megabytes_of_output_are_byte_exact(queue: Queue, tmp_path: Path) -> None:
    content = random.Random(10).randbytes(10_000_000)
    (tmp_path / "big").write_bytes(content)
    queue.add(["cat", str(tmp_path / "big")])
    work(queue)
    assert written(queue, 1) == content


def test_both_streams_are_in_the_order_they_were_written(queue: Queue) -> None:
    queue.add("for n in 1 2 3; do echo out $n; echo err $n >&2; done")
    work(queue)
    assert written(queue, 1) == b"out 1\nerr 1\nout 2\nerr 2\nout 3\nerr 3\n"


def test_a_job_that_asks_for_it_keeps_stderr_apart(queue: Queue) -> None:
    job = queue.add("echo out; echo err >&2", stderr_apart=True)
    work(queue)
    assert written(queue, job) == b"out\n"
    assert b"err\n" in Path(queue.place.logs, f"{job.id}.err.log").read_bytes()


def test_each_run_has_its_own_part_of_the_log(open_queue: Callable[..., Queue]) -> None:
    queue = open_queue(**FAST)
    queue.add("echo run $QUEUECTL_ATTEMPT; exit 1", max_retries=2)
    work(queue)
    assert [written(queue, 1, run) for run in (1, 2, 3, 4)] == [b"run 1\n", b"run 2\n", b"run 3\n", b""]
    headers = [line for line in Path(queue.place.logs, "1.log").read_bytes().splitlines() if line.startswith(b"--- run")]
    assert len(headers) == 3
