"""The sums of a queue as Prometheus reads them (text format 0.0.4)."""

from __future__ import annotations

from ... import workers
from ...model import STATES
from ...store import sql, stats

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from ...queue import Queue

TYPE = "text/plain; version=0.0.4; charset=utf-8"


def text(queue: Queue) -> str:
    living = workers.living(queue.store)
    slots = sum(row.slots for row in living if row.runs_commands)
    totals = queue.store.run(sql.TOTALS)
    counts = stats.by_queue(queue.store)
    parts = [
        _metric(
            "queuectl_jobs",
            "gauge",
            "Jobs in each state.",
            (({"queue": q, "state": s}, n[s]) for q, n in counts.items() for s in STATES),
        ),
        _metric("queuectl_runs_total", "counter", "Runs that have ended.", _runs(totals)),
        _metric(
            "queuectl_run_seconds_total", "counter", "Time that runs took.", (({"queue": row[0]}, row[3] / 1e6) for row in totals)
        ),
        _metric(
            "queuectl_wait_seconds_total",
            "counter",
            "Time that jobs which succeeded had waited.",
            (({"queue": row[0]}, row[4] / 1e6) for row in totals),
        ),
        _metric("queuectl_workers", "gauge", "Worker processes that live.", [({}, len(living))]),
        _metric("queuectl_slots", "gauge", "Jobs that can run at once.", [({}, slots)]),
    ]
    return "".join(parts)


def _runs(totals: list[tuple[str, int, int, int, int]] | list[tuple[object, ...]]) -> Iterable[tuple[dict[str, str], float]]:
    for name, succeeded, failed, *_ in totals:
        yield {"queue": str(name), "outcome": "succeeded"}, float(str(succeeded))
        yield {"queue": str(name), "outcome": "failed"}, float(str(failed))


def _metric(name: str, kind: str, about: str, samples: Iterable[tuple[dict[str, str], float]]) -> str:
    lines = [f"# HELP {name} {about}", f"# TYPE {name} {kind}"]
    lines += [f"{name}{_labels(labels)} {_number(value)}" for labels, value in samples]
    return "\n".join(lines) + "\n"


def _labels(labels: dict[str, str]) -> str:
    r"""
    >>> _labels({"queue": 'a"b'})
    '{queue="a\\"b"}'
    """
    if not labels:
        return ""
    escaped = {name: str(value).replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") for name, value in labels.items()}
    return "{" + ",".join([f'{name}="{value}"' for name, value in escaped.items()]) + "}"


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else repr(value)
