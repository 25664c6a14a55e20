"""Options of the whole test run, and its end: nothing that a test has started outlives it."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Iterator

import leftovers
import pytest

# What reaches the store by the same calls is every day shown on one engine: commands, keepers and recovery, and what runs
# processes. What the engines decide each in their own words is on both: limits, dependencies, schedules, piles, sums, and
# the state machine over all verbs.
ON_ONE_ENGINE = {"cli", "run", *(f"test_{what}.py" for what in ("adding", "bell", "changing", "running", "stopping", "together"))}


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--engine", choices=("sqlite", "postgres"), help="only the tests of this engine, and those of none")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """A parameter named after an engine is how a test says which one it is for."""
    for item in items:
        if ON_ONE_ENGINE & set(item.path.parts) and "postgres" in _words(item):
            item.add_marker(pytest.mark.wide)
    wanted = config.getoption("--engine")
    dropped = {item for item in items if not _wanted(item, wanted)}
    config.hook.pytest_deselected(items=list(dropped))
    items[:] = [item for item in items if item not in dropped]


def _wanted(item: pytest.Item, wanted: str | None) -> bool:
    ids = _words(item)
    engines = [engine for engine in ("sqlite", "postgres") if engine in ids]
    about = item.get_closest_marker("engine")
    return all(wanted in (None, engine) and (about is None or engine in about.args) for engine in engines)


def _words(item: pytest.Item) -> list[str]:
    return item.name.partition("[")[2].rstrip("]").split("-")


@pytest.fixture(scope="session", autouse=True)
def nothing_is_left(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Whatever carries this run's folder in its environment ends with the run, also when the run itself is killed."""
    marks = [f"{tmp_path_factory.getbasetemp()}/".encode(), f"{tempfile.gettempdir()}/ts-{os.getpid()}-".encode()]
    unmarked = dict(os.environ)
    os.environ["TESTS_IN"] = os.fsdecode(marks[0])
    guard = subprocess.Popen([sys.executable, leftovers.__file__], stdin=subprocess.PIPE, env=unmarked, start_new_session=True)
    assert guard.stdin
    guard.stdin.write(b"".join(mark + b"\n" for mark in marks))
    guard.stdin.flush()
    yield
    for command in leftovers.end(*marks):
        warnings.warn(f"a test has left this behind: {command}", stacklevel=1)
    guard.stdin.close()
    guard.wait()
