"""What a snapshot that somebody holds open costs a claim, by the clock; for `fleet.py`.

Rows of jobs that have ended cannot be removed then, and lie before those that wait. Two workers of ours run no-ops for a while:
as they do, and once more with the textbook query, which reads from the beginning each time.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from itertools import pairwise
from typing import TYPE_CHECKING

import psycopg

if TYPE_CHECKING:
    from fleet import Tool

WORKERS = 2
PARTS = 6  # the first of them is compared with the last
DONE = """
select coalesce(sum(n), 0)::bigint from (select state, n from {0}.counts union all select state, n from {0}.deltas) as lines
where state = 'completed'"""


def held(ours: Callable[[str], Tool], waiting: int, window_s: float, say: Callable[[str], None]) -> str:
    """A line for the report; `ours` opens an empty store for a verb of the workers."""
    found = {}
    for name, verb in (("as it is", "work"), ("by the textbook query", "plainly")):
        tool = ours(verb)
        tool.call("bulk", waiting)
        rates = _rates(tool, verb, window_s)
        found[name] = f"{name} {rates[0]:,.0f}/s in the first {window_s / PARTS:.0f} s, {rates[-1]:,.0f}/s in the last"
        found[name] += f" ({rates[-1] / rates[0] - 1:+.0%})"
        say(f"  held: {found[name]}")
    return f"A snapshot held open for {window_s:.0f} s, {waiting:,} waiting, {WORKERS} workers: {'; '.join(found.values())}"


def _rates(tool: Tool, verb: str, window_s: float) -> list[float]:
    count = DONE.format("queuectl")
    with psycopg.connect(tool.url) as holder, tool.workers(WORKERS, verb):
        holder.execute("set transaction isolation level repeatable read")
        holder.execute("select count(*) from queuectl.meta")
        time.sleep(1)
        seen = [(time.perf_counter(), tool.query(count))]
        for _ in range(PARTS):
            time.sleep(window_s / PARTS)
            seen.append((time.perf_counter(), tool.query(count)))
    return [(after - before) / (end - begin) for (begin, before), (end, after) in pairwise(seen)]
