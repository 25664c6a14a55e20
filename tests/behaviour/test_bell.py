"""The bell wakes who listens, and touches nothing else."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from queuectl import bell

from .harness import Place


@pytest.mark.parametrize("name", [bell.WORK, bell.DONE])
def test_each_listener_of_a_bell_hears_it(tmp_path: Path, name: str) -> None:
    folder, another = str(tmp_path), {"work": "done", "done": "work"}[name]
    with bell.Listener(folder, name) as one, bell.Listener(folder, name) as two, bell.Listener(folder, another) as other:
        assert bell.ring(folder, name) == 2
        assert (one.wait(1), two.wait(1), other.wait(0.01)) == (True, True, False)
        assert not one.drain()


def test_ringing_writes_to_no_file_that_is_no_listener(tmp_path: Path) -> None:
    for name in ("worker-1.journal", "worker.log", "keeper-1-2.journal", "done", "work", "workers"):
        (tmp_path / name).write_text("S 1 1\n")
    for name in (bell.WORK, bell.DONE):
        assert bell.ring(str(tmp_path), name) == 0
    assert {path.read_text() for path in tmp_path.iterdir()} == {"S 1 1\n"}


def test_a_bell_that_nobody_hears_any_more_is_cleared_away(tmp_path: Path) -> None:
    ears = bell.Listener(str(tmp_path), bell.WORK)
    os.close(ears.fd)
    assert bell.ring(str(tmp_path), bell.WORK) == 0
    assert list(tmp_path.iterdir()) == []


def test_a_listener_that_never_looks_holds_up_no_ringer(tmp_path: Path) -> None:
    with bell.Listener(str(tmp_path), bell.WORK):
        for _ in range(5_000):
            assert bell.ring(str(tmp_path), bell.WORK) == 1


def test_a_folder_that_is_gone_is_silent(tmp_path: Path) -> None:
    assert bell.ring(str(tmp_path / "gone"), bell.WORK) == 0


def test_adding_says_how_many_workers_heard_it(place: Place) -> None:
    queue = place.open()
    queue.add("true")
    assert queue.heard == 0
    place.worker()
    queue.add("true")
    assert queue.heard == 1
