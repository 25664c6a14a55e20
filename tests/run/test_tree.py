"""A look at the system sees what may belong to a run, and nothing that was there before it."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator

import pytest

from queuectl import clock
from queuectl.run.tree import ProcessTable


@pytest.fixture
def leader() -> Iterator[subprocess.Popen[bytes]]:
    """The leader of a session, with a child."""
    argv = ["sh", "-c", "sleep 60 & echo; wait"]
    with subprocess.Popen(argv, start_new_session=True, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        yield process
        os.killpg(process.pid, 9)


def test_a_look_sees_what_began_with_a_run_or_later(leader: subprocess.Popen[bytes]) -> None:
    start = clock.process_start(leader.pid)
    for since in (0, start):
        assert len(ProcessTable(since).members(leader.pid, start, b"c0ffee:1:1")) == 2
    assert os.getpid() in ProcessTable(0).rows
    assert os.getpid() not in ProcessTable(start).rows, "it was there before"
    later = clock.boot_ticks() + 1000
    assert ProcessTable(later).rows == {}
    assert ProcessTable(later).members(leader.pid, start, b"c0ffee:1:1") == []


def test_a_leader_whose_number_was_given_away_is_not_one(leader: subprocess.Popen[bytes]) -> None:
    start = clock.process_start(leader.pid)
    assert ProcessTable(0).members(leader.pid, start - 1, b"c0ffee:1:1") == []
