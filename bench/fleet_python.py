"""The Python queues that `fleet.py` compares with, each by its own documented way: one process, one verb.

    python fleet_python.py TOOL setup|one|bulk|stamped|work URL N

`one` and `bulk` add N jobs and tell the seconds and the processor seconds it took. `work` runs up to N no-op coroutines at a time
until it is killed; a job that carries a moment (`stamped`) tells how long ago that was.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any

BATCH = 1000
PAUSE_S = 0.06
Verb = Callable[[str, int], Awaitable[None]]


def told(at: float) -> None:
    if at:
        print(time.time() - at, flush=True)


async def noop(*, at: float = 0.0) -> None:
    told(at)


async def timed(doing: Awaitable[object]) -> None:
    begun, cpu = time.perf_counter(), time.process_time()
    await doing
    print(time.perf_counter() - begun, time.process_time() - cpu, flush=True)


async def each(add: Callable[[float], Awaitable[object]], n: int) -> None:
    for _ in range(n):
        await add(0.0)


async def stamped(add: Callable[[float], Awaitable[object]], n: int) -> None:
    for _ in range(n):
        await add(time.time())
        await asyncio.sleep(PAUSE_S)


async def adds(verb: str, n: int, add: Callable[[float], Awaitable[object]], bulk: Callable[[int], Awaitable[object]]) -> None:
    await add(0.0)  # connections, prepared statements
    if verb == "stamped":
        await stamped(add, n)
    else:
        await timed(each(add, n) if verb == "one" else bulk(n))


async def procrastinate(verb: str, url: str, n: int) -> None:
    from procrastinate import App, PsycopgConnector

    app = App(connector=PsycopgConnector(conninfo=url))
    task = app.task(name="noop")(noop)

    async def bulk(n: int) -> None:
        for begin in range(0, n, BATCH):
            await task.batch_defer_async(*[{"at": 0.0}] * min(BATCH, n - begin))

    async with app.open_async():
        if verb == "setup":
            await app.schema_manager.apply_schema_async()
        elif verb == "work":
            print("ready", flush=True)
            await app.run_worker_async(concurrency=n, install_signal_handlers=False)
        else:
            await adds(verb, n, lambda at: task.defer_async(at=at), bulk)


async def pgqueuer(verb: str, url: str, n: int) -> None:
    import asyncpg
    from pgqueuer import PgQueuer, Queries
    from pgqueuer.models import Job

    connection = await asyncpg.connect(url)
    queries = Queries.from_asyncpg_connection(connection)

    async def bulk(n: int) -> None:
        for begin in range(0, n, BATCH):
            few = min(BATCH, n - begin)
            await queries.enqueue(["noop"] * few, [None] * few, [0] * few)

    if verb == "setup":
        await queries.install()
    elif verb == "work":
        queue = PgQueuer.from_asyncpg_connection(connection)

        @queue.entrypoint("noop")
        async def _(job: Job) -> None:
            told(float(job.payload or 0))

        print("ready", flush=True)
        await queue.run(batch_size=n)
    else:
        await adds(verb, n, lambda at: queries.enqueue("noop", str(at).encode() if at else None), bulk)


async def chancy(verb: str, url: str, n: int) -> None:
    from chancy import Chancy, Job, Queue, Worker

    def job(at: float) -> Any:
        return Job.from_func(noop, kwargs={"at": at})

    async with Chancy(url) as app:

        async def bulk(n: int) -> None:
            async for _ in app.push_many([job(0.0)] * n, batch_size=BATCH):
                pass

        if verb == "setup":
            await app.migrate()
            how = {"executor": Chancy.Executor.Async, "polling_interval": 1, "eager_polling": True}
            await app.declare(Queue("default", concurrency=n, **how))
        elif verb == "work":
            async with Worker(app) as worker:
                print("ready", flush=True)
                await worker.wait_for_shutdown()
        else:
            await adds(verb, n, lambda at: app.push(job(at)), bulk)


async def oban(verb: str, url: str, n: int) -> None:
    from oban import Oban, worker
    from oban.schema import install

    @worker(queue="default")
    class Noop:
        async def process(self, job: Any) -> None:
            told(job.args["at"])

    def job(at: float) -> Any:
        return Noop.new({"at": at})

    pool = await Oban.create_pool(url)
    if verb == "setup":
        await install(pool)
    elif verb == "work":
        async with Oban(pool=pool, queues={"default": n}):
            print("ready", flush=True)
            await asyncio.Event().wait()
    else:
        async with Oban(pool=pool) as client:

            async def bulk(n: int) -> None:
                for begin in range(0, n, BATCH):
                    await client.enqueue_many([job(0.0) for _ in range(min(BATCH, n - begin))])

            await adds(verb, n, lambda at: client.enqueue(job(at)), bulk)
    await pool.close()


TOOLS: dict[str, Callable[[str, str, int], Awaitable[None]]] = {
    "procrastinate": procrastinate,
    "pgqueuer": pgqueuer,
    "chancy": chancy,
    "oban": oban,
}

if __name__ == "__main__":
    logging.disable(logging.WARNING)
    tool, verb, url, n = sys.argv[1:]
    if tool == "oban":
        from uvloop import run  # as its own command does
    else:
        from asyncio import run
    run(TOOLS[tool](verb, url, int(n)))  # type: ignore[arg-type]
