"""queuectl metrics."""

from __future__ import annotations

from .. import clock, jsontext
from ..store import stats
from .command import JSON, Arguments, Command
from .open import the_queue
from .text import out, table, took


def run(arguments: Arguments) -> int:
    with the_queue() as queue:
        found = stats.metrics(queue.store, clock.now_us())
    if arguments.json:
        out(jsontext.dumps(found) + "\n")
        return 0
    rate = found["success_rate"]
    lines = {
        "jobs": found["jobs"],
        "completed": found["completed"],
        "dead": found["dead"],
        "success rate": "-" if rate is None else f"{rate:.1%}",
        "runs": f"{found['runs']}, {found['runs_failed']} failed",
        "average duration": took(found["average_duration_seconds"]) or "-",
        "durations": ", ".join([f"{name} {took(value) or '-'}" for name, value in found["duration_percentiles"].items()]),
        "average wait": took(found["average_wait_seconds"]) or "-",
        "throughput": ", ".join([f"{n:g}/min in the last {w}" for w, n in found["throughput_per_minute"].items()]),
    }
    for name, value in lines.items():
        out(f"{name:<18}{value}\n")
    if len(found["queues"]) > 1:
        rows = [(name, q["runs"], q["runs_failed"], took(q["average_duration_seconds"])) for name, q in found["queues"].items()]
        table(("QUEUE", "RUNS", "FAILED", "AVERAGE"), rows)
    return 0


COMMANDS = {"metrics": Command(run, options=(JSON,), example="queuectl metrics --json")}
