"""Everything in this folder is chaos; a short form of it is part of `make check`. The figures reached are printed last."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from . import report
from .harness import FIGURES, LONG, Trial


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.chaos)
            if item.get_closest_marker("timeout") is None:
                item.add_marker(pytest.mark.timeout(3600))


def pytest_sessionstart(session: pytest.Session) -> None:
    """The full form takes hours and may be run group by group: its figures are kept, the newest of each promise counts."""
    if not LONG and not hasattr(session.config, "workerinput"):  # once, when several processes share the tests
        FIGURES.unlink(missing_ok=True)


def pytest_terminal_summary(terminalreporter: Any) -> None:
    table = report.table(FIGURES)
    if table:
        terminalreporter.section("what was shown")
        terminalreporter.write(table)


@pytest.fixture
def trial(tmp_path: Path) -> Iterator[Callable[..., Trial]]:
    """Opens trials, each in a folder of its own, and ends whatever they have started."""
    opened: list[Trial] = []

    def open_one(**settings: Any) -> Trial:
        opened.append(Trial(tmp_path / f"trial{len(opened)}", **settings))
        return opened[-1]

    yield open_one
    for one in opened:
        one.end()
