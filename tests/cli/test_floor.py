"""A floor of free space: below it no new job starts, which is said wherever one looks; above it all goes on."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from .conftest import Queuectl
from .test_store import small_disk as small_disk

pytestmark = pytest.mark.wide

NO_DISK_HAS = "1000T"
SLOW_POLL_S = 5.0


class Said:
    """A worker in the foreground, and what it has said."""

    def __init__(self, queue: Queuectl, *words: str) -> None:
        self._path = queue.folder / "said"
        with self._path.open("wb") as said:
            self.process = queue.start("worker", "start", *words, stdout=subprocess.DEVNULL, stderr=said)

    def __contains__(self, words: str) -> bool:
        return words in self._path.read_text()


def warnings(queue: Queuectl) -> list[str]:
    found: list[str] = queue.json("status")["warnings"]
    return found


@pytest.fixture
def waiting(queue: Queuectl) -> Queuectl:
    """A worker that has seen how little space is left, and a job that was added then."""
    queue.ok("config", "set", "min_free", NO_DISK_HAS)
    worker = Said(queue)
    queue.until(lambda: "no new job starts" in worker)
    queue.ok("enqueue", "--id", "x", "--command", "echo ran")
    return queue


def test_below_the_floor_a_job_waits_and_status_says_why(waiting: Queuectl) -> None:
    time.sleep(1)  # it would have started within a hundredth of that
    assert waiting.states() == {"x": "pending"}
    [why] = warnings(waiting)
    assert "nearly full" in why and "less than the 1000000000.0 of min_free; no new job starts" in why
    assert "nearly full" in waiting.ok("explain", "x")
    assert "warning: the disk of " in (shown := waiting.ok("status")) and "no new job starts" in shown


def test_above_the_floor_again_it_starts_within_the_slow_poll(waiting: Queuectl) -> None:
    waiting.ok("config", "unset", "min_free")
    assert warnings(waiting) == []
    waiting.until(lambda: waiting.states() == {"x": "completed"}, patience_s=2 * SLOW_POLL_S + 5)


def test_what_runs_already_runs_on_below_the_floor(queue: Queuectl) -> None:
    worker = Said(queue)
    queue.ok("enqueue", "--id", "long", "--command", "until test -e over; do sleep 0.1; done")
    queue.until(lambda: queue.states() == {"long": "processing"})
    queue.ok("config", "set", "min_free", NO_DISK_HAS)
    queue.until(lambda: "no new job starts" in worker)
    assert queue.states() == {"long": "processing"}
    queue.file("over")
    queue.until(lambda: queue.states() == {"long": "completed"})


@pytest.mark.engine("sqlite")  # of a server's queue the folder is this machine's state
def test_on_a_small_disk_the_built_in_floor_is_low_and_one_that_is_set_is_not(
    small_disk: Path, open_queue: Callable[..., Queuectl]
) -> None:
    """Of four megabytes a twentieth is enough, unless somebody says otherwise."""
    queue = open_queue(env={"QUEUECTL_DB_PATH": str(small_disk / "queuectl.db")})
    assert queue.ok("config", "get", "min_free") == "auto\n"
    queue.ok("enqueue", "--command", "true")
    queue.drain()
    assert queue.states() == {"1": "completed"} and warnings(queue) == []
    queue.ok("config", "set", "min_free", "100M")
    assert "less than the 100.0 of min_free" in warnings(queue)[0]
    queue.ok("config", "set", "min_free", "auto")
    assert warnings(queue) == []


@pytest.mark.engine("sqlite")
def test_a_floor_is_a_size_or_auto(queue: Queuectl) -> None:
    assert queue.ok("config", "set", "min-free", "2G") == "min_free = 2000000000\n"
    for wrong in ("-1", "little", "Auto", ""):
        done = queue("config", "set", "min_free", wrong)
        assert done.rc == 2 and "min_free" in done.err
    assert queue.ok("config", "get", "min_free") == "2000000000\n"


def test_a_worker_that_starts_below_the_floor_starts_nothing(queue: Queuectl) -> None:
    queue.ok("config", "set", "min_free", NO_DISK_HAS)
    queue.ok("enqueue", "--id", "x", "--command", "echo ran")
    worker = Said(queue)
    queue.until(lambda: "worker 1 runs" in worker)
    time.sleep(1)
    assert queue.states() == {"x": "pending"}
    assert "no new job starts" in worker
