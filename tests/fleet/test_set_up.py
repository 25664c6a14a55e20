"""The five minutes of docs/fleet.md, as they stand there: a server that somebody has just installed, and one machine."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from behaviour import postgres

pytestmark = pytest.mark.wide

PAGE = Path(__file__).parents[2] / "docs" / "fleet.md"
PASSWORD = "correct horse"
# What a machine has and a test has not: the server's own user, and a system that restarts services.
STAND_INS = """
set -e
sudo() { [ "$1" != -u ] || shift 2; "$@"; }
systemctl() { echo "$*" >> "$HOME/systemctl"; }
pip() { :; }
"""


@pytest.fixture
def fresh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[postgres.Server]:
    if why := postgres.missing():
        pytest.skip(why)
    server = postgres.Server()
    yield server
    server.stop("immediate")


def blocks() -> list[str]:
    return re.findall(r"```sh\n(.*?)```", PAGE.read_text(), re.DOTALL)[:2]


def own_address() -> str:
    """One of this machine's that is not loopback: the server lets everybody in from there, in a test."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            pytest.skip("NOT TESTED: this machine has no address but its loopback")
        return str(probe.getsockname()[0])


def test_the_five_minutes_of_the_docs(fresh: postgres.Server, tmp_path: Path) -> None:
    on_server, on_machine = blocks()
    programs = f"{Path(sys.executable).parent}:{postgres.binaries()}:{os.environ['PATH']}"
    where = {"PGHOST": fresh.data, "PGPORT": str(fresh.port), "PGUSER": "postgres"}
    environ = {"PATH": programs, "HOME": str(tmp_path), "LC_ALL": "C.UTF-8"}

    def shell(text: str, said: str = "", **more: str) -> subprocess.CompletedProcess[str]:
        command = ["bash", "-c", STAND_INS + text]  # in a session without a terminal: what prompts reads what is said
        env = environ | more
        return subprocess.run(command, env=env, input=said, cwd=tmp_path, text=True, capture_output=True, start_new_session=True)

    done = shell(on_server, f"{PASSWORD}\n{PASSWORD}\n", **where)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "systemctl").read_text() == "restart postgresql\n"
    fresh.stop()
    fresh.start()

    address = f"{own_address()}:{fresh.port}"
    for word, here in (("db.example:5432", address), ("db.example", address), ("PASSWORD", PASSWORD)):
        on_machine = on_machine.replace(word, here)
    refused = shell(f"QUEUECTL_URL=postgresql://queue@{address}/queue queuectl status")
    assert (refused.returncode, refused.stderr.count("\n")) == (7, 1), refused.stderr
    assert "password" in refused.stderr

    try:
        done = shell(on_machine + "\nqueuectl run -- echo from anywhere")
    finally:
        stopped = shell(f"QUEUECTL_URL=postgresql://queue@{address}/queue queuectl worker stop")
    assert stopped.returncode == 0, stopped.stderr
    assert done.returncode == 0, done.stderr
    assert "from anywhere" in done.stdout
    assert PASSWORD not in done.stdout + done.stderr
