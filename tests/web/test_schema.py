"""The API against its own description: whatever fits it, and much that does not, is answered as it says."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.request

import pytest
from prometheus_client.parser import text_string_to_metric_families

from queuectl import ops
from queuectl.doors.http import openapi

from .conftest import Server

LONG = os.environ.get("QUEUECTL_CHAOS") == "long"
STREAMS = ("/api/v1/events", "/api/v1/jobs/{id}/log/stream")


def test_the_description_names_every_operation_and_nothing_else(server: Server) -> None:
    described = server.get("/openapi.json").json
    assert described == json.loads(json.dumps(openapi.document()))
    found = {(method.upper(), path) for path, methods in described["paths"].items() for method in methods}
    assert found == {(operation.method, ops.BASE + operation.path) for operation in ops.OPERATIONS}
    assert len({operation.name for operation in ops.OPERATIONS}) == len(ops.OPERATIONS)


def test_every_operation_that_is_described_is_served(server: Server) -> None:
    for operation in ops.OPERATIONS:
        path = ops.BASE + operation.path.replace("{id}", "999999").replace("{name}", "q").replace("{key}", "k")
        if operation.kind != "stream":
            assert server.ask(operation.method, path, {} if operation.takes_body else None).status != 405, operation.name


def test_prometheus_understands_the_figures(server: Server) -> None:
    server.ended(server.add({"command": "true", "queue": "figures"}).json["id"])
    families = {family.name: family for family in text_string_to_metric_families(server.get("/metrics").body.decode())}
    assert {"queuectl_jobs", "queuectl_runs", "queuectl_workers", "queuectl_slots"} <= set(families)
    [done] = [s for s in families["queuectl_jobs"].samples if s.labels == {"queue": "figures", "state": "completed"}]
    assert done.value == 1


def fuzz(server: Server, examples: int, seed: int) -> subprocess.CompletedProcess[str]:
    """schemathesis, as a program of its own, over loopback with the token."""
    argv = [
        *(sys.executable, "-m", "schemathesis.cli", "run", f"http://127.0.0.1:{server.port}/openapi.json"),
        *("--max-examples", str(examples), "--seed", str(seed), "--workers", "2", "--phases", "fuzzing,stateful", "--no-color"),
        *("-H", f"Authorization: Bearer {server.token}", "--mode", "all", "--suppress-health-check", "all"),
        *("--checks", "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"),
        *("--request-timeout", "20", "--continue-on-failure"),
        *[word for path in STREAMS for word in ("--exclude-path", path)],
        *("--exclude-name", "POST /api/v1/workers/{id}/stop"),
    ]
    return subprocess.run(argv, capture_output=True, text=True, cwd=server.folder, env={**os.environ, "NO_COLOR": "1"})


@pytest.mark.timeout(7200)
@pytest.mark.parametrize("examples", [pytest.param(2000, marks=pytest.mark.chaos) if LONG else 8])
def test_no_request_makes_the_server_fail(server: Server, examples: int) -> None:
    before = server.web
    done = fuzz(server, examples, seed=1)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert server.web == before
    assert "internal fault" not in server.words()
    with urllib.request.urlopen(f"http://127.0.0.1:{server.port}/healthz") as answer:
        assert answer.status == 200
