"""How the parts of `serve` live and die: each alone, in any order, and nothing that was accepted is lost."""

from __future__ import annotations

import http.client
import http.server
import itertools
import os
import random
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator

import pytest
from behaviour.harness import alive, eventually

from .conftest import PATIENCE_S, Server


def test_a_killed_web_process_is_started_again_and_running_jobs_do_not_notice(open_server: Callable[..., Server]) -> None:
    server = open_server("--count", "2")
    job = server.add({"command": "sleep 2; echo done"}).json["id"]
    eventually(lambda: server.job(job)["state"] == "processing")
    worker, web = server.pids("queuectl.run.process"), server.web
    os.kill(web, signal.SIGKILL)
    assert server.get("/readyz").status == 200  # the socket is the keeper's: who comes meanwhile waits
    assert server.web != web
    assert server.pids("queuectl.run.process") == worker
    assert server.ended(job)["run"] == 1
    assert server.job(job)["state"] == "completed"


def test_a_killed_worker_does_not_disturb_the_web(open_server: Callable[..., Server]) -> None:
    server = open_server("--count", "2")
    job = server.add({"command": "sleep 1"}).json["id"]
    eventually(lambda: server.job(job)["state"] == "processing")
    web = server.web
    [worker] = server.pids("queuectl.run.process")
    os.kill(worker, signal.SIGKILL)
    ended = server.ended(job)
    assert (ended["state"], ended["run"]) == ("completed", 1)
    assert server.web == web


def test_when_the_keeper_is_killed_the_worker_takes_its_place_and_starts_the_web_again(open_server: Callable[..., Server]) -> None:
    server = open_server("--count", "2")
    job = server.add({"command": "sleep 3; echo done"}).json["id"]
    eventually(lambda: server.job(job)["state"] == "processing")
    web = server.web
    os.kill(server.process.pid, signal.SIGKILL)  # type: ignore[union-attr]
    eventually(lambda: not alive(web))
    eventually(lambda: _answers(server))
    assert server.web != web
    ended = server.ended(job)
    assert (ended["state"], ended["run"]) == ("completed", 1)
    assert len(server.pids("queuectl.run.keeper")) == 1


def _answers(server: Server) -> bool:
    try:
        return server.get("/readyz", tcp=True).status == 200
    except OSError:
        return False


@pytest.mark.wide
def test_new_code_comes_under_running_jobs(open_server: Callable[..., Server]) -> None:
    """`worker restart` renews keeper, web and worker; the port stays open all the time."""
    server = open_server("--count", "2")
    job = server.add({"command": "sleep 3; echo done"}).json["id"]
    eventually(lambda: server.job(job)["state"] == "processing")
    keeper, web, [worker] = server.process.pid, server.web, server.pids("queuectl.run.process")  # type: ignore[union-attr]
    assert server.queuectl("worker", "restart").returncode == 0
    eventually(lambda: server.pids("queuectl.run.process") not in ([], [worker]))
    assert server.get("/readyz", tcp=True).status == 200
    assert server.web != web
    assert server.process.pid == keeper  # type: ignore[union-attr]
    ended = server.ended(job)
    assert (ended["state"], ended["run"]) == ("completed", 1)
    assert server.stop() == 0


def test_a_stop_lets_jobs_finish_and_answers_until_they_have(open_server: Callable[..., Server]) -> None:
    server = open_server("--count", "1")
    job = server.add({"command": "sleep 1.5; echo done"}).json["id"]
    eventually(lambda: server.job(job)["state"] == "processing")
    server.process.send_signal(signal.SIGTERM)  # type: ignore[union-attr]
    time.sleep(0.3)
    late = server.add({"command": "true"})
    assert late.status == 201
    assert server.process.wait(PATIENCE_S) == 0  # type: ignore[union-attr]
    server.start("--count", "1")
    assert server.job(job)["state"] == "completed"
    assert server.ended(late.json["id"])["state"] == "completed"


def test_a_second_signal_ends_it_all_now(open_server: Callable[..., Server]) -> None:
    server = open_server("--count", "1")
    job = server.add({"command": "sleep 100"}).json["id"]
    eventually(lambda: server.job(job)["state"] == "processing")
    server.process.send_signal(signal.SIGTERM)  # type: ignore[union-attr]
    time.sleep(0.3)
    assert server.stop() == 0


def test_a_stopped_worker_leaves_the_web_alone(open_server: Callable[..., Server]) -> None:
    server = open_server("--count", "1")
    assert server.queuectl("worker", "stop").returncode == 0
    assert server.get("/api/v1/workers").json == {"workers": []}
    assert server.stop() == 0


