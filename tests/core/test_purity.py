"""What the pure core must not know, read from its own text."""

from __future__ import annotations

import ast
import doctest
import importlib
import pkgutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import queuectl

FOLDER = Path(queuectl.__file__).parent
PURE = ("model", "lifecycle", "plan", "schedule", "codec", "config", "packet", "record", "errors", "select", "jsontext", "signals")
WORLD = {"os", "sys", "io", "socket", "subprocess", "sqlite3", "apsw", "threading", "_thread", "asyncio", "multiprocessing"}
CLOCK = {"time", "datetime"}
# A calendar and the shape of a timestamp, both of moments that are given: no clock is read.
CALENDAR = {"schedule": {"datetime.UTC", "datetime.datetime"}, "codec": {"time.gmtime", "time.strftime"}}
EVERYDAY = ("dataclasses", "json", "re", "asyncio", "socket", "subprocess", "threading", "hashlib", "typing", "rich", "http")


def imported(module: str) -> Iterator[str]:
    """Every name that a module imports from outside the package, wherever in its text."""
    for node in ast.walk(ast.parse((FOLDER / f"{module}.py").read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("module", PURE)
def test_a_pure_module_imports_nothing_of_the_world(module: str) -> None:
    assert not {name for name in imported(module) if name.split(".")[0] in WORLD}


@pytest.mark.parametrize("module", PURE)
def test_a_pure_module_reads_no_clock(module: str) -> None:
    assert {name for name in imported(module) if name.split(".")[0] in CLOCK} <= CALENDAR.get(module, set())


@pytest.mark.parametrize("module", PURE)
def test_a_pure_module_opens_nothing(module: str) -> None:
    calls = [node.func for node in ast.walk(ast.parse((FOLDER / f"{module}.py").read_text())) if isinstance(node, ast.Call)]
    assert not {"open", "print", "input", "__import__"} & {call.id for call in calls if isinstance(call, ast.Name)}


@pytest.mark.parametrize("module", ["queuectl.queue", "queuectl.cli.enqueue", "queuectl.cli.status"])
def test_everyday_commands_load_nothing_heavy(module: str) -> None:
    code = f"import sys; before = set(sys.modules); import {module}; print(*sorted(set(sys.modules) - before))"
    loaded = subprocess.run(
        [sys.executable, "-I", "-S", "-c", PATHED.format(code=code)], capture_output=True, text=True, timeout=30
    )
    assert loaded.returncode == 0, loaded.stderr
    assert "queuectl.errors" in loaded.stdout
    assert not set(EVERYDAY) & set(loaded.stdout.split())


PATHED = f"import sys; sys.path[:0] = {[str(FOLDER.parent), *[p for p in sys.path if 'site-packages' in p]]!r}; {{code}}"


def modules() -> list[str]:
    found = pkgutil.walk_packages(queuectl.__path__, "queuectl.")
    return ["queuectl", *[m.name for m in found if not m.name.endswith("__main__")]]


@pytest.mark.parametrize("name", modules())
def test_the_examples_in_the_text_are_true(name: str) -> None:
    assert doctest.testmod(importlib.import_module(name)).failed == 0


@pytest.mark.parametrize("name", modules())
def test_a_module_opens_with_one_sentence(name: str) -> None:
    text = importlib.import_module(name).__doc__
    assert text
    assert len(text.strip().splitlines()[0]) > 10
