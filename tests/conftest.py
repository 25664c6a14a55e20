"""Options of the whole test run."""

from __future__ import annotations

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--engine", choices=("sqlite", "postgres"), help="only the tests of this engine, and those of none")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """A parameter named after an engine is how a test says which one it is for."""
    for item in items:
        if "cli" in item.path.parts and "postgres" in _words(item):
            item.add_marker(pytest.mark.wide)  # the verbs behind the commands are shown on both engines every day
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
