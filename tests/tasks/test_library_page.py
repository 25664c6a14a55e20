"""The page about the library does what it says: its files are written down, its programs run."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "library.md").read_text(encoding="utf-8")
FILES = dict(re.findall(r"<!-- file: (\S+) -->\n```python\n(.*?)```", PAGE, re.DOTALL))
PROGRAMS = [text for text in re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL) if text not in FILES.values()]


def run(folder: Path, *command: str) -> str:
    env = {name: value for name, value in os.environ.items() if not name.startswith("QUEUECTL")}
    done = subprocess.run([sys.executable, *command], cwd=folder, env=env, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


def program(folder: Path, text: str) -> str:
    (folder / "program.py").write_text(text)
    return run(folder, "program.py")


def test_the_page_has_what_this_test_runs() -> None:
    assert sorted(FILES) == ["app.py", "memory.py"]
    assert len(PROGRAMS) == 4


def test_tasks_are_added_run_and_their_results_read(tmp_path: Path) -> None:
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
    run(tmp_path, "-m", "queuectl", "init")
    begin = 'import queuectl\nqueue = queuectl.open("queuectl.db")\n'
    program(tmp_path, begin + PROGRAMS[1] + "print(job.id)")
    run(tmp_path, "-m", "queuectl", "worker", "start", "--app", "app", "--until-idle")
    assert program(tmp_path, begin + "job = queue.get(1)\n" + PROGRAMS[2]) == "{'path': 'a.png', 'width': 9}\n"
    listed = run(tmp_path, "-m", "queuectl", "list")
    assert "mail.send(" in listed
    assert "the server is away" in run(tmp_path, "-m", "queuectl", "logs", "2")


def test_a_storage_of_ones_own_runs_jobs(tmp_path: Path) -> None:
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
    (tmp_path / "logs").mkdir(mode=0o700)
    text = PROGRAMS[3].replace("/tmp/where-logs-go/queue.db", f"{tmp_path}/logs/queue.db")
    assert program(tmp_path, text) == "completed\n"
