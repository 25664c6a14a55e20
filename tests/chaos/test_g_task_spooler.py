"""The same kill against task-spooler, for comparison; `python -m tests.chaos.tsp_compare` prints it by itself."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from .harness import figure
from .tsp_compare import queuectl, task_spooler


@pytest.mark.skipif(shutil.which("tsp") is None, reason="task-spooler is not installed: NOT compared")
def test_the_same_kill_against_task_spooler(tmp_path: Path) -> None:
    for name, fate in (("task-spooler", task_spooler), ("queuectl", queuectl)):
        folder = tmp_path / name
        folder.mkdir()
        told = fate(folder)
        holds = name != "queuectl" or told[0].startswith("5 of 5")
        figure(f"  kill -9 in the middle of five jobs: {name}", "the queue's fate", "; ".join(told), holds)
