"""Group H, what serves: sockets, addresses, tokens, secrets and folders of packets, tried by another user of the machine."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import queuectl

from .harness import PATIENCE_S, eventually, figure, kill_marked
from .test_f_second_user import pytestmark, shared

__all__ = ["pytestmark", "shared"]  # a mark and a fixture, used by being here
SECRET = "whsec_c2VjcmV0LW9mLXRoZS1xdWV1ZS0xMjM0NTY3ODkw"
PASSWORD = "opensesame-4711"

TRY_ALL = """
import json, os, socket, sys, urllib.request, urllib.error
asked = json.loads(sys.stdin.read())
worked = []
tries = 0
for path in asked["sockets"]:
    tries += 1
    try:
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(3)
            s.connect(path)
            for sent in (b"GET /jobs HTTP/1.1\\r\\nHost: localhost\\r\\nConnection: close\\r\\n\\r\\n", b"list\\n", b"\\n\\n"):
                s.sendall(sent)
            got = s.recv(2000)
            if got and b" 401 " not in got.splitlines()[0] and b" 403 " not in got.splitlines()[0]:
                worked.append(f"socket {path}: {got[:60]!r}")
    except OSError:
        pass
for port in asked["ports"]:
    for method, path, body in asked["requests"]:
        tries += 1
        request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", method=method, data=body.encode() if body else None)
        request.add_header("Content-Type", "application/json")
        try:
            with urllib.request.urlopen(request, timeout=5) as answer:
                if path not in asked["open"]:
                    worked.append(f"{method} {port} {path}: {answer.status}")
        except urllib.error.HTTPError as refused:
            if refused.code not in (401, 403, 404, 405):
                worked.append(f"{method} {port} {path}: {refused.code}")
        except OSError:
            pass
for root, folders, files in os.walk(asked["folder"]):
    for name in (*files, *folders):
        tries += 1
        try:
            path = os.path.join(root, name)
            found = os.listdir(path) if os.path.isdir(path) else open(path, "rb").read(10)
            if os.path.abspath(path) not in asked["public"]:
                worked.append("read " + path)
        except OSError:
            pass
shown = []
for pid in filter(str.isdigit, os.listdir("/proc")):
    tries += 1
    try:
        shown.append(open(f"/proc/{pid}/cmdline", "rb").read().decode(errors="replace"))
    except OSError:
        pass
worked += [f"secret in ps: {line[-120:]!r}" for line in shown if any(secret in line for secret in asked["secrets"])]
print(json.dumps([tries, worked]))
"""

REQUESTS: list[tuple[str, str, str]] = [
    *(("GET", path, "") for path in ("/", "/jobs", "/status", "/jobs/1", "/jobs/1/logs", "/metrics", "/events", "/queues")),
    *(("GET", path, "") for path in ("/config", "/openapi.json", "/workers", "/session", "/list", "/count", "/healthz")),
    ("POST", "/jobs", json.dumps({"command": "id > /tmp/never"})),
    ("POST", "/add", json.dumps({"url": "http://127.0.0.1:1/"})),
    ("POST", "/session", json.dumps({"token": "guess"})),
    ("POST", "/jobs/1/cancel", "{}"),
    ("DELETE", "/jobs/1", ""),
    ("PATCH", "/jobs/1", "{}"),
]
# What says nothing of the queue may be answered to everybody.
OPEN = ["/healthz"]


class Served:
    """A queue with all that can serve it, each started as its user would."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(mode=0o755)
        self.folder = folder
        self.url = f"sqlite://{folder}/queuectl.db"
        package = str(Path(queuectl.__file__).parents[1])  # the very code that is under test here
        self.environ = {**os.environ, "QUEUECTL_URL": self.url, "TMPDIR": str(folder), "PYTHONPATH": package}
        self.environ |= {"TASKSPOOL_SOCKET": f"{folder}/taskspool.sock", "TASKSPOOL_LOG_DIR": f"{folder}/tslogs"}
        self.environ |= {"TASKSPOOL_TEMP_DIR": f"{folder}/tstemp", "QUEUECTL_DB_PATH": f"{folder}/queuectl.db"}
        self.processes: list[subprocess.Popen[Any]] = []

    def command(self, *words: str, **more: Any) -> subprocess.CompletedProcess[str]:
        more = {"capture_output": True, "text": True, "timeout": PATIENCE_S, "check": False, **more}
        return subprocess.run([sys.executable, "-m", "queuectl", *words], env=self.environ, **more)

    def start(self, *program: str) -> subprocess.Popen[Any]:
        with (self.folder.parent / "servers.stderr").open("ab") as log:
            made = subprocess.Popen([sys.executable, "-m", *program], env=self.environ, stdout=log, stderr=log, cwd="/")
        self.processes.append(made)
        return made

    def end(self) -> None:
        kill_marked([f"QUEUECTL_URL={self.url}\0".encode()])
        for process in self.processes:
            process.wait(PATIENCE_S)


