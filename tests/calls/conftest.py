"""A real HTTP server that is slow, broken, endless or busy on request, a queue, and callers for it."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import pytest
from aiohttp import web

import queuectl
from queuectl.model import Job
from queuectl.queue import Queue
from queuectl.run.calling import Caller

PATIENCE_S = 60.0


class Target:
    """Answers as the path says, and remembers what it was asked."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, str, dict[str, str], bytes]] = []
        self.now = self.most = 0
        self.may_answer = threading.Event()
        self.may_answer.set()
        self.port = 0
        self._loop = asyncio.new_event_loop()
        ready = threading.Event()
        self._thread = threading.Thread(target=self._serve, args=(ready,), daemon=True)
        self._thread.start()
        assert ready.wait(10)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def _serve(self, ready: threading.Event) -> None:
        async def open_() -> web.AppRunner:
            app = web.Application(client_max_size=2**26)
            app.router.add_route("*", "/{what}{rest:.*}", self._answer)
            runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)  # who is still slow is cut off
            await runner.setup()
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            self.port = runner.addresses[0][1]
            return runner

        async def close() -> None:
            await runner.cleanup()
            left = [task for task in asyncio.all_tasks() if task is not asyncio.current_task() and task.cancel()]
            await asyncio.gather(*left, return_exceptions=True)

        runner = self._loop.run_until_complete(open_())
        ready.set()
        self._loop.run_forever()
        self._loop.run_until_complete(close())

    def close(self) -> None:
        self.may_answer.set()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    def paths(self) -> list[str]:
        return [path for _, path, _, _ in self.seen]

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        self.seen.append((request.method, request.raw_path, dict(request.headers), await request.read()))
        self.now += 1
        self.most = max(self.most, self.now)
        try:
            return await getattr(self, "do_" + request.match_info["what"].split("/")[0])(request)
        finally:
            self.now -= 1

    async def do_ok(self, request: web.Request) -> web.Response:
        return web.Response(text=f"hello {request.query_string}")

    async def do_status(self, request: web.Request) -> web.Response:
        """/status/503?Retry-After=2: with these headers."""
        return web.Response(status=int(request.path.split("/")[2]), headers=dict(request.query))

    async def do_slow(self, request: web.Request) -> web.Response:
        await asyncio.sleep(float(request.query.get("s", "30")))
        return web.Response(text="slow")

    async def do_gate(self, request: web.Request) -> web.Response:
        while not self.may_answer.is_set():
            await asyncio.sleep(0.01)
        return web.Response(text="through")

    async def do_once(self, request: web.Request) -> web.Response:
        """Busy the first time, then fine."""
        first = self.paths().count(request.raw_path) == 1
        return web.Response(status=503 if first else 200, headers={"Retry-After": request.query.get("after", "1")} if first else {})

    async def do_redirect(self, request: web.Request) -> web.Response:
        return web.Response(status=int(request.query.get("as", "302")), headers={"Location": request.query["to"]})

    async def do_round(self, request: web.Request) -> web.Response:
        n = int(request.query.get("n", "0"))
        return web.Response(status=302, headers={"Location": f"/round?n={n + 1}"})

    async def do_endless(self, request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse()
        await answer.prepare(request)
        try:
            while True:
                await answer.write(b"x" * 65536)
        except (ConnectionError, OSError):
            return answer

    async def do_drip(self, request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse()
        await answer.prepare(request)
        try:
            for _ in range(3000):
                await answer.write(b".")
                await asyncio.sleep(0.01)
        except (ConnectionError, OSError):
            pass
        return answer

    async def do_cut(self, request: web.Request) -> web.StreamResponse:
        """Promises more than it sends."""
        answer = web.StreamResponse(headers={"Content-Length": "1000"})
        await answer.prepare(request)
        await answer.write(b"only this")
        assert request.transport
        request.transport.close()
        return answer

    async def do_nothing(self, request: web.Request) -> web.StreamResponse:
        """Hangs up instead of answering."""
        assert request.transport
        request.transport.close()
        return web.StreamResponse()


@pytest.fixture
def target() -> Iterator[Target]:
    server = Target()
    yield server
    server.close()


@pytest.fixture
def queue(tmp_path: Path) -> Iterator[Queue]:
    with queuectl.open(str(tmp_path / "queuectl.db")) as opened:
        yield opened


@pytest.fixture
def make_calls(queue: Queue) -> Callable[..., None]:
    """Make what may be called now, in this process; with `until` wait for it."""

    def make(until: Callable[[], bool] | None = None, slots: int = 0) -> None:
        async def whole() -> None:
            caller = Caller(queue, slots=slots)
            caller.until_idle = until is None
            running = asyncio.create_task(caller.run())
            deadline = monotonic() + PATIENCE_S
            while until is not None and not until():
                assert monotonic() < deadline, "it did not happen"
                await asyncio.sleep(0.01)
            if until is not None:
                caller.stop("finish")
                caller._woken.set()
            await asyncio.wait_for(running, PATIENCE_S)

        with ThreadPoolExecutor(1) as thread:  # where no browser's loop runs
            thread.submit(asyncio.run, whole()).result()

    return make


class CallerProcess:
    def __init__(self, database: str, text: str = "") -> None:
        command = [sys.executable, "-m", "queuectl.run.caller", database, text]
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(10)

    def stop(self) -> int:
        self.process.terminate()
        return self.process.wait(PATIENCE_S)


@pytest.fixture
def start_caller(queue: Queue) -> Iterator[Callable[..., CallerProcess]]:
    started: list[CallerProcess] = []

    def start(text: str = "") -> CallerProcess:
        started.append(CallerProcess(queue.place.database, text))
        return started[-1]

    yield start
    for each in started:
        each.kill()
        assert each.process.stderr
        each.process.stderr.close()


def until(condition: Callable[[], Any], patience_s: float = PATIENCE_S) -> None:
    deadline = monotonic() + patience_s
    while not condition():
        assert monotonic() < deadline, "it did not happen"
        sleep(0.01)


def log_of(queue: Queue, job: Job) -> str:
    return b"".join(queue.logs(job.id)).decode(errors="replace")
