"""The folder compat/: what somebody types who follows a document word by word."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

from .conftest import PATIENCE_S, PROGRAM, ROOT, Queuectl

pytestmark = pytest.mark.engine("sqlite")  # the documents know one machine

Opener = Callable[..., Queuectl]
COMPAT = ROOT / "compat"


@pytest.fixture
def main(open_queue: Opener) -> Queuectl:
    """`python main.py`, by an interpreter that has the dependencies but not queuectl itself."""
    import apsw
    import rich

    queue = open_queue()
    packages = queue.folder / "packages"
    packages.mkdir()
    for module in (apsw, rich):
        for found in Path(module.__file__ or "").parent.parent.glob(f"{module.__name__}*"):
            (packages / found.name).symlink_to(found)
    queue.env["PYTHONPATH"] = str(packages)
    queue.program = [sys._base_executable, str(COMPAT / "main.py")]  # type: ignore[attr-defined]
    probe = subprocess.run([queue.program[0], "-c", "import queuectl"], env=queue.env, capture_output=True, timeout=PATIENCE_S)
    assert probe.returncode, "queuectl is installed for the plain interpreter: this would test nothing"
    return queue


def test_main_py_does_what_the_first_document_shows(main: Queuectl) -> None:
    main.ok("init")
    path = main.file("cmd.txt", "python3 -c 'print(\"hello from job\")'")
    main.ok("enqueue", "--id", "demo-1", "--command-file", str(path))
    assert main.states() == {"demo-1": "pending"} and "demo-1" in main.ok("list", "--state", "pending")
    main.ok("worker-start", "--count", "1")
    main.ok("wait", "demo-1", "--timeout", "20")
    main.ok("worker-stop")
    assert "hello from job" in (main.folder / "job_logs" / "demo-1.log").read_text()
    assert "completed" in main.ok("status")


def test_main_py_runs_a_worker_in_the_foreground_from_the_checkout(main: Queuectl) -> None:
    main.ok("enqueue", "--command", "echo [$PYTHONPATH]")
    main.drain()
    assert main.ok("logs", "1") == f"[{main.env['PYTHONPATH']}]\n"


def test_python_m_queuectl_is_the_same_program(open_queue: Opener) -> None:
    queue = open_queue(program=[sys.executable, "-m", "queuectl"])
    queue.ok("enqueue", "--command", "true")
    assert queue("list").out == open_queue(queue.folder.name, program=PROGRAM)("list").out


def test_the_listed_requirements_are_those_of_the_package() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert (COMPAT / "requirements.txt").read_text().split() == project["dependencies"]


def test_the_container_copies_only_what_exists_and_keeps_everything_in_data() -> None:
    lines = (ROOT / "Dockerfile").read_text().splitlines()
    copied = [word for line in lines if line.startswith("COPY") for word in line.split()[1:-1]]
    assert all((ROOT / name).exists() for name in copied)
    assert 'ENTRYPOINT ["queuectl"]' in lines and "ENV QUEUECTL_DB_PATH=/data/queuectl.db" in lines and "VOLUME /data" in lines


def test_the_container_builds_and_shows_its_status() -> None:
    if not shutil.which("docker") or subprocess.run(["docker", "info"], capture_output=True, timeout=PATIENCE_S).returncode:
        pytest.skip("NOT TESTED: no Docker engine runs here")
    subprocess.run(["docker", "build", "-q", "-t", "queuectl:test", str(ROOT)], check=True, timeout=100)
    done = subprocess.run(["docker", "run", "--rm", "queuectl:test", "status"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0 and "pending" in done.stdout
