"""Row 9: jobs pushed over HTTP, one at a time over 16 connections and in arrays; a page among a million; live streams.

The client is as cheap as a client can be (bytes that were made before, one request under way on each connection), and
its processor time is the machine's too: what is measured is server and client together.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from harness import PROGRAM, Bench, Row, Skipped, Store, medians, ms, per_second, stop

CONNECTIONS = 16
PEER = Path(__file__).resolve().parent / "pushing_peer.py"


class Pusher(asyncio.Protocol):
    """One connection that sends the same request again as soon as it is answered."""

    def __init__(self, request: bytes, left: list[int], done: asyncio.Future[None]) -> None:
        self._request, self._left, self._done = request, left, done
        self._found = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: asyncio.Transport = transport  # type: ignore[assignment]
        self._next()

    def _next(self) -> None:
        if self._left[0] <= 0:
            self._transport.close()
            return
        self._left[0] -= 1
        self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        self._found += data
        head, end, body = self._found.partition(b"\r\n\r\n")
        if not end:
            return
        length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
        if len(body) < length:
            return
        if not head.startswith((b"HTTP/1.1 201", b"HTTP/1.1 200")):
            self._done.set_exception(RuntimeError(self._found.decode()[:500]))
            return
        self._found = b""
        self._left[1] -= 1
        if self._left[1] == 0 and not self._done.done():
            self._done.set_result(None)
        self._next()


def pushed(address: str | tuple[str, int], request: bytes, count: int, connections: int = CONNECTIONS) -> float:
    """Seconds for so many requests."""
    return asyncio.run(_pushed(address, request, count, connections))


async def _pushed(address: str | tuple[str, int], request: bytes, count: int, connections: int) -> float:
    loop = asyncio.get_running_loop()
    done: asyncio.Future[None] = loop.create_future()
    left = [count, count]
    begun = time.perf_counter()
    for _ in range(connections):
        if isinstance(address, str):
            await loop.create_unix_connection(lambda: Pusher(request, left, done), address)
        else:
            await loop.create_connection(lambda: Pusher(request, left, done), *address)
    await done
    return time.perf_counter() - begun


def request(method: str, path: str, body: bytes = b"") -> bytes:
    head = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


class Served:
    """`queuectl serve` on a store."""

    def __init__(self, store: Store, *options: str) -> None:
        self.socket = str(store.folder / "queuectl.db.run" / "http.sock")
        with open(store.folder / "serve.log", "ab") as log:
            argv = [PROGRAM, "serve", "--port", "0", *options]
            self.process = subprocess.Popen(argv, env=store.env, cwd=store.folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        answering(self.socket)

    def stop(self) -> None:
        stop(self.process)


def answering(address: str | tuple[str, int]) -> None:
    """Returns when somebody answers there."""
    end = time.perf_counter() + 20
    while time.perf_counter() < end:
        try:
            pushed(address, request("GET", "/readyz"), 1, 1)
            return
        except (OSError, RuntimeError):
            time.sleep(0.05)
    raise RuntimeError(f"nobody answers at {address}")


def rows(bench: Bench, waiting: Store, n: int) -> Iterator[Row]:
    yield from _adds(bench)
    yield _page(bench, waiting, n)
    yield _streams(bench)


def _adds(bench: Bench) -> Iterator[Row]:
    count = bench.pick(20_000, 4_000)
    store = bench.store("http")
    served = Served(store, "--count", "0")
    one = request("POST", "/api/v1/jobs", b'{"command": "true"}')
    pushed(served.socket, one, 200)
    took = pushed(served.socket, one, count)
    array = request("POST", "/api/v1/jobs", json.dumps([{"command": f"echo {i}"} for i in range(1000)]).encode())
    arrays = bench.pick(100, 20)
    took_arrays = pushed(served.socket, array, arrays, 2)
    served.stop()
    store.remove()
    peers = {}
    try:
        peers["huey (SQLite) behind Starlette"] = per_second(bench.pick(4_000, 1_000) / _peer(bench))
    except Skipped as why:
        bench.say(f"  skipped: {why}")
    yield Row(
        work=f"POST /jobs, one at a time, {CONNECTIONS} connections",
        ours=per_second(count / took),
        peers=peers,
        ratio=count / took,
        target=2000,
        at_least=True,
        unit="/s",
    )
    yield Row(
        work="POST /jobs, arrays of 1,000",
        ours=per_second(arrays * 1000 / took_arrays),
        ratio=arrays * 1000 / took_arrays,
        target=20_000,
        at_least=True,
        unit="/s",
    )


def _peer(bench: Bench) -> float:
    """The same requests to a small web app that hands them to huey. Raises Skipped."""
    found = subprocess.run([sys.executable, "-c", "import huey, starlette, uvicorn"], capture_output=True, check=False)
    if found.returncode:
        raise Skipped("huey is not installed ('make bench-setup')")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    folder = bench.folder / "huey"
    folder.mkdir(exist_ok=True)
    process = subprocess.Popen([sys.executable, str(PEER), str(folder), str(port)], env=bench.env, stderr=subprocess.DEVNULL)
    try:
        answering(("127.0.0.1", port))
        return pushed(("127.0.0.1", port), request("POST", "/jobs", b'{"command": "true"}'), bench.pick(4_000, 1_000))
    finally:
        stop(process)


def _page(bench: Bench, waiting: Store, n: int) -> Row:
    store = bench.store("page", like=waiting)
    served = Served(store, "--count", "0")
    page = request("GET", "/api/v1/jobs?state=pending&limit=100")
    pushed(served.socket, page, 20, 1)
    rounds = bench.pick(300, 100)
    took = pushed(served.socket, page, rounds, 1) / rounds
    served.stop()
    store.remove()
    return Row(work=f"a page of 100 among {n:,} jobs", ours=ms(took), ratio=took * 1e3, target=5, unit="ms")


def _streams(bench: Bench) -> Row:
    count = bench.pick(4_000, 1_000)
    works = {name: partial(_drained, bench, count, streams) for name, streams in (("alone", 0), ("heard", 100))}
    alone, heard = medians(bench.pick(3, 1), works).values()
    return Row(
        work=f"drain {count:,} × true while 100 streams listen, against none",
        ours=per_second(count / heard),
        floor=f"none {per_second(count / alone)}",
        ratio=alone / heard,
        target=0.85,
        at_least=True,
    )


def _drained(bench: Bench, count: int, streams: int) -> float:
    """Seconds until so many jobs have run, with so many readers of the live stream in a process of their own."""
    store = bench.store("streams")
    store.add_lines("true", count)
    served = Served(store, "--count", "0")
    reader = _readers(served.socket, streams)
    begun = time.perf_counter()
    store.run("worker", "start", "--count", "2", "--until-idle")
    took = time.perf_counter() - begun
    reader.kill()
    reader.wait()
    served.stop()
    store.remove()
    return took


READERS = """
import selectors, socket, sys
waiting = selectors.DefaultSelector()
for _ in range(int(sys.argv[2])):
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    sock.connect(sys.argv[1])
    sock.sendall(b"GET /api/v1/events HTTP/1.1\\r\\nHost: localhost\\r\\n\\r\\n")
    sock.recv(100)
    waiting.register(sock, selectors.EVENT_READ)
print("reading", flush=True)
while True:
    for key, _ in waiting.select(1):
        key.fileobj.recv(1 << 20)
"""


def _readers(path: str, streams: int) -> subprocess.Popen[bytes]:
    process = subprocess.Popen([sys.executable, "-c", READERS, path, str(streams)], stdout=subprocess.PIPE, env=os.environ)
    assert process.stdout is not None
    process.stdout.readline()
    return process
