"""Running jobs: what the command gets, how it may end, and what then becomes of the job."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from queuectl.packet import Command, Fail, Packet, encode

from .conftest import Program, eventually, jobs, next_number

SHOW = ["sh", "--", "-c"]


def put(queue: Path, seq: int, *params: bytes, env: tuple[tuple[bytes, bytes], ...] = (), payload: bytes = b"") -> None:
    (queue / "jobs" / f"fspl-{seq}.fspl").write_bytes(encode(Packet(seq, seq, 0, Command(params, env))) + payload)


@pytest.mark.parametrize(
    ("on_error", "rc", "ran", "left", "number"),
    [("retry", 1, "12", [2, 3], 2), ("delete", 0, "123", [], 4), ("leave", 0, "123", [2], 4)],
)
def test_a_failure_does_what_on_error_says(
    ours: Program, queue: Path, on_error: str, rc: int, ran: str, left: list[int], number: int
) -> None:
    for seq in (1, 2, 3):
        put(queue, seq)
    done = ours("queue-process", "-q", "Q", "--on-error", on_error, *SHOW, "printf $FSPL_SEQ; test $FSPL_SEQ != 2")
    assert (done.rc, done.out) == (rc, ran.encode())
    assert (jobs(queue), next_number(queue)) == ([f"fspl-{seq}.fspl" for seq in left], number)


def test_jobs_that_arrive_during_a_run_wait_for_the_next(ours: Program, queue: Path) -> None:
    put(queue, 1)
    later = encode(Packet(2, 1, 0, Command())).hex()
    add = f"import sys; open('Q/jobs/fspl-2.fspl', 'wb').write(bytes.fromhex('{later}'))"
    assert ours("queue-process", "-q", "Q", sys.executable, "--", "-c", add).rc == 0
    assert (jobs(queue), next_number(queue)) == (["fspl-2.fspl"], 2)


def test_stdin_is_the_job_file_itself_at_its_payload(ours: Program, queue: Path) -> None:
    put(queue, 1, payload=b"the payload")
    look = (
        "import os, fcntl; at = os.lseek(0, 0, os.SEEK_CUR); text = os.read(0, 99); os.lseek(0, 0, os.SEEK_SET);"
        "print(at, text.decode(), os.read(0, 12).decode(), os.readlink('/proc/self/fd/0').rpartition('/')[2],"
        "fcntl.fcntl(0, fcntl.F_GETFL) & os.O_NONBLOCK)"
    )
    out = ours("queue-process", "-q", "Q", sys.executable, "--", "-c", look).out
    assert out == b"%d the payload *FILESPOOLER fspl-1.fspl 0\n" % len(encode(Packet(1, 1, 0, Command())))


def test_stdin_process_takes_the_header_and_not_a_byte_more(ours: Program) -> None:
    reading, writing = os.pipe()
    os.write(writing, encode(Packet(1, 1, 0, Command((b"p",)))) + b"for the command\nfor the next reader\n")
    os.close(writing)
    head = ["sh", "--", "-c", "read line; echo got $line"]
    done = ours("stdin-process", *head, stdin_from=reading)
    assert (done.rc, done.out) == (0, b"got for the command\n")
    assert os.read(reading, 99) == b"for the next reader\n"
    os.close(reading)


def test_the_command_inherits_what_it_should_and_no_lock(ours: Program, queue: Path) -> None:
    put(queue, 1)
    look = "pwd; umask; cut -d' ' -f5 /proc/self/stat; grep SigIgn /proc/self/status; ls -l /proc/$$/fd | sed 's/.* -> //'"
    with (
        open(ours.folder / "passed", "w") as passed,
        ours.start("queue-process", "-q", "Q", *SHOW, look, umask=0o037, pass_fds=[passed.fileno()], start_new_session=True) as run,
    ):
        lines = run.communicate()[0].decode().splitlines()
    assert lines[:3] == [str(ours.folder), "0037", str(run.pid)]
    assert int(lines[3].split()[1], 16) & 0x7FFFFFFF == 0
    assert any(line.endswith("/passed") for line in lines)
    assert not any("nextseq" in line for line in lines)


def test_a_pipe_that_breaks_kills_the_command_as_usual(ours: Program, queue: Path) -> None:
    put(queue, 1)
    done = ours("queue-process", "-q", "Q", "bash", "--", "-c", "yes | head -n 1; echo ${PIPESTATUS[0]}")
    assert done.out == b"y\n%d\n" % (128 + signal.SIGPIPE)


def test_the_interpreter_adds_nothing_to_the_environment(ours: Program, queue: Path) -> None:
    put(queue, 1)
    del ours.env["LC_ALL"]
    names = {line.partition(b"=")[0] for line in ours("queue-process", "-q", "Q", "env").out.splitlines()}
    told = {b"FSPL_SEQ", b"FSPL_CTIME_SECS", b"FSPL_CTIME_NANOS", b"FSPL_CTIME_RFC3339_UTC", b"FSPL_CTIME_RFC3339_LOCAL"}
    told |= {b"FSPL_JOB_FILENAME", b"FSPL_JOB_QUEUEDIR", b"FSPL_JOB_FULLPATH"}
    assert names == told | {name.encode() for name in ours.env}


def test_a_packet_cannot_set_what_it_likes(ours: Program, queue: Path) -> None:
    put(queue, 1, b"own", env=((b"PATH", b"/evil"), (b"A", b"old"), (b"A", b"new"), (b"x=y", b"z")))
    done = ours("queue-process", "-q", "Q", *SHOW, 'echo "[$@]" $FSPL_PARAM_1; env | grep ^FSPL_SET', "sh")
    assert done.out.splitlines() == [b"[] own", b"FSPL_SET_A=new", b"FSPL_SET_PATH=/evil", b"FSPL_SET_x=y=z"]
    assert b"--allow-job-params not given" in done.err


def test_parameters_of_a_job_come_last_and_only_when_allowed(ours: Program, queue: Path) -> None:
    put(queue, 1, b"-rf", b"caf\xe9")
    assert ours("queue-process", "-q", "Q", "--allow-job-params", "echo", "--", b"m\xffine").out == b"m\xffine -rf caf\xe9\n"


def test_a_timeout_ends_the_command_and_all_it_started(ours: Program, queue: Path) -> None:
    put(queue, 1)
    script = "sh -c 'echo $$ > grandchild; sleep 600' & sleep 600"
    begun = time.monotonic()
    done = ours("queue-process", "-q", "Q", "--timeout", "1", *SHOW, script)
    assert (done.rc, time.monotonic() - begun < 10) == (1, True)
    assert b"unix_wait_status(9)" in done.err
    pid = int((ours.folder / "grandchild").read_text())
    eventually(lambda: not alive(pid))
    assert (len(jobs(queue)), next_number(queue)) == (1, 1)


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except FileNotFoundError:
        return False


def test_a_timeout_may_be_asked_to_end_the_command_alone(ours: Program, queue: Path) -> None:
    put(queue, 1)
    script = "sh -c 'echo $$ > grandchild; exec sleep 600' >&- 2>&- & until [ -s grandchild ]; do :; done; exec sleep 600"
    ours("queue-process", "-q", "Q", "--timeout", "1", *SHOW, script, env={"QUEUECTL_FSPL_TIMEOUT": "child"})
    pid = int((ours.folder / "grandchild").read_text())
    assert alive(pid)
    os.kill(pid, signal.SIGKILL)


def test_output_can_go_to_a_file_beside_the_job(ours: Program, queue: Path) -> None:
    put(queue, 1)
    (queue / "jobs" / "fspl-2.fspl").write_bytes(encode(Packet(2, 1, 0, Fail())))
    done = ours("queue-process", "-q", "Q", "--output-to", "SaveBoth", *SHOW, "echo out; echo err >&2")
    assert (done.rc, done.out) == (1, b"")
    assert (queue / "jobs" / "fspl-1.fspl.out").read_bytes() == b"out\nerr\n"
    assert (queue / "jobs" / "fspl-2.fspl.out").read_bytes() == b""


POISON = [(b"nul\0",), (b"x" * 200_000,)]


@pytest.mark.parametrize("params", POISON)
def test_a_job_that_can_never_start_stops_the_queue_and_says_how_to_go_on(
    ours: Program, queue: Path, params: tuple[bytes, ...]
) -> None:
    put(queue, 1, *params)
    put(queue, 2)
    done = ours("queue-process", "-q", "Q", "--on-error", "delete", "echo")
    assert (done.rc, done.out, len(jobs(queue)), next_number(queue)) == (1, b"", 2, 1)
    assert b"queue-set-next 2" in done.err


@pytest.mark.parametrize("params", POISON)
def test_a_job_that_can_never_start_may_count_as_failed(ours: Program, queue: Path, params: tuple[bytes, ...]) -> None:
    put(queue, 1, *params)
    put(queue, 2)
    done = ours("queue-process", "-q", "Q", "--on-error", "leave", "echo", "--", "ran", env={"QUEUECTL_FSPL_SPAWN_FAILURE": "job"})
    assert (done.rc, done.out, jobs(queue), next_number(queue)) == (0, b"ran\n", ["fspl-1.fspl"], 3)


def test_a_command_that_is_not_there_never_costs_a_job(ours: Program, queue: Path) -> None:
    put(queue, 1)
    for variant in ({}, {"QUEUECTL_FSPL_SPAWN_FAILURE": "job"}):
        assert ours("queue-process", "-q", "Q", "--on-error", "delete", "no-such-command", env=variant).rc == 1
        assert (len(jobs(queue)), next_number(queue)) == (1, 1)


@pytest.mark.parametrize("way", ["cat new > Q/jobs/fspl-2.fspl", "cp new new2; mv new2 Q/jobs/fspl-2.fspl"])
@pytest.mark.parametrize("age_s", [0, 0.1])
def test_a_job_replaced_during_the_run_runs_as_it_is_now(ours: Program, queue: Path, way: str, age_s: float) -> None:
    put(queue, 1)
    put(queue, 2, b"old", payload=b"old")
    new = encode(Packet(2, 2, 0, Command((b"new",))))
    (ours.folder / "new").write_bytes(new + b"payload")
    time.sleep(age_s)  # an old file is opened ahead of its turn
    script = f'echo $FSPL_SEQ "$@"; cat; sleep {age_s}; test $FSPL_SEQ = 2 || {{ {way}; }}'
    done = ours("queue-process", "-q", "Q", "--allow-job-params", *SHOW, script, "sh")
    assert done.out == b"1\n2 new\npayload"


def test_memory_stays_small_with_a_gibibyte(ours: Program, queue: Path) -> None:
    with open(ours.folder / "big", "wb") as big:
        big.truncate(1 << 30)
    header = encode(Packet(1, 1, 0, Command()))
    with open(queue / "jobs" / "fspl-1.fspl", "wb") as job:
        job.write(header)
        job.truncate(len(header) + (1 << 30))
    for words in (["prepare", "-s", "-", "-i", "big"], ["queue-payload", "-q", "Q", "-j", "1"]):
        with ours.start(*words) as run:
            assert run.stdout is not None
            assert run.stdout.read(1 << 20)
            status = Path(f"/proc/{run.pid}/status").read_text()
            run.stdout.close()
            assert run.wait() == 1  # the pipe broke
        assert int(status.partition("VmHWM:")[2].split()[0]) < 14 * 1024


def test_it_runs_as_a_module_too(ours: Program) -> None:
    source = Path(__file__).resolve().parents[2] / "src"
    done = subprocess.run(
        [sys.executable, "-m", "queuectl.compat.fspl", "gen-filename"],
        env={"PYTHONPATH": str(source)}, capture_output=True, check=True,
    )  # fmt: skip
    assert done.stdout.startswith(b"fspl-") and done.stdout.endswith(b".fspl\n")
