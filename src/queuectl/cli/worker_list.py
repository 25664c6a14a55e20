"""queuectl worker list."""

from __future__ import annotations

from .. import clock, shown
from ..workers import living
from .command import JSON, Arguments, Command
from .list import print_array
from .open import the_queue
from .text import ago, out, table

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..model import WorkerRow


JOBS_SHOWN = 20


def run(arguments: Arguments) -> int:
    with the_queue() as queue:
        found = [(row, [job.id for job in queue.store.jobs_of_worker(row.id)]) for row in living(queue.store)]
    if arguments.json:
        print_array(shown.worker_object(row, jobs) for row, jobs in found)
        return 0
    if not found:
        out("no worker is running\n")
        return 0
    now = clock.now_us()
    rows = [(r.id, r.host, r.pid, f"{len(j)}/{r.slots}", r.queues or "all", _since(r, now), _jobs(r, j)) for r, j in found]
    table(("WORKER", "HOST", "PID", "BUSY", "QUEUES", "SINCE", "JOBS"), rows)
    return 0


def _jobs(row: WorkerRow, jobs: list[str]) -> str:
    """The first of them: a caller may have a thousand."""
    shown = " ".join(jobs[:JOBS_SHOWN]) + " …" * (len(jobs) > JOBS_SHOWN)
    return shown if row.runs_commands else f"calls {shown}".rstrip()


def _since(row: WorkerRow, now_us: int) -> str:
    return ago((now_us - row.started_us) / 1e6)


COMMANDS = {"worker list": Command(run, options=(JSON,), example="queuectl worker list")}
