"""Sequence files and their locks, shared with the original."""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import stat
import subprocess
from pathlib import Path

import pytest

from queuectl.packet import decode

from .conftest import PATIENCE_S, Program, eventually, jobs, next_number, tree

LOCKED = b"Error: Resource temporarily unavailable (os error 11)\n"
NEEDING_THE_LOCK = [["queue-get-next"], ["queue-set-next", "7"], ["queue-process", "true"]]


@pytest.mark.parametrize("how", [fcntl.LOCK_EX, fcntl.LOCK_SH])
@pytest.mark.parametrize("words", NEEDING_THE_LOCK)
def test_a_lock_held_by_anybody_is_respected_at_once(ours: Program, queue: Path, how: int, words: list[str]) -> None:
    with open(queue / "nextseq.lock") as lock:
        fcntl.flock(lock, how)
        done = ours(words[0], "-q", "Q", *words[1:])
    assert (done.rc, done.out, done.err) == (1, b"", LOCKED)
    assert next_number(queue) == 1


@pytest.mark.parametrize("holder", ["ours", "real"])
def test_while_one_program_runs_a_queue_the_other_stays_out(ours: Program, real: Program, queue: Path, holder: str) -> None:
    first, second = (ours, real) if holder == "ours" else (real, ours)
    first.add("Q")
    wait = "echo begun; until [ -e go ]; do sleep 0.02; done"
    with first.start("queue-process", "-q", "Q", "sh", "--", "-c", wait) as run:
        assert run.stdout is not None
        assert run.stdout.readline() == b"begun\n"
        for words in NEEDING_THE_LOCK:
            assert second(words[0], "-q", "Q", *words[1:]).rc == 1
        assert second("queue-ls", "-q", "Q").rc == 0
        (ours.folder / "go").touch()
    assert run.returncode == 0
    assert second("queue-get-next", "-q", "Q").out == b"2\n"


@pytest.mark.parametrize("verb", ["prepare", "prepare-nop", "prepare-get-next"])
def test_a_locked_sequence_file_gives_no_number(ours: Program, verb: str) -> None:
    with open(ours.folder / "seq.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert ours(verb, "-s", "seq") == (1, b"", LOCKED)
    assert not (ours.folder / "seq").exists()


def test_fifty_at_once_never_share_a_number_and_none_is_lost(ours: Program, real: Program) -> None:
    started = [(ours, real)[turn % 2].start("prepare", "-s", "seq") for turn in range(50)]
    outs = [(run.communicate(timeout=PATIENCE_S)[0], run.returncode) for run in started]
    made = [decode(out)[0] for out, rc in outs if rc == 0]
    numbers = sorted(packet.seq for packet in made)
    assert numbers == list(range(1, len(made) + 1))
    assert int((ours.folder / "seq").read_text()) == len(made) + 1
    assert all(out == b"" for out, rc in outs if rc != 0)


def test_packets_are_dated_in_the_order_of_their_numbers(ours: Program) -> None:
    started = [ours.start("prepare", "-s", "seq") for _ in range(12)]
    outs = [run.communicate(timeout=PATIENCE_S)[0] for run in started]
    made = sorted((packet.seq, packet.secs, packet.nanos) for packet, _ in (decode(out) for out in outs if out))
    assert [(secs, nanos) for _, secs, nanos in made] == sorted((secs, nanos) for _, secs, nanos in made)


def test_the_lock_is_free_while_the_payload_is_read(ours: Program, real: Program) -> None:
    with ours.start("prepare", "-s", "seq", "-i", "-", stdin=subprocess.PIPE) as run:
        eventually(lambda: (ours.folder / "seq").exists() and (ours.folder / "seq").read_text() == "2\n")
        eventually(lambda: real("prepare-get-next", "-s", "seq").rc == 0)
        run.communicate(b"late")
    assert run.returncode == 0


def test_a_lock_file_is_made_by_prepare_stays_empty_and_is_never_removed(ours: Program) -> None:
    assert ours("prepare", "-s", "seq", umask=0o027).rc == 0
    assert ours("prepare-set-next", "-s", "seq", "9", umask=0o027).rc == 0
    lock = (ours.folder / "seq.lock").stat()
    assert (stat.S_IMODE(lock.st_mode), lock.st_size) == (0o640, 0)


@pytest.mark.parametrize("words", NEEDING_THE_LOCK)
def test_queue_commands_never_make_a_lock_file(ours: Program, queue: Path, words: list[str]) -> None:
    (queue / "nextseq.lock").unlink()
    before = tree(queue)
    done = ours(words[0], "-q", "Q", *words[1:])
    assert done.rc == 1
    assert b"append-only" in done.err
    assert tree(queue) == before


def test_a_dash_as_sequence_file_touches_nothing(ours: Program) -> None:
    for verb in ("prepare", "prepare-nop", "prepare-fail"):
        assert decode(ours(verb, "-s", "-").out)[0].seq == 1
    assert os.listdir(ours.folder) == []


def test_a_number_is_used_up_even_if_the_input_cannot_be_opened(ours: Program) -> None:
    assert ours("prepare", "-s", "seq", "-i", "missing").rc == 1
    assert (ours.folder / "seq").read_text() == "2\n"


def test_after_the_last_number_comes_zero(ours: Program, queue: Path) -> None:
    (queue / "nextseq").write_text(f"{2**64 - 1}\n")
    (ours.folder / "seq").write_text(f"{2**64 - 1}\n")
    ours.add("Q", payload=b"last\n")
    ours.add("Q", payload=b"zero\n")
    assert ours("queue-process", "-q", "Q", "cat").out == b"last\nzero\n"
    assert next_number(queue) == 1


@pytest.mark.parametrize("command", [["prepare", "-s", "seq"], ["queue-write", "-q", "Q"], ["queue-process", "-q", "Q", "true"]])
def test_what_is_renamed_into_place_is_on_disk_before(ours: Program, queue: Path, command: list[str]) -> None:
    if shutil.which("strace") is None:
        pytest.skip("strace is not installed")
    ours.add("Q", seqfile="other")
    traced = Program(["strace", "-f", "-e", "trace=fsync,rename", "-o", "trace", *ours.command], ours.folder)
    assert traced(*command, stdin=b"x").rc == 0
    # A call during which another thread made one ends on a line of its own: `<... fsync resumed>) = 0`.
    calls = re.findall(r"(?m)(fsync|rename)\b.*= 0$", (ours.folder / "trace").read_text())
    assert calls[:2] == ["fsync", "rename"]


def test_get_next_of_a_missing_number_makes_it_one(ours: Program, queue: Path) -> None:
    (queue / "nextseq").unlink()
    assert ours("queue-get-next", "-q", "Q").out == b"1\n"
    assert (queue / "nextseq").read_text() == "1\n"
    assert jobs(queue) == []
