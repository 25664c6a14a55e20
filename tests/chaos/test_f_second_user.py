"""Group H: another user of the machine reads nothing, changes nothing, is signalled by nothing, and lays no traps."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from .harness import Trial, eventually, figure, job

NOBODY = 65534
pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("setpriv") is None, reason="not root, or no setpriv: NOTHING was tried as a second user"
)


@pytest.fixture
def shared() -> Iterator[Path]:
    """A folder that everybody can reach."""
    folder = Path(tempfile.mkdtemp(prefix="queuectl-chaos-", dir="/tmp"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


def as_nobody(code: str, *words: str, **environ: str) -> subprocess.CompletedProcess[str]:
    program = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", "/usr/bin/python3", "-c", code, *words]
    environ = {"PATH": "/usr/bin:/bin", **environ}
    return subprocess.run(program, env=environ, capture_output=True, text=True, timeout=60, check=False)


class Watch(threading.Thread):
    """Looks at every file below a folder again and again, and notes those that others could touch for an instant."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder, self.open, self.looks, self.over = folder, set(), 0, False

    def run(self) -> None:
        while not self.over:
            self.looks += 1
            for where, folders, files in os.walk(self.folder):
                for name in (*folders, *files):
                    path = os.path.join(where, name)
                    try:
                        mode = os.lstat(path).st_mode & 0o777
                    except FileNotFoundError:
                        continue
                    if mode & 0o077 and not os.path.islink(path):
                        self.open.add(f"{path} {mode:o}")


def test_files_are_private_from_the_first_instant_under_umask_0(shared: Path) -> None:
    folder = shared / "q"
    folder.mkdir()
    watch, old = Watch(folder), os.umask(0)
    watch.start()
    try:
        with Trial(folder) as one:
            one.add([job(end="echo hello; exit 1", status=1) for _ in range(50)])
            one.command("config", "set", "max_retries", "2")
            subprocess.run(
                [sys.executable, "-m", "queuectl", "enqueue", "--stdin", "-", "--command", "cat"],
                env=one.environ, input=b"secret", check=False, capture_output=True,
            )
            keeper = one.keeper(4)
            for _ in range(3):
                one.kill(one.worker_of(keeper))
            one.drained()
            one.command("list"), one.command("status")
            one.command("worker", "stop")
    finally:
        os.umask(old)
        watch.over = True
        watch.join()
    found = sorted(watch.open)
    names = f"{watch.looks} looks: {len(found)} {found[:3] if found else ''}"
    figure("H files 0600 and folders 0700 from the first instant, umask 000", "0 others", names, not found)


TOUCH_ALL = """
import os, sys, signal
folder, *pids = sys.argv[1:]
done = []
def attempt(what, act):
    try:
        act()
        done.append(what)
    except OSError:
        pass
names = ["queuectl.db", "queuectl.db-wal", "queuectl.db-shm", "queuectl.db.run", "job_logs", "job_logs/1.log",
         "queuectl_config.json", "queuectl.db.run/worker-1.journal", "queuectl.db.run/worker.log", *sys.stdin.read().split()]
for name in names:
    path = os.path.join(folder, name)
    attempt("read " + name, lambda: os.close(os.open(path, os.O_RDONLY | os.O_NONBLOCK)))
    attempt("write " + name, lambda: os.close(os.open(path, os.O_WRONLY | os.O_NONBLOCK)))
    attempt("list " + name, lambda: os.listdir(path))
    attempt("remove " + name, lambda: os.unlink(path))
    attempt("rename " + name, lambda: os.rename(path, path + ".x"))
attempt("make", lambda: os.mkdir(os.path.join(folder, "mine")))
for pid in pids:
    attempt("signal " + pid, lambda: os.kill(int(pid), 0))
    attempt("environ " + pid, lambda: open(f"/proc/{pid}/environ").read())
    attempt("memory " + pid, lambda: open(f"/proc/{pid}/mem", "rb"))
print(len(names) * 5 + 1 + 3 * len(pids), *done, sep="|")
"""


