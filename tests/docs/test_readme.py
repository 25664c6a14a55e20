"""The README's five minutes, run word for word: every `$ line` in one shell, every output compared."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

README = (Path(__file__).resolve().parents[2] / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```(console|python)\n(.*?)```", README, re.DOTALL)
MARK = "-- end of"


@pytest.fixture
def shell_env(tmp_path: Path) -> dict[str, str]:
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    return {"HOME": str(tmp_path), "PATH": path, "LANG": "C.UTF-8", "XDG_STATE_HOME": str(tmp_path / "state")}


def steps() -> list[tuple[str, list[str]]]:
    """Each command with the lines that the README shows below it."""
    found: list[tuple[str, list[str]]] = []
    for kind, block in BLOCKS:
        for line in block.splitlines() if kind == "console" else ():
            if line.startswith("$ "):
                found.append((line[2:], []))
            else:
                found[-1][1].append(line)
    return found


def test_every_command_of_the_readme_does_what_it_shows(tmp_path: Path, shell_env: dict[str, str]) -> None:
    script = "exec 2>&1\n" + "".join(f"{command}\necho '{MARK} {number}'\n" for number, (command, _) in enumerate(steps()))
    try:
        done = subprocess.run(
            ["sh", "-c", script], env=shell_env, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
        )
    finally:
        subprocess.run(
            ["queuectl", "worker", "stop", "--now"], env=shell_env, cwd=tmp_path, capture_output=True, timeout=30, check=False
        )
    parts = re.split(rf"{MARK} \d+\n", done.stdout)
    for (command, wanted), shown in zip(steps(), parts, strict=False):
        assert_same(command, wanted, shown.splitlines())


def assert_same(command: str, wanted: list[str], shown: list[str]) -> None:
    """Line by line, `…` for anything; a note on stderr may come before or after the data."""
    left = list(shown)
    for line in wanted:
        pattern = re.compile(".*".join(re.escape(part) for part in line.split("…")))
        match = next((candidate for candidate in left if pattern.fullmatch(candidate)), None)
        assert match is not None, f"$ {command}\nwanted: {line}\nshown:\n" + "\n".join(shown)
        left.remove(match)
    assert not left, f"$ {command}\nalso showed:\n" + "\n".join(left)


def test_the_python_example_of_the_readme_runs(tmp_path: Path, shell_env: dict[str, str]) -> None:
    [example] = [block for kind, block in BLOCKS if kind == "python"]
    done = subprocess.run(
        [sys.executable, "-c", example], env=shell_env, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout == "from Python\n"
