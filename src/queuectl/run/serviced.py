"""The worker as systemd runs it: a stop leaves its jobs running, the next start takes them over.

systemd watches one process. It cannot be the keeper, which outlives a stop for as long as jobs run that it must see
end; so this one stands before it, and only waits. Whatever of the unit is left from before (jobs with their keeper, or
a worker whose keeper and we were killed) is asked to leave its jobs first: a unit never has two workers that start more.
"""

from __future__ import annotations

import os
import signal
import sys

from .. import clock, workers
from ..errors import QueueError
from ..queue import Queue
from ..saying import say
from . import cgroup, start

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..locate import Place

HEARD = (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD)
PATIENCE_S = 10.0


def run(place: Place, slots: int) -> int:
    """Returns when told to stop, with the worker gone, or when its keeper has ended, with that one's exit status."""
    signal.pthread_sigmask(signal.SIG_BLOCK, HEARD)
    _leave(place)
    command = start.keeper_command(place, slots, [])
    keeper = os.posix_spawn(sys.executable, command, start.environ(), setpgroup=0, setsigmask=[])
    while True:
        number = signal.sigwait(HEARD)
        ended, status = os.waitpid(keeper, os.WNOHANG)
        if ended:
            return max(0, os.waitstatus_to_exitcode(status)) or int(os.WIFSIGNALED(status))
        if number != signal.SIGCHLD:
            return _stopped(place, keeper)


def _stopped(place: Place, keeper: int) -> int:
    try:
        if not _leave(place, cgroup.children(keeper)):  # a worker that has no row yet hears it from its keeper
            os.kill(keeper, signal.SIGTERM)  # not reaped yet, so the number is still its own
        return 0
    except QueueError as fault:  # the store cannot be written: the keeper hears it without
        say(f"{fault}; the worker starts nothing more, and ends when its jobs have")
        os.kill(keeper, signal.SIGTERM)  # not reaped yet, so the number is still its own
        return fault.exit_code


def _leave(place: Place, ours: list[int] | None = None) -> int:
    """Ask the workers of this unit, and those that are `ours`, to go; wait until they have. Their jobs run on. Returns how many
    of them ran commands."""
    here, unit = (clock.boot_id(), clock.pid_namespace()), cgroup.service_of(os.getpid())
    with Queue(place) as queue:
        living = [row for row in workers.living(queue.store) if (row.boot_id, row.pid_ns) == here]
        rows = [row for row in living if row.pid in (ours or ()) or (unit and cgroup.service_of(row.pid) == unit)]
        if rows:
            workers.ask(queue, rows, "leave")
            workers.wait_until_gone(queue, rows, PATIENCE_S)
        return sum(row.runs_commands for row in rows)