@pytest.fixture
def served(shared: Path) -> Iterator[Served]:
    one = Served(shared / "q")
    yield one
    one.end()


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def listens(port: int) -> bool:
    with socket.socket() as tried:
        return tried.connect_ex(("127.0.0.1", port)) == 0


def test_servers_answer_nobody_else_and_show_no_secret(served: Served) -> None:
    old = os.umask(0)
    try:
        served.command("enqueue", "--command", "echo secret output")
        stored = served.command("secret", "set", "--stdin", "shop", input=SECRET + "\n")
        token = served.command("token").stdout.strip().split()[-1]
        web, tasks = free_port(), free_port()
        served.start("queuectl", "serve", "--port", str(web), "--count", "1")
        served.start("queuectl", "tasker", f"-address=localhost:{tasks}", f"-basicauth=me:{PASSWORD}", f"-backend={served.url}")
        served.start("queuectl.compat.taskspoold")
        for port in (web, tasks):
            eventually(lambda p=port: listens(p), what=f"port {port}")
        eventually(lambda: list(served.folder.rglob("*.sock")), what="sockets")
        time.sleep(1)
        sockets = [str(path) for path in served.folder.rglob("*") if path.is_socket()]
        folder = str(served.folder)
        asked = {"sockets": sockets, "ports": [web, tasks], "requests": REQUESTS, "open": OPEN, "folder": folder}
        asked |= {"secrets": [SECRET, token, PASSWORD], "public": []}
        done = as_nobody_with(json.dumps(asked), TRY_ALL)
    finally:
        os.umask(old)
    assert done.returncode == 0, done.stderr
    tries, worked = json.loads(done.stdout)
    ours = [mode for mode in map(mode_of, served.folder.rglob("*")) if mode]
    reached = f"{tries} tries at {len(sockets)} sockets, 2 ports, all files, ps: {len(worked)} worked {worked[:4] or ''}"
    reached += f"; open to others: {len(ours)} {ours[:3] if ours else ''}"
    assert stored.returncode == 0, stored.stderr
    figure("H serve, tasker, taskspoold, token, secrets: a second user", "0 work, umask 000", reached, not worked and not ours)


def mode_of(path: Path) -> str:
    """What others may do with it, in words; empty when nothing."""
    facts = path.lstat()
    return f"{path} {facts.st_mode & 0o777:o}" if facts.st_mode & 0o077 and not path.is_symlink() else ""


def as_nobody_with(given: str, code: str, *words: str) -> subprocess.CompletedProcess[str]:
    program = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "/usr/bin/python3", "-c", code, *words]
    environ = {"PATH": "/usr/bin:/bin"}
    return subprocess.run(program, env=environ, input=given, capture_output=True, text=True, timeout=120, check=False)


SQUAT = """
import os, socket, sys, time
os.umask(0)
s = socket.socket(socket.AF_UNIX)
s.bind(sys.argv[1])
s.listen()
print("there", flush=True)
s.settimeout(20)
try:
    got, _ = s.accept()
    got.settimeout(3)
    print(got.recv(4096), flush=True)
    got.sendall(b"HTTP/1.1 200 OK\\r\\nContent-Length: 2\\r\\n\\r\\n{}")
except OSError:
    pass
"""


