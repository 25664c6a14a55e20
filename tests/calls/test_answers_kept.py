"""Where answers are kept: small ones in the store until somebody reads them, all others in their file at once."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from queuectl.model import Call, Query
from queuectl.queue import Queue
from queuectl.run import journal

from .conftest import CallerProcess, Target, log_of, until

Make = Callable[..., None]


def rows(queue: Queue) -> list[tuple[int, int]]:
    return [(int(job), int(size)) for job, size in queue.store.run("select job, size from output order by job")]


def files(queue: Queue) -> list[str]:
    return sorted(os.listdir(queue.place.logs))


def test_a_small_answer_is_a_file_once_somebody_reads_it(queue: Queue, target: Target, make_calls: Make) -> None:
    job = queue.add(Call(target.url + "/ok?1"))
    make_calls()
    assert files(queue) == []
    [attempt] = queue.attempts(job)
    text = log_of(queue, job)
    assert text.startswith("HTTP/1.1 200 OK\r\n") and text.endswith("\r\n\r\nhello 1")
    assert files(queue) == [f"{job.id}.log"]
    content = Path(queue.place.logs, f"{job.id}.log").read_bytes()
    assert content[attempt.log_start : attempt.log_end] == text.encode()
    assert rows(queue) == [(job.number, len(content))]
    assert os.stat(queue.log_path(job)).st_mode & 0o777 == 0o600


@pytest.mark.parametrize("path", ["/endless", "/drip"])
def test_one_that_is_large_or_comes_in_pieces_is_in_its_file_at_once(
    queue: Queue, target: Target, make_calls: Make, path: str
) -> None:
    queue.settings.set("call_max_output", "10000")
    job = queue.add(Call(target.url + path), timeout=1, max_retries=0)
    make_calls()
    assert (files(queue), rows(queue)) == ([f"{job.id}.log"], [])


def test_a_later_run_is_written_behind_it(queue: Queue, target: Target, make_calls: Make) -> None:
    queue.settings.set("backoff_base", "0")
    job = queue.add(Call(target.url + "/once?after=0"), max_retries=1)
    make_calls(lambda: queue.get(job.id).ended)
    first, second = (b"".join(queue.logs(job.id, run)) for run in (1, 2))
    assert first.startswith(b"HTTP/1.1 503 ") and second.startswith(b"HTTP/1.1 200 ")
    assert b"HTTP" not in first[5:] and b"HTTP" not in second[5:]
    content = Path(queue.log_path(job)).read_bytes()
    assert content.index(b"--- run 1") < content.index(first) < content.index(b"--- run 2") < content.index(second)


def test_it_goes_with_its_job(queue: Queue, target: Target, make_calls: Make) -> None:
    for n in range(3):
        queue.add(Call(target.url + f"/ok?{n}"))
    make_calls()
    assert len(rows(queue)) == 3
    queue.prune(Query(states=("completed",)))
    assert rows(queue) == []


def test_what_is_in_the_journal_alone_is_kept_when_its_caller_is_killed(
    queue: Queue, target: Target, start_caller: Callable[..., CallerProcess]
) -> None:
    target.may_answer.clear()
    job = queue.add(Call(target.url + "/gate", method="POST"))
    caller = start_caller()
    until(lambda: queue.get(job.id).stage == "running" and target.now)
    caller.kill()
    [row] = queue.store.workers()
    log = b"--- run 1 ---\nHTTP/1.1 200 OK\r\n\r\nyes \xff\x00\n"
    with open(journal.journal_path(queue.place.run, row.id), "a", encoding="ascii") as file:
        file.write(f"O {job.number} 1 {log.hex()}\nA {job.number} 1 0 9 0 0 14 {len(log)}\n")
    start_caller()
    until(lambda: queue.get(job.id).ended)
    assert queue.get(job.id).state == "completed"
    assert b"".join(queue.logs(job.id)) == log[14:]
    assert len(target.seen) == 1


def test_a_file_that_stands_in_its_place_is_put_right(queue: Queue, target: Target, make_calls: Make) -> None:
    """As after a backup was restored: job numbers come again."""
    job = queue.add(Call(target.url + "/ok"))
    make_calls()
    Path(queue.place.logs, f"{job.id}.log").write_bytes(b"of another job with this number" * 3)
    assert log_of(queue, job).startswith("HTTP/1.1 200 OK\r\n")
