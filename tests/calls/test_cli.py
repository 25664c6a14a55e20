"""Calls from the command line."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from queuectl.model import Call
from queuectl.queue import Queue
from queuectl.work import work_of

from .conftest import Target

Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def run(queue: Queue) -> Run:
    def run(*words: str, given: str = "") -> subprocess.CompletedProcess[str]:
        env = os.environ | {"QUEUECTL_DB_PATH": queue.place.database}
        command = [sys.executable, "-m", "queuectl", *words]
        return subprocess.run(command, env=env, input=given, capture_output=True, text=True, timeout=60)

    return run


def stored(queue: Queue, job_id: str) -> Any:
    return work_of(queue.get(job_id))


def test_a_call_with_everything(queue: Queue, run: Run, tmp_path: Path) -> None:
    (tmp_path / "body").write_text('{"a": 1}')
    words = ["--url", "http://a/x?y", "--header", "X-A: b: c", "--header", "X-A: d", "--data", f"@{tmp_path}/body"]
    words += ["--expect-status", "200,3xx", "--expect-body", "fine", "--redirects", "2", "--no-verify", "--sign", "shop"]
    words += ["--callback", "http://b/done", "--timeout", "9", "--max-retries", "1"]
    done = run("enqueue", *words)
    assert done.returncode == 0, done.stderr
    assert stored(queue, done.stdout.strip()) == Call(
        "http://a/x?y",
        method="POST",
        headers=(("X-A", "b: c"), ("X-A", "d")),
        body='{"a": 1}',
        expect_status="200,3xx",
        expect_body="fine",
        redirects=2,
        verify=False,
        sign="shop",
    )
    job = queue.get(done.stdout.strip())
    assert (job.timeout_s, job.max_retries, job.needs, job.limit_key) == (9.0, 1, "call", "a:80")


@pytest.mark.parametrize(
    "words",
    [
        ("--url", "ftp://a/"),
        ("--url", "http://a/", "--command", "true"),
        ("--url", "http://a/", "--", "true"),
        ("--url", "http://a/", "--header", "no colon"),
        ("--url", "http://a/", "--expect-status", "fine"),
        ("--method", "POST", "--command", "true"),
        ("--url", "http://a/", "--data", "@/no/such/file"),
    ],
)
def test_a_call_that_makes_no_sense_is_refused_in_one_line(queue: Queue, run: Run, words: tuple[str, ...]) -> None:
    done = run("enqueue", *words)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("queuectl: ")
    assert done.stderr.count("\n") == 1
    assert not queue.find()


def test_a_worker_has_calls_made(queue: Queue, run: Run, target: Target) -> None:
    call = run("enqueue", "--url", target.url + "/ok?hello").stdout.strip()
    command = run("enqueue", "--command", "echo hi").stdout.strip()
    done = run("worker", "start", "--until-idle")
    assert done.returncode == 0, done.stderr
    assert [queue.get(job).state for job in (call, command)] == ["completed", "completed"]
    assert "hello hello" in run("logs", call).stdout
    shown = json.loads(run("show", call, "--json").stdout)
    assert shown["call"] == {"url": target.url + "/ok?hello"}
    assert f"GET {target.url}/ok?hello" in run("list").stdout


def test_secrets_are_made_shown_once_and_forgotten(queue: Queue, run: Run) -> None:
    made = run("secret", "set", "shop")
    assert made.stdout.startswith("whsec_")
    assert run("secret", "set", "mine", "--stdin", given="a secret of sixteen bytes\n").returncode == 0
    assert run("secret", "list").stdout == "mine\nshop\n"
    assert "whsec" not in run("secret", "list", "--json").stdout
    assert run("secret", "unset", "shop").returncode == 0
    assert run("secret", "unset", "shop").returncode == 3
    assert run("secret", "set", "weak", "--stdin", given="x\n").returncode == 2
