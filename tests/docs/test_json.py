"""docs/json.md names exactly the fields that the program prints."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "json.md").read_text(encoding="utf-8")
PROGRAM = str(Path(sys.executable).parent / "queuectl")


def fields(after: str) -> list[str]:
    """The field names of the first table after some words of the page."""
    table = re.split(r"\n\n", PAGE.partition(after)[2].partition("| field |")[2])[0]
    return re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)


@pytest.fixture
def ask(tmp_path: Path) -> Any:
    """Run a command in a queue where one job has ended and one waits; returns what it printed as JSON."""
    env = {"HOME": str(tmp_path), "PATH": os.environ["PATH"], "QUEUECTL_DB_PATH": str(tmp_path / "queuectl.db")}

    def run(*words: str) -> Any:
        done = subprocess.run([PROGRAM, *words], env=env, cwd=tmp_path, capture_output=True, text=True, timeout=30, check=True)
        return json.loads(done.stdout) if "--json" in words else done.stdout

    run("enqueue", "--", "true")
    run("worker", "start", "--until-idle")
    run("enqueue", "--delay", "1h", "--", "true")
    return run


def test_a_job(ask: Any) -> None:
    [waiting, ended] = ask("list", "--json")
    assert list(waiting) == list(ended) == fields("## A job")
    assert list(ask("enqueue", "--json", "--", "true")) == fields("## A job")


def test_a_job_with_its_runs_and_changes(ask: Any) -> None:
    shown = ask("show", "1", "--env", "--json")
    assert list(shown) == fields("## A job") + fields("## `queuectl show JOB --json`")
    assert list(shown["attempts_made"][0]) == fields("A run:")
    assert list(shown["history"][0]) == fields("A change:")


@pytest.mark.parametrize("words", ["status", "metrics", "explain 2"])
def test_one_object(ask: Any, words: str) -> None:
    heading = f"## `queuectl {words.replace('2', 'JOB')} --json`"
    assert sorted(ask(*words.split(), "--json")) == sorted(fields(heading))


def test_queues_and_workers(ask: Any) -> None:
    assert sorted(ask("queue", "list", "--json")[0]) == sorted(fields("## `queuectl queue list --json`"))
    ask("limit", "set", "api", "--parallel", "2")
    assert list(ask("limit", "list", "--json")[0]) == fields("## `queuectl limit list --json`")
    ask("worker", "start", "--background")
    try:
        assert list(ask("worker", "list", "--json")[0]) == fields("## `queuectl worker list --json`")
    finally:
        ask("worker", "stop")


def test_what_is_looked_after(ask: Any, tmp_path: Path) -> None:
    ask("schedule", "add", "nightly", "0 3 * * *", "--", "true")
    assert list(ask("schedule", "list", "--json")[0]) == fields("## `queuectl schedule list --json`")
    subprocess.run([str(Path(PROGRAM).with_name("fspl")), "queue-init", "-q", str(tmp_path / "packets")], timeout=30, check=True)
    ask("spool", "attach", "packets", "--", "cat")
    assert list(ask("spool", "list", "--json")[0]) == fields("## `queuectl spool list --json`")
    assert list(ask("doctor", "--json")[0]) == fields("## `queuectl doctor --json`")
    assert list(ask("store", "check", "--json")["jobs"]) == fields("## `queuectl store check --json`")
    assert list(ask("edit", "2", "--priority", "3", "--json")) == list(ask("rerun", "1", "--json")) == fields("## A job")
