"""Figures over the whole queue, from the sums that are kept with each write and from the newest ends."""

from __future__ import annotations

from ..model import STATES
from . import sql

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .base import Store

NEWEST_ENDS = 10_000  # what percentiles and throughput look at: a bound on their cost


def by_state(store: Store) -> dict[str, int]:
    """How many jobs are in each state, zeros too."""
    counts = {str(state): 0 for state in STATES}
    for _, state, _, n in store.counts():
        counts[state] += n
    return counts


def by_queue(store: Store) -> dict[str, dict[str, int]]:
    queues: dict[str, dict[str, int]] = {}
    for queue, state, _, n in store.counts():
        counts = queues.setdefault(queue, {str(s): 0 for s in STATES})
        counts[state] += n
    return queues


def metrics(store: Store, now_us: int) -> dict[str, Any]:
    """Throughput, success rate, durations and waiting time; percentiles over the newest ten thousand runs."""
    states = by_state(store)
    ended = states["completed"] + states["dead"]
    rows = store.run(sql.TOTALS)
    ends = store.run(sql.RECENT_ENDS, (NEWEST_ENDS,))
    durations = sorted((end - start) / 1e6 for end, start, _, _ in ends)
    return {
        "jobs": sum(states.values()),
        **states,
        "success_rate": round(states["completed"] / ended, 4) if ended else None,
        **_sums([tuple(map(sum, zip(*[row[1:] for row in rows], strict=True)))] if rows else []),
        "duration_percentiles": {f"p{p}": percentile(durations, p) for p in (50, 90, 99)},
        "throughput_per_minute": {"1m": _rate(ends, now_us, 60), "1h": _rate(ends, now_us, 3600)},
        "queues": {row[0]: _sums([row[1:]]) for row in rows},
    }


def _sums(rows: list[Any]) -> dict[str, Any]:
    succeeded, failed, duration_us, waited_us = rows[0] if rows else (0, 0, 0, 0)
    runs = succeeded + failed
    return {
        "runs": runs,
        "runs_failed": failed,
        "average_duration_seconds": round(duration_us / runs / 1e6, 6) if runs else None,
        "average_wait_seconds": round(waited_us / succeeded / 1e6, 6) if succeeded else None,
    }


def _rate(ends: list[Any], now_us: int, window_s: int) -> float:
    """Runs ended per minute inside the window; over the time that the rows cover, when they cover less."""
    inside = [end for end, _, _, _ in ends if end > now_us - window_s * 1_000_000]
    if len(inside) == NEWEST_ENDS:
        window_s = max(1, (now_us - min(inside)) // 1_000_000)
    return round(len(inside) * 60 / window_s, 2)


def percentile(values: list[float], p: int) -> float | None:
    """
    >>> percentile([1.0, 2.0, 3.0, 4.0], 50), percentile([], 50)
    (2.0, None)
    """
    if not values:
        return None
    return round(values[max(0, -(-len(values) * p // 100) - 1)], 6)
