"""A peer for bench/pushing.py: huey on SQLite behind a small Starlette app, as one would write it."""

import sys

import huey
import uvicorn
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

tasks = huey.SqliteHuey(filename=f"{sys.argv[1]}/huey.db", fsync=True)


@tasks.task()
def run(command: str) -> None:
    pass


async def push(request: Request) -> JSONResponse:
    body = await request.json()
    task = await run_in_threadpool(run, body["command"])
    return JSONResponse({"id": task.id}, 201)


async def ready(request: Request) -> JSONResponse:
    return JSONResponse({"status": "ready"})


if __name__ == "__main__":
    app = Starlette(routes=[Route("/jobs", push, methods=["POST"]), Route("/readyz", ready)])
    uvicorn.run(app, port=int(sys.argv[2]), log_level="warning", access_log=False)