def test_a_socket_that_another_user_has_made_first_is_neither_served_nor_believed(shared: Path) -> None:
    """In a sticky folder nobody can take the other's socket away: it is refused, and no client tells it anything."""
    shared.chmod(0o1777)
    at = shared / "taskspool.sock"
    program = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "/usr/bin/python3", "-c", SQUAT, str(at)]
    squatter = subprocess.Popen(program, stdout=subprocess.PIPE, text=True, env={"PATH": "/usr/bin:/bin"})
    assert squatter.stdout
    assert squatter.stdout.readline() == "there\n"
    home = shared / "mine"
    home.mkdir(mode=0o700)
    environ = {**os.environ, "TASKSPOOL_SOCKET": str(at)}
    environ |= {"TASKSPOOL_LOG_DIR": str(home / "l"), "TASKSPOOL_TEMP_DIR": str(home / "t")}
    environ |= {"QUEUECTL_DB_PATH": str(home / "queuectl.db"), "QUEUECTL_URL": f"sqlite://{home}/queuectl.db"}

    def tried(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([sys.executable, "-m", *words], env=environ, capture_output=True, text=True, timeout=60, check=False)

    try:
        served = tried("queuectl.compat.taskspoold")
        over_http = tried("queuectl", "serve", "--port", "0", "--count", "0", "--socket", str(at))
        client = tried("queuectl.compat.taskspoolctl", "run", "echo secret words")
    finally:
        squatter.send_signal(signal.SIGTERM)
        heard = squatter.stdout.read()
        squatter.wait()
    codes = [served.returncode, over_http.returncode, client.returncode]
    plain = not any("Traceback" in done.stderr for done in (served, over_http, client))
    reached = f"exit {codes}; it heard {heard.strip() or 'nothing'}"
    figure("H a socket squatted by a second user", "refused, told nothing", reached, all(codes) and plain and "secret" not in heard)


def test_packets_of_another_user_are_not_run(served: Served, shared: Path) -> None:
    """A folder into which others may write would let them choose what is run, and through links what is read."""
    served.command("init")
    ends = {}
    cases = [
        *(("everybody's", 0o777, 0), ("sticky", 0o1777, 0), ("theirs", 0o700, 65534)),
        *(("jobs alone", 0o755, 0), ("ours", 0o700, 0)),
    ]
    for name, mode, owner in cases:
        spool = shared / name.replace("'", "").replace(" ", "-")
        queue_init(served, spool)
        for path in (spool, spool / "jobs"):
            path.chmod(mode)
            os.chown(path, owner, owner)
        if name == "jobs alone":
            (spool / "jobs").chmod(0o1777)
        ends[name] = served.command("spool", "attach", str(spool), "--", "cat").returncode
    verified = served.command("spool", "attach", str(shared / "jobs-alone"), "--verify", "true", "--", "cat").returncode
    holds = verified == 0 and ends == {name: 4 * (name != "ours") for name, _, _ in cases}
    figure("H folders of packets that others can write to", "refused, unless verified", f"{ends}; with --verify {verified}", holds)


def queue_init(served: Served, spool: Path) -> None:
    program = [sys.executable, "-m", "queuectl.compat.fspl", "queue-init", "-q", str(spool)]
    subprocess.run(program, env=served.environ, check=True)


def test_a_link_in_a_folder_of_packets_shows_no_file(served: Served) -> None:
    """Packets may be links (git-annex keeps files so); what is no packet is not shown, whoever it belongs to."""
    served.command("init")
    spool = served.folder / "spool"
    queue_init(served, spool)
    secret = served.folder / "secret"
    secret.write_text("the secret")
    for n in range(3):
        (spool / "jobs" / f"fspl-{n}.fspl").symlink_to(secret)
    assert served.command("send", str(spool), input="payload").returncode == 0
    attached = served.command("spool", "attach", str(spool), "--name", "s", "--", "cat")
    served.start("queuectl", "worker", "start", "--count", "1")
    logs = served.folder / "job_logs"

    def shown() -> bytes:
        return b"".join(path.read_bytes() for path in logs.glob("*.log")) if logs.exists() else b""

    eventually(lambda: b"payload" in shown(), what="the packet's run")
    time.sleep(1)
    told = b"the secret" in shown() or any("the secret" in served.command(*w).stdout for w in (("spool", "list"), ("list",)))
    figure("H links in a folder of packets", "no file shown", f"attach: exit {attached.returncode}; shown: {told}", not told)


def test_a_restored_folder_keeps_its_modes(served: Served) -> None:
    """Backups and copies of a queue are as private as it is."""
    old = os.umask(0)
    try:
        served.command("enqueue", "--command", "echo secret")
        backup = served.folder / "backup.db"
        copied = served.command("backup", str(backup))
        exported = served.folder / "export.json"
        with exported.open("w") as file:
            os.fchmod(file.fileno(), 0o600)
            served.command("export", stdout=file, capture_output=False)
        restored = served.command("restore", str(backup))
    finally:
        os.umask(old)
    ours = [mode for mode in map(mode_of, served.folder.rglob("*")) if mode]
    assert copied.returncode == 0 and restored.returncode == 0, (copied.stderr, restored.stderr)
    figure("H backups and what restore keeps, umask 000", "0600", f"open to others: {ours or 'none'}", not ours)
    shutil.rmtree(served.folder / "job_logs", ignore_errors=True)
