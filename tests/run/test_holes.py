"""A log whose middle was cut out is read as what is there, in exactly one place the cut, and no byte that nobody wrote."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from queuectl import output
from queuectl.run import holes

LIMIT = 400_000


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """Three megabytes of numbered lines behind a header, the middle cut out."""
    path = tmp_path / "1.log"
    path.write_bytes(b"--- header ---\n" + LINES)
    if not holes.cut_middle(str(path), 15, LIMIT):
        pytest.skip("this file system cannot give back the middle of a file: NO cut was read")
    return path


LINES = b"".join(b"%09d\n" % n for n in range(300_000))


def test_head_and_tail_are_exact_and_the_cut_is_told_once(log: Path) -> None:
    shown = b"".join(output.read_range(str(log), 15, None))
    head, _, rest = shown.partition(b"\n[queuectl: ")
    count, _, tail = rest.partition(b" bytes were cut out here]\n")
    assert LINES.startswith(head) and LINES.endswith(tail)
    assert len(head) + int(count) + len(tail) == len(LINES)
    assert b"\0" not in shown


def test_whoever_follows_goes_on_behind_the_cut(log: Path) -> None:
    *_, (at, _) = output.read_pieces(str(log), 15, None)
    assert at == os.path.getsize(log)
    with log.open("ab") as file:
        file.write(b"more\n")
    assert list(output.read_pieces(str(log), at, None)) == [(at + 5, b"more\n")]


def test_a_range_that_ends_within_the_cut_tells_only_its_part_of_it(log: Path) -> None:
    pieces = list(output.read_pieces(str(log), 15, 1_000_000))
    assert pieces[-1][0] == 1_000_000
    told = sum(len(piece) for _, piece in pieces[:-1])
    assert pieces[-1][1] == b"\n[queuectl: %d bytes were cut out here]\n" % (1_000_000 - 15 - told)


def test_a_copy_of_a_cut_log_has_no_byte_that_nobody_wrote(log: Path) -> None:
    from queuectl.store.pg_output import pieces_of

    at, size, copied = 15, os.path.getsize(log), b""
    while at < size:
        pieces = pieces_of(str(log), at, 1_000_000)
        for place, piece in pieces:
            assert (b"--- header ---\n" + LINES)[place : place + len(piece)] == piece
            copied += piece
        at += 1_000_000
    assert 0 < len(copied) < 2 * LIMIT
