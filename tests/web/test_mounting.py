"""The web inside somebody's own program: under a prefix, behind their own idea of who is who."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from behaviour.harness import eventually
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route

import queuectl
import queuectl.http
from queuectl import tokens

from .conftest import PATIENCE_S, ROOT


async def answered(app: Any, path: str, root: str = "", headers: dict[str, str] | None = None) -> tuple[int, bytes]:
    """One GET, as a server of ASGI would hand it on."""
    found: list[Any] = []
    given = [(name.lower().encode(), value.encode()) for name, value in {"Host": "localhost", **(headers or {})}.items()]
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "GET",
        "path": path,
        "raw_path": path.encode(),
        "root_path": root,
        "query_string": b"",
        "scheme": "http",
        "headers": given,
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 2),
    }
    gone = asyncio.Event()
    first = [{"type": "http.request", "body": b"", "more_body": False}]

    async def receive() -> Any:
        if first:
            return first.pop()
        await gone.wait()
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        found.append(message)

    await app(scope, receive, send)
    return found[0]["status"], b"".join(message.get("body", b"") for message in found[1:])


def asked(app: Any, path: str, headers: dict[str, str] | None = None) -> tuple[int, bytes]:
    """In a thread of its own: this one may have a loop already, that of a browser's tests in the same process."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(lambda: asyncio.run(answered(app, path, headers=headers))).result(PATIENCE_S)


@pytest.fixture
def queue(tmp_path: Path) -> Iterator[queuectl.Queue]:
    with queuectl.open(f"sqlite://{tmp_path}/queuectl.db") as queue:
        yield queue


PREFIXED = [
    ("/queue/api/v1/status", 200),
    ("/queue/openapi.json", 200),
    ("/queue", 200),
    ("/queue/", 200),
    ("/queue/static/app.js", 200),
    ("/queueapi/v1/status", 404),
    ("/queue-two/api/v1/status", 404),
    ("/api/v1/status", 404),
    ("/", 404),
    ("/queue/queue/api/v1/status", 404),
]


@pytest.mark.parametrize(("path", "status"), PREFIXED)
def test_a_prefix_is_cut_off_at_a_path_boundary_only(queue: queuectl.Queue, path: str, status: int) -> None:
    app = queuectl.http.app(queue, prefix="/queue", who=lambda scope: "me")
    assert asked(app, path)[0] == status
    app.desk.close()


def test_mounted_by_starlette_it_stands_where_it_was_mounted(queue: queuectl.Queue) -> None:
    job = queue.add("true")
    app = queuectl.http.app(queue, who=lambda scope: "me")
    site = Starlette(routes=[Route("/", lambda request: PlainTextResponse("theirs")), Mount("/queue", app=app)])
    assert asked(site, "/")[1] == b"theirs"
    status, body = asked(site, f"/queue/api/v1/jobs/{job.id}")
    assert (status, json.loads(body)["id"]) == (200, job.id)
    assert asked(site, "/queue/nothing")[0] == 404
    app.desk.close()


def test_without_a_word_from_the_program_around_it_the_gate_is_as_closed_as_ever(queue: queuectl.Queue) -> None:
    app = queuectl.http.app(queue, hosts=["site.example"])
    assert asked(app, "/api/v1/status")[0] == 401
    token = {"Authorization": f"Bearer {tokens.ensure(queue)}"}
    assert asked(app, "/api/v1/status", headers=token)[0] == 200
    assert asked(app, "/api/v1/status", headers={**token, "Host": "site.example"})[0] == 200
    assert asked(app, "/api/v1/status", headers={**token, "Host": "evil.example"})[0] == 421
    app.desk.close()


def test_whom_the_program_knows_is_let_in_but_no_page_from_elsewhere(queue: queuectl.Queue) -> None:
    app = queuectl.http.app(queue, who=lambda scope: "ann" if (b"x-user", b"ann") in scope["headers"] else None)
    assert asked(app, "/api/v1/status")[0] == 401
    assert asked(app, "/api/v1/status", headers={"X-User": "ann"})[0] == 200
    assert asked(app, "/api/v1/status", headers={"X-User": "ann", "Origin": "http://evil.example"})[0] == 403
    app.desk.close()


def test_it_serves_in_a_program_of_ones_own_and_the_library_talks_to_it(queue: queuectl.Queue) -> None:
    app = queuectl.http.app(queue)
    site = Starlette(routes=[Mount("/jobs-of-mine", app=app)])
    sock = socket.create_server(("127.0.0.1", 0))
    port = sock.getsockname()[1]
    server = uvicorn.Server(uvicorn.Config(site, log_level="critical", lifespan="off"))
    thread = threading.Thread(target=lambda: asyncio.run(server.serve([sock])))
    thread.start()
    try:
        eventually(lambda: server.started)
        with queuectl.open(f"http://127.0.0.1:{port}/jobs-of-mine", token=tokens.ensure(queue)) as remote:
            job = remote.add("echo mounted")
            queuectl.Worker(queue).run(until_idle=True)
            assert remote.wait(job.id, timeout=PATIENCE_S)[0].state == "completed"
            assert b"".join(remote.logs(job.id)) == b"mounted\n"
    finally:
        server.should_exit = True
        thread.join()
        app.desk.close()


def test_importing_the_library_loads_no_web(tmp_path: Path) -> None:
    code = "import sys, queuectl; queuectl.open(sys.argv[1]).add('true'); print(*sys.modules)"
    env = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path / "q.db")], capture_output=True, text=True, env=env, check=True)
    assert not {"starlette", "uvicorn", "asyncio", "aiohttp"} & set(done.stdout.split())
