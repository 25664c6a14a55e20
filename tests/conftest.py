"""Options of the whole test run."""

from __future__ import annotations

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--engine", choices=("sqlite", "postgres"), help="only the tests of this engine, and those of none")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """A parameter named after an engine is how a test says which one it is for."""
    wanted = config.getoption("--engine")
    other = {"sqlite": "postgres", "postgres": "sqlite"}.get(wanted)
    if other:
        dropped = [item for item in items if f"[{other}" in item.name or f"-{other}" in item.name]
        config.hook.pytest_deselected(items=dropped)
        items[:] = [item for item in items if item not in set(dropped)]
