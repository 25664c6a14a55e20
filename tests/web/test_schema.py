"""The API against its own description: whatever fits it, and much that does not, is answered as it says."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys

import pytest
from prometheus_client.parser import text_string_to_metric_families

from queuectl import ops
from queuectl.doors.http import openapi
from queuectl.errors import QueueError

from .conftest import Server

REQUESTS = 50_000
LONG = os.environ.get("QUEUECTL_CHAOS") == "long"
STREAMS = ("/api/v1/events", "/api/v1/jobs/{id}/log/stream")
WAITS = "GET /api/v1/jobs/{id}"  # for as long as it is asked to


def test_the_description_names_every_operation_and_nothing_else(server: Server) -> None:
    described = server.get("/openapi.json").json
    assert described == json.loads(json.dumps(openapi.document()))
    found = {(method.upper(), path) for path, methods in described["paths"].items() for method in methods}
    assert found == {(operation.method, ops.BASE + operation.path) for operation in ops.OPERATIONS}
    assert len({operation.name for operation in ops.OPERATIONS}) == len(ops.OPERATIONS)


VALUES = [None, True, False, 0, -1, 1.5, 10**30, float("inf"), float("nan"), "", "x", "0", "-1", "1e9", "\0", "\ud800", "é" * 300]
VALUES += [[], [None], [[]], ["x"], [1, True], {}, {"x": None}, {"command": 7}, {"state": 1}, {"state": [1]}, {"q": {}}]


@pytest.mark.parametrize("operation", ops.OPERATIONS, ids=lambda operation: operation.name)
def test_whatever_is_given_to_an_argument_it_takes_or_refuses_it(operation: ops.Operation) -> None:
    for argument in operation.arguments:
        for value in VALUES if argument.where == "body" else [value for value in VALUES if isinstance(value, str)]:
            try:
                argument.check(value)
            except QueueError as refusal:
                assert refusal.what, (argument.name, value)


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


def fuzz(server: Server, phases: str, examples: int, seed: int, *but: str) -> subprocess.Popen[str]:
    """schemathesis, as a program of its own, over loopback with the token; without the operations `but`."""
    argv = [
        *(sys.executable, "-m", "schemathesis.cli", "run", f"http://127.0.0.1:{server.port}/openapi.json"),
        *("--max-examples", str(examples), "--seed", str(seed), "--workers", "1", "--phases", phases, "--no-color"),
        *("-H", f"Authorization: Bearer {server.token}", "--mode", "all", "--suppress-health-check", "all"),
        *("--checks", "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"),
        *("--request-timeout", "60", "--continue-on-failure", "--generation-database", "none", "--no-shrink"),
        *[word for path in STREAMS for word in ("--exclude-path", path)],
        *[word for name in ("POST /api/v1/workers/{id}/stop", *but) for word in ("--exclude-name", name)],
    ]
    environment = {**os.environ, "NO_COLOR": "1"}
    return subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=server.folder, env=environment)


def sent(fuzzing: subprocess.Popen[str]) -> int:
    """How many requests it made, once it has found nothing wrong with any."""
    said, _ = fuzzing.communicate()
    assert fuzzing.returncode == 0, said[-8000:]
    [count] = re.findall(r"^ *(\d+) generated, \1 passed", said, re.MULTILINE)
    return int(count)


def unharmed(server: Server, web: int) -> None:
    assert server.web == web, "the web has died"
    assert "internal fault" not in server.words()
    assert "Traceback" not in server.words()
    assert server.get("/healthz").status == 200


@pytest.mark.wide
@pytest.mark.timeout(600)
@pytest.mark.parametrize(("phases", "examples"), [("fuzzing,stateful", 8), ("coverage", 1)])
def test_no_request_makes_the_server_fail(server: Server, phases: str, examples: int) -> None:
    before = server.web
    assert sent(fuzz(server, phases, examples, seed=1)) > 200
    unharmed(server, before)


@pytest.mark.chaos
@pytest.mark.skipif(not LONG, reason="fifty thousand requests are for 'make chaos'")
@pytest.mark.timeout(7200)
def test_fifty_thousand_requests_do_no_harm(server: Server) -> None:
    before, seed = server.web, 0
    count = sent(fuzz(server, "coverage,stateful", 50, seed))
    while count < REQUESTS:
        seed += 2
        rounds = [fuzz(server, "fuzzing", 300, one, WAITS) for one in (seed, seed + 1)]  # side by side
        count += sum(map(sent, rounds))
        print(f"{count} requests", flush=True)
        unharmed(server, before)
