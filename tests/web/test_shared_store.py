"""The web over a store on a server: the same API, the same streams."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from behaviour import postgres
from behaviour.harness import eventually

from .conftest import Listening, Server


@pytest.fixture
def shared(open_server: Callable[..., Server]) -> Iterator[Server]:
    server, store = open_server(command=""), postgres.url()
    server.env["QUEUECTL_URL"] = store
    server.env["XDG_STATE_HOME"] = str(server.folder)
    del server.env["QUEUECTL_DB_PATH"]
    server.command = "serve"
    server.socket = str(server.folder / "s")
    server.start("--count", "2", "--socket", server.socket)
    yield server
    server.end()
    postgres.drop(store)


def test_jobs_are_added_run_listed_streamed_and_read(shared: Server) -> None:
    listening = Listening(shared, "/api/v1/events")
    listening.next()
    job = shared.add({"command": "echo shared", "label": "pg"}, Idempotency_Key="k").json["id"]
    assert shared.add({"command": "echo shared", "label": "pg"}, Idempotency_Key="k").json["id"] == job
    listening.until("job", lambda data: data["id"] == job and data["stage"] == "completed")
    assert shared.ended(job)["state"] == "completed"
    assert shared.get(f"/api/v1/jobs/{job}/log?run=1").body == b"shared\n"
    assert shared.add([{"command": "true", "delay": 1000, "label": "pile"}] * 30).json["added"] == 30
    for sort in ("newest", "oldest", "updated", "priority"):
        assert shared.get(f"/api/v1/jobs?sort={sort}&limit=5").status == 200
    assert len(shared.get("/api/v1/jobs?label=pile&q=tru").json["jobs"]) == 30
    assert shared.ask("PATCH", f"/api/v1/jobs/{int(job) + 1}", {"priority": 4}).json["priority"] == 4
    for path in ("queues", "limits", "workers", "status", "metrics", "series", "dead", "schedule", "config"):
        assert shared.get(f"/api/v1/{path}").status == 200, path
    assert shared.get("/metrics").status == 200
    eventually(lambda: shared.get("/api/v1/status").json["completed"] == 1)
    assert shared.stop() == 0
    assert Path(shared.socket).exists()
    listening.close()
