"""The jobs of the demo: real work over the modules of Python's own library, and one of everything that can go wrong."""

from __future__ import annotations

import shlex
import sys
import sysconfig
from pathlib import Path
from typing import Any

PACK = Path(__file__).with_name("pack.py")
LIBRARY = Path(sysconfig.get_path("stdlib"))
MODULES_MAX = 240
NOT_EVERYWHERE = {"test", "tests", "idlelib", "site-packages", "dist-packages", "lib2to3", "tkinter", "turtledemo", "__pycache__"}
URGENT = 5
FLAKY = 5
DELAY_S = 3
TIMEOUT_S = 1
BACKOFF_S = 2  # the first wait of the default backoff

Job = dict[str, Any]


def furnish(folder: Path) -> None:
    """Short names for what the jobs work with, in the folder they run in: ./pack, lib/, packed/."""
    program = folder / "pack"
    program.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -I -S {shlex.quote(str(PACK))} "$@"\n')
    program.chmod(0o700)
    (folder / "lib").symlink_to(LIBRARY)
    (folder / "packed").mkdir()


def modules() -> list[str]:
    """Modules of the standard library, as paths inside it."""
    found = [path.relative_to(LIBRARY) for path in LIBRARY.rglob("*.py") if path.stat().st_size > 0]
    return sorted(str(path) for path in found if not NOT_EVERYWHERE.intersection(path.parts))[:MODULES_MAX]


def name(module: str) -> str:
    """
    >>> name("asyncio/base_events.py")
    'asyncio.base_events'
    """
    return module.removesuffix(".py").replace("/", ".").lstrip("._")


def pack(source: str, target: str) -> list[str]:
    return ["./pack", source, f"packed/{target}"]


def pile(modules: list[str]) -> list[Job]:
    """A job per module; all at once, from one file."""
    return [{"id": f"pack-{name(module)}", "argv": pack(f"lib/{module}", name(module)), "label": "pack"} for module in modules]


def urgent(modules: list[str]) -> list[Job]:
    """Added after the pile, started before it: the largest modules first."""
    largest = sorted(modules, key=lambda module: -(LIBRARY / module).stat().st_size)[:URGENT]
    return [
        {"id": f"urgent-{n}", "argv": pack(f"lib/{module}", f"urgent-{n}"), "label": "urgent", "priority": 10 - n}
        for n, module in enumerate(largest, 1)
    ]


def flaky(modules: list[str]) -> list[Job]:
    """Fail the first time, as networks do, and succeed when they are run again."""
    made: list[Job] = []
    for n, module in enumerate(modules[:FLAKY], 1):
        fails_once = f"test -e tried-{n} || {{ touch tried-{n}; echo 'the network is away'; exit 1; }}"
        made.append(
            {"id": f"flaky-{n}", "command": f"{fails_once}; {shlex.join(pack(f'lib/{module}', f'flaky-{n}'))}", "label": "flaky"}
        )
    return made


def special() -> list[Job]:
    """One that waits for its time, one that takes too long, one whose input is missing until somebody looks."""
    return [
        {"id": "later", "command": "echo 'it is time'", "delay": DELAY_S},
        {"id": "endless", "command": "echo 'counting'; sleep 600", "timeout": TIMEOUT_S, "max_retries": 0},
        {"id": "report", "argv": pack("report.txt", "report"), "max_retries": 1},
    ]


def expected(added: list[Job]) -> dict[str, str]:
    """Which file each job packs: target → source, both inside the folder."""
    lines = [job["argv"] if "argv" in job else shlex.split(job["command"]) for job in added]
    return {words[-1]: words[-2] for words in lines if words[-3:-2] == ["./pack"]}
