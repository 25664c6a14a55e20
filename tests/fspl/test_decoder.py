"""Decoders: jobs stored compressed or encrypted."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from queuectl.packet import Command, Packet, encode

from .conftest import Program, eventually, jobs, next_number

WHOLE = b"a whole payload\n" * 20_000


def put(queue: Path, seq: int, payload: bytes = b"", cut: int = 0) -> None:
    packed = gzip.compress(encode(Packet(seq, seq, 0, Command((b"p",)))) + payload, 0)
    (queue / "jobs" / f"fspl-{seq}.fspl").write_bytes(packed[: len(packed) - cut])


def test_a_decoder_stands_between_the_file_and_everything(ours: Program, queue: Path) -> None:
    put(queue, 1, b"zipped\n")
    assert b"\n1 " in ours("queue-ls", "-q", "Q", "-d", "zcat").out
    assert b"FSPL_PARAM_1=p\n" in ours("queue-info", "-q", "Q", "-j", "1", "-d", "zcat").out
    assert ours("queue-payload", "-q", "Q", "-j", "1", "-d", "zcat").out == b"zipped\n"
    assert ours("queue-process", "-q", "Q", "-d", "zcat", "cat").out == b"zipped\n"
    assert (jobs(queue), next_number(queue)) == ([], 2)


def test_ours_and_the_original_decode_alike(ours: Program, real: Program, queue: Path) -> None:
    put(queue, 1, WHOLE)
    for words in (["queue-ls"], ["queue-info", "-j", "1"], ["queue-payload", "-j", "1"]):
        assert ours(*words, "-q", "Q", "-d", "zcat") == real(*words, "-q", "Q", "-d", "zcat")


def test_a_decoder_that_fails_in_the_payload_fails_the_job(ours: Program, queue: Path) -> None:
    put(queue, 1, WHOLE, cut=1000)
    done = ours("queue-process", "-q", "Q", "-d", "zcat", "wc", "--", "-c")
    assert done.rc == 1
    assert b"the payload may be incomplete" in done.err
    assert (len(jobs(queue)), next_number(queue)) == (1, 1)
    assert ours("queue-payload", "-q", "Q", "-j", "1", "-d", "zcat").rc == 1


def test_a_script_may_ask_to_ignore_how_a_decoder_ends(ours: Program, queue: Path) -> None:
    put(queue, 1, WHOLE, cut=1000)
    env = {"QUEUECTL_FSPL_DECODER_STATUS": "ignore"}
    assert ours("queue-payload", "-q", "Q", "-j", "1", "-d", "zcat", env=env).rc == 0
    assert ours("queue-process", "-q", "Q", "-d", "zcat", "wc", "--", "-c", env=env).rc == 0
    assert jobs(queue) == []


@pytest.mark.parametrize("command", [["true"], ["head", "--", "-c", "5"]])
def test_a_command_that_does_not_want_the_rest_is_no_failure_of_the_decoder(ours: Program, queue: Path, command: list[str]) -> None:
    put(queue, 1, WHOLE)
    assert ours("queue-process", "-q", "Q", "-d", "zcat", *command).rc == 0
    assert jobs(queue) == []


@pytest.mark.parametrize("decoder", ["exit 3", "no-such-command", "cat", "kill -9 $$"])
def test_a_broken_decoder_makes_a_job_unreadable_and_no_more(ours: Program, queue: Path, decoder: str) -> None:
    put(queue, 1)
    assert ours("queue-ls", "-q", "Q", "-d", decoder).out.count(b"\n") == 1
    assert ours("queue-process", "-q", "Q", "-d", decoder, "true").rc == 0
    assert (len(jobs(queue)), next_number(queue)) == (1, 1)


def test_no_part_of_a_decoder_is_left_over(ours: Program, queue: Path) -> None:
    put(queue, 1)
    script = "echo $$ >> pids; zcat | (sh -c 'echo $PPID >> pids'; cat; exec sleep 600)"
    assert ours("queue-ls", "-q", "Q", "-d", script).out.count(b"\n") == 2
    assert ours("queue-process", "-q", "Q", "-d", script, "true").rc == 0
    pids = [int(line) for line in (ours.folder / "pids").read_text().split()]
    assert len(pids) >= 4
    eventually(lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids))


def test_a_shell_that_is_not_there_makes_jobs_unreadable(ours: Program, queue: Path) -> None:
    put(queue, 1)
    assert ours("queue-ls", "-q", "Q", "-d", "zcat", env={"SHELL": "/no/shell"})[:2] == ours("queue-ls", "-q", "Q")[:2]