def test_a_second_user_touches_nothing(shared: Path) -> None:
    folder = shared / "q"
    folder.mkdir()
    with Trial(folder) as one:
        one.add([job("echo secret; sleep 5; ") for _ in range(2)])
        keeper = one.keeper(2)
        eventually(lambda: len(one.lines()) == 2)
        worker = one.worker_of(keeper)
        inside = "\n".join(str(path.relative_to(folder)) for path in folder.rglob("*"))
        program = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", "/usr/bin/python3", "-c", TOUCH_ALL]
        done = subprocess.run(
            [*program, str(folder), str(keeper), str(worker)], input=inside, capture_output=True, text=True, timeout=60, check=False
        )
        tried, *reached = done.stdout.strip().split("|")
        words = f"{tried} tries, {len(reached)} worked {reached[:4] if reached else ''}{done.stderr[-200:]}"
        figure("H read, write, list, remove, signal as a second user", "0 work", words, tried.isdigit() and not reached)


def test_traps_laid_by_a_second_user_are_refused(shared: Path) -> None:
    """In a folder where everybody may make files, what another has made first is not used."""
    shared.chmod(0o1777)
    (shared / "mine").mkdir(mode=0o777)
    (shared / "mine").chmod(0o777)
    traps = {
        "run folder": "os.mkdir(at + '.run')",
        "run folder, a link": "os.symlink(sys.argv[2], at + '.run')",
        "log folder": "os.mkdir(os.path.join(os.path.dirname(at), 'job_logs'), 0o777)",
        "log folder, a link": "os.symlink(sys.argv[2], os.path.join(os.path.dirname(at), 'job_logs'))",
        "database, a link": "os.symlink(os.path.join(sys.argv[2], 'x'), at)",
        "database of theirs": "open(at, 'w').close()",
    }
    fallen = {}
    for n, (name, act) in enumerate(traps.items()):
        folder = shared / f"t{n}"
        folder.mkdir()
        folder.chmod(0o1777)
        at = folder / "queuectl.db"
        made = as_nobody(f"import os, sys; os.umask(0); at = sys.argv[1]; {act}", str(at), str(shared / "mine"))
        assert made.returncode == 0, made.stderr
        environ = {**os.environ, "QUEUECTL_URL": f"sqlite://{at}"}
        add, work = ours(environ, "enqueue", "--command", "echo secret"), ours(environ, "worker", "start", "--until-idle")
        theirs = [str(path) for where in (folder, shared / "mine") for path in where.rglob("*") if readable(path)]
        if theirs or not {add.returncode, work.returncode} & {4, 7}:
            fallen[name] = (add.returncode, work.returncode, theirs[:3], work.stderr[-200:])
        for path in (shared / "mine").iterdir():
            path.unlink()
    reached = f"{len(traps)} traps, fallen into: {fallen or 'none'}"
    figure("H folders and links laid by a second user", "refused", reached, not fallen)


def ours(environ: dict[str, str], *words: str) -> subprocess.CompletedProcess[str]:
    program = [sys.executable, "-m", "queuectl", *words]
    return subprocess.run(program, env=environ, capture_output=True, text=True, timeout=60, check=False)


def readable(path: Path) -> bool:
    """Whether the second user could read a file of ours."""
    facts = os.lstat(path)
    return not path.is_symlink() and path.is_file() and facts.st_uid == 0 and os.stat(path).st_mode & 0o004 != 0


def test_a_program_that_changed_its_user_is_not_signalled_blindly(shared: Path) -> None:
    """A job of root may become another user; cancel reaches it all the same (root may), and nobody else's process."""
    folder = shared / "q"
    folder.mkdir()
    stranger = subprocess.Popen(["setpriv", f"--reuid={NOBODY}", "--clear-groups", "sleep", "1000"])
    try:
        with Trial(folder) as one:
            one.queue.add("exec setpriv --reuid=65534 --clear-groups sleep 1000")
            one.keeper(1)
            eventually(lambda: one.queue.get(1).state == "processing")
            assert one.command("cancel", "1").returncode == 0
            one.drained()
            figure("H strangers signalled by a cancel", "0", f"{int(stranger.poll() is not None)}", stranger.poll() is None)
    finally:
        stranger.send_signal(signal.SIGKILL)
        stranger.wait()
