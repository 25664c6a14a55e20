"""Group A: the service under a real systemd: stopped, started, restarted, each of its processes killed."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import queuectl

from .harness import ROOT, figure

# A user manager with a tree of control groups and a /run of its own; all ends with the first process of its namespace.
INSIDE = """
set -e
mount --make-rprivate /
umount -l /sys/fs/cgroup
mount -t cgroup2 none /sys/fs/cgroup
mount -t tmpfs none /run
mkdir -p -m 700 /run/user/0 /run/systemd/system  # the latter is how it knows that the machine was booted by it
systemd --user --log-target=console >"$HOME/../systemd.log" 2>&1 &
for n in $(seq 100); do systemctl --user show-environment >/dev/null 2>&1 && break; sleep 0.1; done
systemctl --user show-environment >/dev/null
echo READY
"$0" -m chaos.systemd "$1"
"""
NEEDS = ("systemd", "systemctl", "systemd-analyze", "unshare")
MISSING = [name for name in NEEDS if shutil.which(name) is None and not Path("/lib/systemd", name).exists()]
ROOTS = ("/sys/fs/cgroup/unified", "/sys/fs/cgroup")


def own_group() -> Path | None:
    """A new control group that everything of this test is in."""
    for root in ROOTS:
        if Path(root, "cgroup.procs").exists() and os.geteuid() == 0:
            group = Path(root, f"queuectl-test-{os.getpid()}")
            try:
                group.mkdir()
            except OSError:
                continue
            return group
    return None


def remove(group: Path) -> None:
    for folder, _, _ in os.walk(group, topdown=False):
        try:
            os.rmdir(folder)
        except OSError:
            pass  # what is ended there is not reaped yet: an empty group hurts nobody


@pytest.mark.timeout(600)
def test_the_service_under_a_real_systemd(tmp_path: Path) -> None:
    group = None if MISSING else own_group()
    if group is None:
        pytest.skip(f"NOT TESTED: the service under systemd ({', '.join(MISSING) or 'no right to make control groups'})")
    home, package = tmp_path / "home", Path(queuectl.__file__).parents[1]
    home.mkdir(0o700)
    here = {"HOME": str(home), "XDG_RUNTIME_DIR": "/run/user/0", "PYTHONPATH": f"{package}:{ROOT / 'tests'}"}
    here["QUEUECTL_DB_PATH"] = f"{tmp_path}/queuectl.db"
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("QUEUECTL_", "XDG_", "DBUS_"))}
    into = f'echo $$ >{group}/cgroup.procs; exec unshare --mount --pid --fork --mount-proc --cgroup --kill-child sh -c "$@"'
    try:
        command = ["sh", "-c", into, "sh", INSIDE, sys.executable, str(tmp_path)]
        done = subprocess.run(command, env=kept | here, capture_output=True, text=True, timeout=500, check=False)
    finally:
        remove(group)
    if "READY" not in done.stdout:
        pytest.skip(f"NOT TESTED: the service under systemd (no user manager here: {done.stderr[-200:].strip()})")
    assert not done.returncode, done.stderr[-3000:]
    found = json.loads(done.stdout.partition("READY\n")[2])
    assert not found["verify"] and "active" in found["status"], found
    tried = "a cancel, two stops, a restart, three kills, the removal: "
    reached = tried + ("; ".join(found["wrong"]) or "every job ended once and truly, never two workers")
    wanted = "0 lost, 0 again, true ends, one worker"
    figure("A systemd: the unit stopped, restarted, each of its processes killed", wanted, reached, not found["wrong"])
