"""The same kill against other queues, for comparison; `python -m tests.chaos.kill_compare` prints it by itself."""

from __future__ import annotations

import pytest

from .harness import figure
from .kill_compare import QUEUES, told


@pytest.mark.parametrize("name", QUEUES)
def test_the_same_kill(name: str) -> None:
    fate = told(name)
    if "NOT compared" in fate:
        pytest.skip(f"{name.partition(',')[0]} {fate}")
    holds = not name.startswith("queuectl") or fate == (
        "5 of 5 jobs are known; 5 started, 0 twice, 5 ended; exit statuses known and true: 5 of 5"
    )
    figure(f"  kill -9 in the middle of five jobs: {name}", "the queue's fate", fate, holds)
