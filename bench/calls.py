"""Row 10: jobs that are HTTP calls. Calls a second, beside what the client library does alone in a bare loop; and whether many
slow targets hold anybody up.

The target is a small server in a process of its own. Both sides run on uvloop and keep 32 requests under way. Ours are
durable jobs: each is claimed, its answer kept, its end committed.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager

from harness import Bench, Row, per_second

PARALLEL = 32
TARGET = """
import asyncio, sys
import uvloop

ANSWER = b"HTTP/1.1 200 OK\\r\\nContent-Length: 2\\r\\nContent-Type: text/plain\\r\\n\\r\\nok"

class Target(asyncio.Protocol):
    def connection_made(self, transport):
        self.transport, self.slow = transport, []
    def data_received(self, data):
        if b" /slow" in data:
            asyncio.get_running_loop().call_later(20, self.transport.write, ANSWER)
        else:
            self.transport.write(ANSWER * data.count(b"\\r\\n\\r\\n"))

async def main():
    server = await asyncio.get_running_loop().create_server(Target, "127.0.0.1", 0, backlog=4096)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()

uvloop.run(main())
"""

BARE = """
import asyncio, sys, time
import aiohttp, uvloop

async def main(url, n, parallel):
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        left = iter(range(n))
        async def one():
            for _ in left:
                async with session.get(url) as answer:
                    await answer.read()
        began = time.perf_counter()
        await asyncio.gather(*[one() for _ in range(parallel)])
        print(n / (time.perf_counter() - began))

uvloop.run(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
"""


def bare(url: str, n: int, parallel: int) -> tuple[float, float]:
    """(calls a second, milliseconds of processor a call)."""
    before = _processor_s()
    done = subprocess.run([sys.executable, "-c", BARE, url, str(n), str(parallel)], capture_output=True, text=True, check=True)
    return float(done.stdout), (_processor_s() - before) * 1000 / n


def ours(url: str, n: int, parallel: int, folder: str) -> tuple[float, float]:
    """(calls a second, milliseconds of processor a call)."""
    import queuectl

    folder = tempfile.mkdtemp(dir=folder)
    with queuectl.open(f"{folder}/queuectl.db") as queue:
        queue.settings.set("call_parallel", str(parallel))
        queue.add_many([queuectl.Call(url) for _ in range(n)])
        before = _processor_s()
        caller = _caller(queue.place.database)
        while queue.store.run("select count(*) from jobs where state = 'completed'") != [(n,)]:
            time.sleep(0.05)
        [(first, last)] = queue.store.run("select min(started_us), max(finished_us) from jobs")
        caller.terminate()
        caller.wait()
    return n / ((last - first) / 1e6), (_processor_s() - before) * 1000 / n


def _caller(database: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-m", "queuectl.run.caller", database, ""], stderr=subprocess.DEVNULL)


def _processor_s() -> float:
    """What the children that have ended have used."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def beside_slow_ones(url: str, slow: int) -> float:
    """Seconds until a call is answered whose queue is full of slow ones."""
    import queuectl
    from queuectl import codec

    with tempfile.TemporaryDirectory() as folder, queuectl.open(f"{folder}/queuectl.db") as queue:
        call = queuectl.Call(url + "/slow")
        queue.add_many([codec.spec(call, {"limit_key": f"target {i}", "max_retries": 0}) for i in range(slow)])
        caller = _caller(queue.place.database)
        while queue.store.run("select count(*) from attempts where pid > 0")[0][0] < slow:  # all of them sent
            time.sleep(0.05)
        began = time.perf_counter()
        job = queue.add(queuectl.Call(url))
        queue.wait(job.id)
        took = time.perf_counter() - began
        caller.kill()
        caller.wait()
    return took


@contextmanager
def target() -> Iterator[str]:
    """A server that answers at once; its URL."""
    server = subprocess.Popen([sys.executable, "-c", TARGET], stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout
        yield f"http://127.0.0.1:{server.stdout.readline().strip()}"
    finally:
        server.kill()
        server.wait()


def rows(bench: Bench) -> Iterator[Row]:
    n = bench.pick(20_000, 4_000)
    with target() as url:
        pairs = [(bare(url, n, PARALLEL)[0], ours(url, n, PARALLEL, str(bench.folder))[0]) for _ in range(bench.pick(5, 3))]
    bare_rate, rate, ratio = (
        statistics.median(values) for values in zip(*((theirs, own, own / theirs) for theirs, own in pairs), strict=True)
    )
    yield Row(
        work=f"call a local server's URL, {PARALLEL} in parallel",
        ours=per_second(rate),
        floor=f"aiohttp alone {per_second(bare_rate)}",
        ratio=ratio,
        target=0.7,
        at_least=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-n", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--parallel", type=int, default=PARALLEL)
    parser.add_argument("--slow", type=int, default=1_000)
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    # Nothing is deleted between the rounds: for a minute after thousands of files were, ext4 makes new ones slowly.
    with target() as url, tempfile.TemporaryDirectory() as folder:
        rounds = [(bare(url, asked.n, asked.parallel), ours(url, asked.n, asked.parallel, folder)) for _ in range(asked.rounds)]
        (rate_bare, cpu_bare_ms), (rate, cpu_ms) = (
            tuple(statistics.median(values) for values in zip(*side, strict=True)) for side in zip(*rounds, strict=True)
        )
        waited = beside_slow_ones(url, asked.slow)
    found = {"aiohttp": round(rate_bare), "queuectl": round(rate), "ratio": round(rate / rate_bare, 2)}
    found |= {"aiohttp_cpu_ms": round(cpu_bare_ms, 3), "queuectl_cpu_ms": round(cpu_ms, 3)}
    found |= {"slow_targets": asked.slow, "beside_them_s": round(waited, 3)}
    print(json.dumps(found) if asked.json else "\n".join(f"{name:<14}{value}" for name, value in found.items()))


if __name__ == "__main__":
    main()