def test_a_port_that_is_taken_is_told_in_one_line_and_nothing_is_started(open_server: Callable[..., Server]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        server = open_server(command="")
        refused = server.queuectl("serve", "--port", str(port))
    assert refused.returncode == 5
    assert len(refused.stderr.splitlines()) == 1
    assert "taken" in refused.stderr
    assert not server.pids("queuectl.run.keeper")


def test_two_servers_of_one_queue_do_not_share_a_socket(open_server: Callable[..., Server]) -> None:
    server = open_server("--count", "0")
    refused = server.queuectl("serve", "--port", "0")
    assert refused.returncode == 5
    assert server.get("/healthz").status == 200
    server.process.kill()  # type: ignore[union-attr]
    server.process.wait()  # type: ignore[union-attr]
    eventually(lambda: not server.pids("queuectl.doors.http.process"))
    server.start("--count", "0")  # a socket that nobody listens at is replaced
    assert server.get("/healthz").status == 200


def test_a_path_that_is_no_socket_is_left_alone(open_server: Callable[..., Server]) -> None:
    server = open_server(command="")
    mine = server.folder / "precious"
    mine.write_text("keep")
    refused = server.queuectl("serve", "--port", "0", "--socket", str(mine))
    assert refused.returncode == 4
    assert mine.read_text() == "keep"


def test_a_dashboard_only_shows(open_server: Callable[..., Server]) -> None:
    server = open_server(command="dashboard")
    given = {"Authorization": f"Bearer {server.token}"}
    assert server.get("/api/v1/status", tcp=True, headers=given).json["read_only"] is True
    refused = server.ask("POST", "/api/v1/jobs", {"command": "true"}, given, tcp=True)
    assert refused.status == 403
    assert not server.pids("queuectl.run.process")
    assert server.stop() == 0


SYSTEMD = """
import os, socket, sys
tcp = socket.create_server(("127.0.0.1", 0))
print(tcp.getsockname()[1], flush=True)
os.dup2(tcp.fileno(), 9)
os.dup2(9, 3, inheritable=True)
os.environ.update(LISTEN_FDS="1", LISTEN_PID=str(os.getpid()))
os.execv(sys.executable, [sys.executable, "-m", "queuectl", "serve", "--count", "0"])
"""


def test_sockets_of_systemd_are_taken_over_and_it_is_told_when_ready(open_server: Callable[..., Server]) -> None:
    import subprocess
    import sys

    server = open_server(command="")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notified:
        notified.bind(str(server.folder / "notify"))
        notified.settimeout(PATIENCE_S)
        env = server.env | {"NOTIFY_SOCKET": str(server.folder / "notify")}
        server.process = subprocess.Popen(
            [sys.executable, "-c", SYSTEMD], env=env, cwd=server.folder, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        server.port = int(server.process.stdout.readline())  # type: ignore[union-attr]
        assert notified.recv(100) == b"READY=1"
        assert server.get("/readyz", tcp=True).status == 200
        os.kill(server.web, signal.SIGKILL)
        assert server.get("/readyz", tcp=True).status == 200
        assert server.stop() == 0


def test_no_job_inherits_a_listening_socket(open_server: Callable[..., Server]) -> None:
    server = open_server("--count", "1")
    job = server.add({"command": "ls -l /proc/self/fd; env"}).json["id"]
    server.ended(job)
    log = server.get(f"/api/v1/jobs/{job}/log?run=1").body
    assert b"socket:" not in log
    assert b"LISTEN_" not in log


# ---------------------------------------------------------------- kills under load


PARTS = ("queuectl.doors.http.process", "queuectl.run.process", "queuectl.run.caller", "queuectl.run.keeper")
KILLS = {"long": 60, "short": 8}.get(os.environ.get("QUEUECTL_CHAOS", ""), 8)


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("kills", [4, pytest.param(KILLS, marks=pytest.mark.chaos)])
@pytest.mark.wide
def test_what_was_accepted_is_done_whichever_process_is_killed(
    open_server: Callable[..., Server], target: Target, kills: int
) -> None:
    """Web, worker, caller and keeper, in turn, while commands and calls are pushed."""
    server = open_server("--count", "2")
    mark, accepted, over = server.folder / "ran", set[str](), threading.Event()

    def push(name: str) -> None:
        for n in itertools.count():
            job = f"{name}-{n}"
            work = {"command": f"echo {job} >> {mark}"} if n % 2 else {"url": f"{target.url}/{job}"}
            while not over.is_set():  # a broken connection says nothing: ask again, with the same key
                try:
                    status = server.add({"id": job, **work}, Idempotency_Key=job).status
                except (OSError, http.client.HTTPException):
                    time.sleep(0.02)
                    continue
                if status == 201:
                    accepted.add(job)
                    break
            if over.is_set():
                return

    pushers = [threading.Thread(target=push, args=(f"p{i}",)) for i in range(3)]
    for pusher in pushers:
        pusher.start()
    chance = random.Random(kills)
    for part in itertools.islice(itertools.cycle(PARTS), kills):
        pids = eventually(lambda part=part: server.pids(part), PATIENCE_S)
        time.sleep(chance.uniform(0.1, 0.5))
        before = len(accepted)
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        eventually(lambda before=before: len(accepted) > before + 20, PATIENCE_S)
    eventually(lambda: all(server.pids(part) for part in PARTS) and _answers(server), PATIENCE_S)
    over.set()
    for pusher in pushers:
        pusher.join()
    eventually(lambda: _waiting(server) == 0, 120)
    ran = mark.read_text().split()
    assert sorted(ran) == sorted(set(ran)), "a command ran twice"
    done = set(ran) | set(target.paths)
    assert accepted <= done
    states = server.get("/api/v1/status").json
    assert states["completed"] == len(done), states


def _waiting(server: Server) -> int:
    found = server.get("/api/v1/status").json
    return int(found["pending"] + found["processing"] + found["failed"])


class Target:
    """Something to call: it remembers which paths it was asked for."""

    def __init__(self) -> None:
        paths: list[str] = []

        class Answering(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                paths.append(self.path.removeprefix("/"))
                time.sleep(0.02)
                self.send_response(204)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self.paths = paths
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answering)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture
def target() -> Iterator[Target]:
    one = Target()
    yield one
    one.server.shutdown()
    one.server.server_close()
