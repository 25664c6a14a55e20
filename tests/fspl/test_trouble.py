"""Kills at every step, full disks, odd files: nothing is lost, nothing runs twice at once, nothing hangs."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from queuectl.packet import Command, Packet, encode

from .conftest import Program, enveloped, eventually, jobs, next_number, tree

SLOW = ["sh", "--", "-c", "echo $$ > pid; echo begun >> log; until [ -e go ]; do sleep 0.02; done; echo ended >> log"]


def begun(folder: Path) -> int:
    """The pid of the slow command, once it runs."""
    eventually(lambda: (folder / "log").exists())
    return int((folder / "pid").read_text())


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_killed_run_changes_nothing_and_keeps_others_out_until_its_command_ends(
    ours: Program, real: Program, queue: Path, number: signal.Signals
) -> None:
    ours.add("Q", payload=b"x")
    before = tree(queue)
    with ours.start("queue-process", "-q", "Q", *SLOW) as run:
        begun(ours.folder)
        run.send_signal(number)
        assert run.wait() == -number
        assert tree(queue) == before
        for program in (ours, real):
            done = program("queue-process", "-q", "Q", *SLOW)
            assert (done.rc, b"os error 11" in done.err) == (1, True)
        (ours.folder / "go").touch()
    eventually(lambda: ours("queue-get-next", "-q", "Q").rc == 0)
    assert (ours.folder / "log").read_text() == "begun\nended\n"
    assert real("queue-process", "-q", "Q", *SLOW).rc == 0
    assert (ours.folder / "log").read_text() == "begun\nended\n" * 2


@pytest.mark.parametrize("is_tidied", [False, True])
def test_what_a_killed_run_left_beside_the_number_is_written_over(ours: Program, queue: Path, is_tidied: bool) -> None:
    """What comes next is made ready while the command runs; where that cannot be, it is written afterwards."""
    for _ in range(3):
        ours.add("Q")
    (queue / "nextseq.temp").write_text("77\n")
    words = ["sh", "--", "-c", "echo 88 > Q/nextseq.temp; cat Q/nextseq >> log"]
    if is_tidied:
        words[-1] += "; rm Q/nextseq.temp"
    done = ours("queue-process", "-q", "Q", *words)
    assert (done.rc, done.err) == (0, b"")
    assert (ours.folder / "log").read_text() == "1\n2\n3\n"
    assert (next_number(queue), tree(queue).keys() & {"nextseq.temp"}) == (4, set())


def test_a_command_that_kills_its_processor_keeps_the_lock_too(ours: Program, queue: Path) -> None:
    ours.add("Q")
    script = "kill -9 $PPID; echo begun >> log; until [ -e go ]; do sleep 0.02; done"
    with ours.start("queue-process", "-q", "Q", "sh", "--", "-c", script) as run:
        assert run.wait() == -signal.SIGKILL
        eventually(lambda: (ours.folder / "log").exists())
        assert ours("queue-get-next", "-q", "Q").rc == 1
        (ours.folder / "go").touch()
    eventually(lambda: ours("queue-get-next", "-q", "Q").rc == 0)
    assert (jobs(queue), next_number(queue)) == (jobs(queue), 1)


def test_a_script_may_ask_for_the_lock_to_go_with_the_processor(ours: Program, queue: Path) -> None:
    ours.add("Q")
    with ours.start("queue-process", "-q", "Q", *SLOW, env={"QUEUECTL_FSPL_AFTER_KILL": "release"}) as run:
        begun(ours.folder)
        run.kill()
        run.wait()
        assert ours("queue-get-next", "-q", "Q").rc == 0
        (ours.folder / "go").touch()


def test_nothing_is_left_running_after_a_run(ours: Program, queue: Path) -> None:
    ours.add("Q")
    with ours.start("queue-process", "-q", "Q", "true", start_new_session=True) as run:
        assert run.wait() == 0
    with pytest.raises(ProcessLookupError):
        os.killpg(run.pid, 0)


@pytest.mark.parametrize(
    ("call", "runs", "rest", "number"),
    [
        ("openat:when=+1", None, None, None),
        ("fsync:when=1", ["1", "1", "2"], [], 3),
        ("rename:when=1", ["1", "1", "2"], [], 3),
        ("unlink:when=1", ["1", "2"], ["fspl-1.fspl"], 3),
    ],
)
def test_killed_at_any_step_each_job_runs_in_order_and_none_again_once_counted(
    ours: Program, queue: Path, call: str, runs: list[str] | None, rest: list[str] | None, number: int | None
) -> None:
    if shutil.which("strace") is None:
        pytest.skip("strace is not installed")
    for seq in (1, 2):
        (queue / "jobs" / f"fspl-{seq}.fspl").write_bytes(encode(Packet(seq, 1, 0, Command())))
    run = ["queue-process", "-q", "Q", "sh", "--", "-c", "echo $FSPL_SEQ >> log"]
    name, _, _ = call.partition(":")
    traced = ["strace", "-o", "trace", "-e", f"trace={name}"]
    if runs is None:
        for turn in range(1, 200, 23):
            Program([*traced, "-e", f"inject={name}:signal=KILL:when={turn}", *ours.command], ours.folder)(*run)
            eventually(lambda: ours("queue-get-next", "-q", "Q").rc == 0)
        assert ours(*run).rc == 0
        assert sorted(set((ours.folder / "log").read_text().split())) == ["1", "2"]
        return
    Program([*traced, "-e", f"inject={call.replace(':', ':signal=KILL:')}", *ours.command], ours.folder)(*run)
    eventually(lambda: ours("queue-get-next", "-q", "Q").rc == 0)
    assert ours(*run).rc == 0
    assert (ours.folder / "log").read_text().split() == runs
    assert (jobs(queue), next_number(queue)) == (rest, number)


def test_a_killed_write_leaves_nothing_that_counts_as_a_job(ours: Program, queue: Path) -> None:
    with ours.start("queue-write", "-q", "Q", stdin=subprocess.PIPE) as run:
        assert run.stdin is not None
        run.stdin.write(encode(Packet(1, 1, 0, Command())))
        run.stdin.flush()
        eventually(lambda: os.listdir(queue / "jobs"))
        run.kill()
    assert jobs(queue) == []
    assert ours("queue-ls", "-q", "Q").out.count(b"\n") == 1


@pytest.mark.parametrize("words", [["prepare"], ["prepare-nop"], ["prepare-fail"], ["prepare", "-i", "-"]])
def test_a_packet_that_cannot_be_written_is_an_error_however_small(ours: Program, words: list[str]) -> None:
    with open("/dev/full", "wb") as full:
        done = ours(*words, "-s", "seq", stdin=b"0" * 930, stdout=full)
    assert (done.rc, done.err) == (1, b"Error: No space left on device (os error 28)\n")


def test_a_packet_into_a_closed_stdout_is_an_error(ours: Program) -> None:
    closed = Program(["sh", "-c", 'exec "$@" >&-', "sh", *ours.command], ours.folder)
    assert closed("prepare", "-s", "seq").rc == 1
    assert not (ours.folder / "seq").exists()


@pytest.mark.parametrize(
    "words", [["gen-uuid"], ["queue-ls", "-q", "Q"], ["queue-get-next", "-q", "Q"], ["queue-info", "-q", "Q", "-j", "1"]]
)
def test_output_that_cannot_be_written_is_an_error_and_no_crash(ours: Program, queue: Path, words: list[str]) -> None:
    ours.add("Q")
    with open("/dev/full", "wb") as full:
        assert ours(*words, stdout=full)[::2] == (1, b"Error: No space left on device (os error 28)\n")


def test_a_full_disk_leaves_nothing_that_counts_as_a_job(ours: Program, queue: Path) -> None:
    small = {"preexec_fn": lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))}
    assert ours("queue-write", "-q", "Q", stdin=b"x" * 10_000, **small).rc == 1
    assert jobs(queue) == []


def test_a_fifo_among_the_jobs_does_not_hang_anything(ours: Program, queue: Path) -> None:
    ours.add("Q", payload=b"ran")
    os.mkfifo(queue / "jobs" / "fspl-fifo.fspl")
    os.mkfifo(ours.folder / "fifo")
    (queue / "jobs" / "fspl-link.fspl").symlink_to(ours.folder / "fifo")
    assert ours("queue-ls", "-q", "Q").rc == 0
    assert ours("queue-info", "-q", "Q", "-j", "1").rc == 0
    assert ours("queue-process", "-q", "Q", "cat").out == b"ran"
    assert ours("queue-ls", "-q", "Q", "-d", "cat").rc == 0


def test_a_job_turned_into_a_fifo_during_the_run_stops_it_with_an_error(ours: Program, queue: Path) -> None:
    for seq in (1, 2):
        (queue / "jobs" / f"fspl-{seq}.fspl").write_bytes(encode(Packet(seq, 1, 0, Command())))
    swap = "rm -f Q/jobs/fspl-2.fspl; mkfifo Q/jobs/fspl-2.fspl"
    assert ours("queue-process", "-q", "Q", "sh", "--", "-c", swap).rc == 1
    assert next_number(queue) == 2


@pytest.mark.parametrize("length", [2**24 + 1, 2**31, 2**62])
def test_a_hostile_length_neither_fills_memory_nor_stops_other_jobs(ours: Program, queue: Path, length: int) -> None:
    (queue / "jobs" / "fspl-evil.fspl").write_bytes(enveloped(b"", length=length))
    ours.add("Q", payload=b"ran")
    small = {"preexec_fn": lambda: resource.setrlimit(resource.RLIMIT_AS, (200 << 20, 200 << 20))}
    assert ours("queue-process", "-q", "Q", "cat", **small)[:2] == (0, b"ran")
    assert ours("stdin-info", stdin=enveloped(b"", length=length), **small).rc == 1


@pytest.mark.parametrize(("secs", "nanos"), [(2**62, 0), (-(2**63), 0), (0, 2 * 10**9)])
def test_a_time_no_calendar_has_hides_no_other_job(ours: Program, queue: Path, secs: int, nanos: int) -> None:
    (queue / "jobs" / "fspl-odd.fspl").write_bytes(encode(Packet(2, secs, nanos, Command())))
    (queue / "jobs" / "fspl-good.fspl").write_bytes(encode(Packet(3, 0, 0, Command())))
    listed = ours("queue-ls", "-q", "Q")
    assert listed.rc == 1
    assert listed.out.count(b"fspl-") == 2
    assert listed.err.startswith(b"Error: time out of range")


def test_a_file_nobody_may_read_is_passed_over(ours: Program, queue: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("root may read everything")
    (queue / "jobs" / "fspl-secret.fspl").write_bytes(encode(Packet(1, 1, 0, Command())))
    (queue / "jobs" / "fspl-secret.fspl").chmod(0)
    assert ours("queue-process", "-q", "Q", "true")[:2] == (0, b"")
    assert next_number(queue) == 1


def test_a_folder_nobody_may_write_stops_the_run_after_the_number_has_moved(ours: Program, queue: Path) -> None:
    ours.add("Q", payload=b"ran")
    (queue / "jobs").chmod(0o555)
    drop = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"] if os.geteuid() == 0 else []
    if drop and shutil.which("setpriv") is None:
        pytest.skip("root may write everywhere, and setpriv is not installed")
    for path in (ours.folder, *ours.folder.parents[:2]):
        path.chmod(path.stat().st_mode | 0o055)
    if drop:
        os.chown(queue, 65534, 65534)
        for path in queue.iterdir():
            os.chown(path, 65534, 65534)
    done = Program([*drop, *ours.command], ours.folder)("queue-process", "-q", "Q", "cat")
    (queue / "jobs").chmod(0o755)
    assert done == (1, b"ran", b"Error: Permission denied (os error 13)\n")
    assert (len(jobs(queue)), next_number(queue)) == (1, 2)
