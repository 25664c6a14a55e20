"""queuectl status."""

from __future__ import annotations

from .. import jsontext, trouble
from ..model import STATES
from ..store import stats
from ..workers import living
from .command import JSON, Arguments, Command
from .open import the_queue
from .text import out, safe

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ..queue import Queue


def run(arguments: Arguments) -> int:
    with the_queue() as queue:
        found = status(queue)
    if arguments.json:
        out(jsontext.dumps(found) + "\n")
        return 0
    for state in STATES:
        out(f"{state:<11} {found[state]:>9}\n")
    n = found["worker_processes"]
    slots = found["active_workers"]
    out(f"{'workers':<11} {slots:>9}{f'  (slots, in {n} processes)' if n > 1 else ''}\n")
    for queue_name in found["paused"]:
        out(f"queue {safe(queue_name)} is paused\n")
    for line in found["warnings"]:
        out(f"warning: {safe(line)}\n")
    return 0


def status(queue: Queue) -> dict[str, Any]:
    """Counts of all states, and the slots of living workers. O(1): nothing here counts rows."""
    workers = living(queue.store)
    paused = [name for (name,) in queue.store.run("select name from queues where paused order by name")]
    return {
        **stats.by_state(queue.store),
        "active_workers": sum(row.slots for row in workers),
        "worker_processes": len(workers),
        "paused": paused,
        "warnings": trouble.warnings(queue.place, queue.settings.read().min_free),
        "store": queue.place.database,
    }


COMMANDS = {"status": Command(run, options=(JSON,), example="queuectl status --json")}
