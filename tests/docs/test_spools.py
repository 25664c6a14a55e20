"""docs/spools.md, word for word: every `$ line` in one shell, every output compared."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.test_readme import MARK, assert_same

PAGE = (Path(__file__).resolve().parents[2] / "docs/spools.md").read_text(encoding="utf-8")


def steps(with_age: bool) -> list[tuple[str, list[str]]]:
    """Each command, its continued lines with it, and the lines that the page shows below."""
    found: list[tuple[str, list[str]]] = []
    for kind, block in re.findall(r"```console( backup)?\n(.*?)```", PAGE, re.DOTALL):
        for line in block.splitlines() if with_age or not kind else ():
            if line.startswith("$ "):
                found.append((line[2:], []))
            elif line.startswith("> "):
                found[-1] = (f"{found[-1][0]}\n{line[2:]}", [])
            else:
                found[-1][1].append(line)
    return found


@pytest.mark.parametrize("with_age", [False, True], ids=["without age", "with age"])
@pytest.mark.wide
def test_every_command_of_the_page_does_what_it_shows(tmp_path: Path, with_age: bool) -> None:
    if with_age and shutil.which("age") is None:
        pytest.skip("age is not installed (Debian: apt-get install age), so the backups were not tried")
    env = {
        "HOME": str(tmp_path),
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "LANG": "C.UTF-8",
        **{name: os.environ[name] for name in ("PYTHONPATH",) if name in os.environ},
    }
    script = "exec 2>&1\n" + "".join(f"{command}\necho '{MARK} {n}'\n" for n, (command, _) in enumerate(steps(with_age)))
    stop = ["queuectl", "worker", "stop", "--now"]
    try:
        done = subprocess.run(["sh", "-c", script], env=env, cwd=tmp_path, capture_output=True, text=True, timeout=90)
    finally:
        subprocess.run(stop, env=env, cwd=tmp_path, capture_output=True, timeout=30)
    parts = re.split(rf"{MARK} \d+\n", done.stdout)
    for (command, wanted), shown in zip(steps(with_age), parts, strict=False):
        assert_same(command, wanted, shown.splitlines())
