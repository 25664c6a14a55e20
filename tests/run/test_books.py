"""Books of keepers and journals of workers: what is asked for is found, what is not is not kept, however long they are."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import tempfile
import tracemalloc
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from queuectl import files
from queuectl.clock import process_start
from queuectl.lifecycle import a_job
from queuectl.model import Options
from queuectl.run import journal
from queuectl.run.books import KeeperBooks, forget_old
from queuectl.run.ends import End, EndsBook, EndsRead, path_of
from queuectl.run.journal import Trace
from queuectl.run.running import Run


def test_what_began_earlier_is_not_kept_until_it_is_asked_for(tmp_path: Path) -> None:
    book = EndsBook(path_of(str(tmp_path), (1, 1)))
    for n in range(1000):
        book.note(n, n, End(n % 7, 5, 0, 0, 0))
    books = KeeperBooks(str(tmp_path), since=990)
    books.refresh()
    assert len(books._ends) == 10
    assert books.complete(Trace(1, 1, 995, 995)).status == 995 % 7
    assert books.complete(Trace(1, 1, 500, 500)).status is None
    books.want(Trace(1, 1, 500, 500))  # an older run was adopted: what was passed over is read after all
    books.refresh()
    assert books.complete(Trace(1, 1, 500, 500)).status == 500 % 7
    assert len(books._ends) == 11


def test_an_old_book_is_removed_unless_its_keeper_lives_in_whatever_container(tmp_path: Path) -> None:
    elsewhere, gone = path_of(str(tmp_path), (1 << 22, 1)), path_of(str(tmp_path), (1 << 22, 2))  # no process has such a number
    keeper = EndsBook(elsewhere)
    for path in (elsewhere, gone):
        Path(path).touch()
        os.utime(path, (1, 1))
    forget_old(str(tmp_path))
    assert os.listdir(tmp_path) == [os.path.basename(elsewhere)]
    keeper.remove()


def test_a_worker_that_adopts_now_and_then_keeps_nothing_of_what_it_has_learned(tmp_path: Path) -> None:
    book, books = EndsBook(path_of(str(tmp_path), (1, 1))), KeeperBooks(str(tmp_path))
    for n in range(100):
        run = Run(a_job(), Trace(1, 1, 1 << 22 | n, 1), b"0:1:1", Options(), 0)  # no process has such a number
        run.child = False
        books.want(run.trace)
        book.note(run.trace.pid, 1, End(n << 8, 5, 0, 0, 0))
        book.note(n + 1, 1, End(0, 5, 0, 0, 0))  # what some job has left behind
        assert books.learn_end(run) and run.trace.status == n << 8
        assert not books._ends and not books._wanted


KEEPER = """
import os, sys
from queuectl.run.keeper import Keeper
keeper = Keeper([sys.argv[1], "1", "", "", "1"])
for session, program in ((True, "exit 127"), (False, "exit 7"), (True, "")):
    pid = os.fork()
    if pid == 0:
        if session:
            os.setsid()
        if program:
            os.execv("/bin/sh", ["sh", "-c", program])
        os._exit(127)
    print(pid, flush=True)
    keeper.keep(os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT))
"""


def test_only_leaders_of_sessions_that_ran_a_program_are_noted_as_each_job_is_one(tmp_path: Path) -> None:
    database = tmp_path / "q.db"
    os.mkdir(f"{database}.run", 0o700)
    process = subprocess.Popen([sys.executable, "-c", KEEPER, str(database)], stdout=subprocess.PIPE, text=True)
    start = process_start(process.pid)
    told, _ = process.communicate(timeout=30)
    assert process.returncode == 0
    leader, _, _ = map(int, told.split())
    [(pid, _)] = EndsRead(path_of(f"{database}.run", (process.pid, start))).news()
    assert pid == leader


def test_of_a_long_journal_only_what_is_open_or_asked_for_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "worker-1.journal"
    path.write_text(
        "K 40 41\n"
        + "".join([f"S {n} 1 5 9 0 0\nP {n} 1 {n} 9 5 0\nE {n} 1 256 8 0 0\nE {n} 1 256 8 3 4\n" for n in range(1000, 6000)])
        + "S 7 1 5 9 0 0\nP 7 1 77 9 5 0\nS 8 1 5 9 0 0\nN 8 1\nC 9 1 5 0\nA 9 1 2000 8 0 0 0 0\nC 10 2 5 0\nS 11 1 5 9 0 0\nP 12 1"
    )
    journal.read(str(path))  # what a hundred traces make once is there
    tracemalloc.start()
    book = journal.read(str(path), {(4000, 1), (9, 1)})
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert book.keeper == (40, 41)
    assert sorted(book.traces) == [(7, 1), (9, 1), (10, 2), (11, 1), (4000, 1)]
    assert (book.traces[7, 1].pid, book.traces[9, 1].said, book.traces[10, 2].sent, book.traces[11, 1].pid) == (77, 2000, 1, 0)
    assert (book.traces[4000, 1].status, book.traces[4000, 1].cpu_us) == (256, 3)
    assert peak < 300_000, f"{path.stat().st_size} bytes were read with {peak} of memory"
    assert len(journal.read(str(path)).traces) == 5005
    assert sorted(journal.read(str(path), ()).traces) == [(7, 1), (10, 2), (11, 1)]


class Growing(io.RawIOBase):
    """A file that is written while it is read."""

    def __init__(self, *pieces: bytes) -> None:
        self._pieces = list(pieces)

    def readable(self) -> bool:
        return True

    def readinto(self, into: Any) -> int:
        piece = self._pieces.pop(0) if self._pieces else b""
        into[: len(piece)] = piece
        return len(piece)


def test_a_line_that_is_torn_where_it_is_read_is_left_for_the_next_look() -> None:
    file = io.BufferedReader(Growing(b"1 2 3\n4711 9", b"", b"0 256 5\n7 8 9\n"))
    assert list(files.whole_lines(file)) == [b"1 2 3\n"]


NUMBERS = {"S": 4, "N": 0, "P": 4, "T": 1, "E": 4, "C": 2, "A": 6}
LINES = st.sampled_from(sorted(NUMBERS)).flatmap(
    lambda letter: st.tuples(st.just(letter), st.integers(1, 4), st.integers(1, 2), *[st.integers(0, 3)] * NUMBERS[letter])
)


@given(st.lists(LINES, max_size=40), st.sets(st.tuples(st.integers(1, 4), st.integers(1, 2))))
def test_what_is_asked_for_is_read_as_if_all_were_kept(lines: list[tuple[Any, ...]], wanted: set[tuple[int, int]]) -> None:
    with tempfile.NamedTemporaryFile("w") as file:
        file.writelines(" ".join(map(str, line)) + "\n" for line in lines)
        file.flush()
        whole, some = journal.read(file.name).traces, journal.read(file.name, wanted).traces
    assert {key: trace for key, trace in some.items() if key in wanted} == {
        key: trace for key, trace in whole.items() if key in wanted
    }
    assert {key for key in some if key not in wanted} <= set(whole)
