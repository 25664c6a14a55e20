"""`queuectl send`: packets into a folder, numbered without gaps whatever happens to the sender."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from .conftest import SOURCE, Program, eventually, jobs, next_number

SEND = "import sys; sys.path.insert(0, {source!r}); {before}; from queuectl.cli import entry; entry()"


@pytest.fixture
def send(tmp_path: Path) -> Program:
    program = Program([sys.executable, "-c", SEND.format(source=str(SOURCE), before="pass"), "send"], tmp_path)
    program.env["XDG_STATE_HOME"] = str(tmp_path / "state")
    return program


def info(ours: Program, number: int) -> dict[str, str]:
    done = ours("queue-info", "-q", "Q", "-j", str(number))
    assert done.rc == 0, done
    return dict(line.partition("=")[::2] for line in done.out.decode().splitlines())


def test_what_is_sent_into_a_queue_is_run_there_in_order(send: Program, ours: Program, queue: Path) -> None:
    for n in (1, 2, 3):
        done = send("Q", "--", f"number {n}", stdin=b"input %d\n" % n, env={"FSPL_SET_N": str(n)})
        assert (done.rc, done.out, done.err) == (0, b"%d\n" % n, b"")
    assert (info(ours, 2)["FSPL_PARAM_1"], info(ours, 2)["FSPL_SET_N"]) == ("number 2", "2")
    done = ours("queue-process", "-q", "Q", "--allow-job-params", "sh", "--", "-c", 'echo "$0"; cat')
    assert done.out == b"number 1\ninput 1\nnumber 2\ninput 2\nnumber 3\ninput 3\n"


def test_a_packet_on_standard_output_is_one_that_prepare_would_have_made(send: Program, ours: Program, queue: Path) -> None:
    done = send("-", "--sequence", "seq", "--", "a", "b", stdin=b"payload")
    assert (done.rc, done.err) == (0, b"")
    same = ours("prepare", "-s", "other", "-i", "-", "--", "a", "b", stdin=b"payload").out
    assert (len(done.out), done.out[:22], done.out[-7:]) == (len(same), same[:22], b"payload")
    assert b"FSPL_PARAM_2=b\n" in ours("stdin-info", stdin=done.out).out
    assert ours("prepare-get-next", "-s", "seq").out == b"2\n"


def test_a_folder_that_is_no_queue_gets_the_packets_itself(send: Program, tmp_path: Path) -> None:
    (tmp_path / "synced").mkdir()
    assert send("synced", "--no-stdin").out == b"1\n"
    [name] = os.listdir(tmp_path / "synced")
    assert name.startswith("fspl-") and name.endswith(".fspl")
    assert (tmp_path / "state/queuectl/send").stat().st_mode & 0o777 == 0o700


def test_each_target_has_numbers_of_its_own(send: Program, tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    assert [send(name).out for name in ("one", "one", "two", "./one")] == [b"1\n", b"2\n", b"1\n", b"3\n"]


def test_a_busy_sequence_is_waited_for(send: Program, ours: Program, queue: Path) -> None:
    lock = os.open(queue.parent / "seq.lock", os.O_RDWR | os.O_CREAT)
    fcntl.flock(lock, fcntl.LOCK_EX)
    waiting = send.start("Q", "--sequence", "seq")
    with pytest.raises(subprocess.TimeoutExpired):
        waiting.wait(0.5)
    assert jobs(queue) == []
    os.close(lock)
    assert waiting.communicate(timeout=20)[0] == b"1\n"


def test_many_senders_at_once_leave_no_gap_and_no_double(send: Program, ours: Program, queue: Path) -> None:
    senders = [send.start("Q", "--sequence", "seq", "--", str(n), stdin=subprocess.DEVNULL) for n in range(12)]
    numbers = sorted(int(sender.communicate(timeout=60)[0]) for sender in senders)
    assert numbers == list(range(1, 13))
    assert ours("queue-process", "-q", "Q", "true").rc == 0
    assert next_number(queue) == 13


def test_a_sender_whose_input_is_cut_uses_up_no_number(send: Program, ours: Program, queue: Path) -> None:
    sender = send.start("Q", "--sequence", "seq", stdin=subprocess.PIPE)
    eventually(lambda: os.listdir(queue / "jobs"))
    sender.send_signal(signal.SIGINT)
    sender.communicate(timeout=20)
    assert sender.returncode not in (0, 1)
    assert send("Q", "--sequence", "seq").out == b"1\n"
    assert len(jobs(queue)) == 1
    assert len(os.listdir(queue / "jobs")) == 1


@pytest.mark.parametrize("call", ["os.rename", "os.fsync", "os.pwrite"])
@pytest.mark.wide
def test_a_sender_killed_at_any_step_leaves_every_number_once(send: Program, ours: Program, queue: Path, call: str) -> None:
    """Killed before and after each of its system calls; the next sender puts in order what is left."""
    for step in range(5):
        for after in (False, True):
            before = f"import killing; killing.at('{call}', {step}, {after})"
            (queue.parent / "killing.py").write_text(KILLING)
            program = [sys.executable, "-c", SEND.format(source=str(SOURCE), before=before), "send"]
            Program(program, queue.parent)("Q", "--sequence", "seq", env={"PYTHONPATH": str(queue.parent)})
            assert send("Q", "--sequence", "seq").rc == 0
    sent = int(ours("prepare-get-next", "-s", "seq").out) - 1
    assert 10 <= sent <= 20
    assert len(jobs(queue)) == sent
    assert ours("queue-process", "-q", "Q", "true").rc == 0
    assert next_number(queue) == sent + 1


KILLING = """
import os, signal

def at(call, step, after):
    name = call.partition(".")[2]
    real, seen = getattr(os, name), [0]
    def fake(*args):
        seen[0] += 1
        if seen[0] == step + 1 and not after:
            os.kill(os.getpid(), signal.SIGKILL)
        found = real(*args)
        if seen[0] == step + 1:
            os.kill(os.getpid(), signal.SIGKILL)
        return found
    setattr(os, name, fake)
"""


def test_a_target_that_is_no_folder_is_refused(send: Program) -> None:
    done = send("nowhere")
    assert (done.rc, done.out) == (2, b"")
    assert b"nowhere is not a folder" in done.err


def test_a_sequence_that_is_no_number_is_refused_and_left_alone(send: Program, queue: Path) -> None:
    (queue.parent / "seq").write_text("tomorrow\n")
    done = send("Q", "--sequence", "seq")
    assert (done.rc, done.out) == (1, b"")
    assert b"prepare-set-next" in done.err
    assert (queue.parent / "seq").read_text() == "tomorrow\n"
    assert os.listdir(queue / "jobs") == []
