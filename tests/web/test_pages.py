"""What docs/http.md says is done as it is written there."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from .conftest import PATIENCE_S, Server

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "http.md").read_text(encoding="utf-8")
CURL = re.findall(r"^\$ q (.*)$", PAGE, re.M)
PYTHON = re.findall(r"^\n```python\n(.*?)```", PAGE, re.S | re.M)  # what is a file of its own is shown by `test_frameworks`


@pytest.fixture
def curl() -> str:
    found = shutil.which("curl")
    if not found:
        pytest.skip("NOT TESTED: there is no curl")
    return found


def test_the_examples_for_a_shell_work_in_their_order(server: Server, curl: str) -> None:
    assert len(CURL) >= 7
    for line in CURL:
        stream = "/events" in line
        command = f"{curl} -sS --max-time {2 if stream else 60} --unix-socket {server.socket} {line}"
        done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, timeout=PATIENCE_S * 3)
        assert done.returncode == (28 if stream else 0), (line, done)
        if "/log" in line:
            assert done.stdout.endswith("hello\n")
        elif stream:
            assert done.stdout.startswith("retry: ")
        else:
            assert '"status": 4' not in done.stdout, (line, done.stdout)
            json.loads(done.stdout)


def test_the_examples_for_python_work(server: Server) -> None:
    many, client = PYTHON
    client = client.replace("http://builds.example:5000", f"http://127.0.0.1:{server.port}").replace("qt_…", server.token)
    client = client.replace('["make", "test"]', '["echo", "tested"]')
    dead = server.add({"command": "false", "max_retries": 0}).json["id"]
    assert server.ended(dead)["state"] == "dead"
    program = f"{client}{many}print(changed)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=PATIENCE_S, env=server.env)
    assert re.fullmatch(r"completed tested\n\n[1-9]\d*\n", done.stdout), done


def test_every_status_that_the_page_names_is_one_that_is_answered() -> None:
    from queuectl.doors.http.problems import TITLES

    named = {int(code) for row in re.findall(r"^\| ([0-9, ]+) \|", PAGE, re.M) for code in row.split(",")}
    assert named <= set(TITLES)
