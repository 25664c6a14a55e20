"""A user manager of systemd in namespaces of its own, and the service tried in it. Run by `test_m_systemd`, inside.

Prints what it found, a JSON object.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import queuectl
from queuectl import workers

from .harness import alive, children, command_line, eventually

UNIT = "queuectl.service"
GROUP = Path("/sys/fs/cgroup/app.slice") / UNIT


def systemctl(*words: str) -> str:
    done = subprocess.run(["systemctl", "--user", *words], capture_output=True, text=True, timeout=60, check=False)
    assert not done.returncode, f"systemctl {words}: {done.stderr}"
    return done.stdout.strip()


def program(*words: str) -> str:
    command = [sys.executable, "-m", "queuectl", *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert not done.returncode, f"queuectl {words}: {done.stderr}"
    return done.stdout


def members() -> Iterator[int]:
    """Every process of the unit, those in the groups of its jobs too."""
    for path in GROUP.rglob("cgroup.procs"):
        yield from [int(line) for line in path.read_text().split()]


class Unit:
    """The installed service and its queue."""

    def __init__(self, folder: Path) -> None:
        self.queue = queuectl.open(f"sqlite://{folder}/queuectl.db")
        self.folder = folder
        self.wrong: list[str] = []

    def processes(self) -> dict[str, int]:
        """What systemd watches, its keeper, that one's worker, once all three are there."""
        watched = int(systemctl("show", "-P", "MainPID", UNIT))
        keepers = [pid for pid in children(watched) if "run.keeper" in command_line(pid)]
        found = [pid for keeper in keepers for pid in children(keeper) if "run.process" in command_line(pid)]
        return {"watched": watched, "keeper": keepers[0], "worker": found[0]} if found else {}

    def ready(self) -> dict[str, int]:
        """When exactly one worker of the unit lives, and it is the one under what systemd watches."""

        def there() -> dict[str, int]:
            found = self.processes()
            return found if found and [row.pid for row in workers.living(self.queue.store)] == [found["worker"]] else {}

        found: dict[str, int] = eventually(there, what="one worker")
        return found

    def running_job(self, status: int) -> tuple[queuectl.Job, Path]:
        """A job that runs until the file is there, and then ends with this status."""
        until = self.folder / f"end-{status}"
        job = self.queue.add(f"while ! test -e {until}; do sleep 0.05; done; exit {status}", max_retries=0)
        eventually(lambda: self.queue.get(job.id).state == "processing" and self.queue.get(job.id).attempts == 0)
        return job, until

    def must_have_ended_once(self, job: queuectl.Job, status: int, what: str) -> None:
        done = self.queue.wait(job.id, timeout=60)[0]
        if (done.exit_code, done.run, done.interruptions) != (status, 1, 0):
            self.wrong.append(f"{what}: exit {done.exit_code}, run {done.run}, {done.interruptions} interruptions")

    # ------------------------------------------------------------ what is tried

    def stop_and_start(self, ends_first: bool) -> None:
        what = f"stop, job ends {'before' if ends_first else 'after'} the start"
        status = 41 + ends_first
        job, until = self.running_job(status)
        systemctl("stop", UNIT)
        if systemctl("show", "-P", "ActiveState", UNIT) != "inactive" or workers.living(self.queue.store):
            self.wrong.append(f"{what}: it goes on")
        if ends_first:
            until.touch()
            eventually(lambda: not [*members()], what="the end of the unit's last process")
        systemctl("start", UNIT)
        self.ready()
        until.touch()
        self.must_have_ended_once(job, status, what)

    def restart(self) -> None:
        job, until = self.running_job(51)
        systemctl("restart", UNIT)
        self.ready()
        until.touch()
        self.must_have_ended_once(job, 51, "restart")

    def kill(self, whom: str, status: int) -> None:
        job, until = self.running_job(status)
        victim = self.processes()[whom]
        os.kill(victim, signal.SIGKILL)
        eventually(lambda: not alive(victim))
        eventually(lambda: self.processes() and self.processes()[whom] != victim, what="the next one")
        self.ready()
        until.touch()
        self.must_have_ended_once(job, status, f"kill -9 of {whom}")

    def cancel(self) -> None:
        """By the control group too: it is delegated."""
        away = "setsid -f env -i /bin/sleep 7777; setsid -f sleep 7777"
        job = self.queue.add(f"sleep 0.3; {away}; sleep 7777", max_retries=0)
        eventually(lambda: sum("7777" in command_line(pid) for pid in members()) >= 4, what="a tree")
        if not [path for path in GROUP.glob("queuectl-*/cgroup.procs") if len(path.read_text().split()) >= 4]:
            self.wrong.append("cancel: the job's processes have no control group of their own")
        self.queue.cancel(job.id)
        self.queue.wait(job.id, timeout=30)
        eventually(lambda: not [pid for pid in members() if "7777" in command_line(pid)], what="the end of a tree")

    def uninstall(self) -> None:
        _, until = self.running_job(61)
        program("service", "uninstall")
        if workers.living(self.queue.store):
            self.wrong.append("uninstall: a worker goes on")
        until.touch()
        eventually(lambda: not [*members()], what="the end of the unit's last process")
        self.queue.close()


def main(folder: Path) -> dict[str, Any]:
    unit = Unit(folder)
    program("service", "install", "--count", "2")
    path = folder / "home/.config/systemd/user" / UNIT
    verified = subprocess.run(["systemd-analyze", "--user", "verify", str(path)], capture_output=True, text=True, check=False)
    unit.ready()
    unit.cancel()
    unit.stop_and_start(ends_first=True)
    unit.stop_and_start(ends_first=False)
    unit.restart()
    for status, whom in enumerate(("watched", "keeper", "worker"), 71):
        unit.kill(whom, status)
    status = program("service", "status")
    unit.uninstall()
    return {"wrong": unit.wrong, "verify": verified.stderr, "status": status}


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]))))
