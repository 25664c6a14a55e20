"""queuectl status."""

from __future__ import annotations

from .. import jsontext
from ..model import STATES
from ..report import status
from .command import JSON, Arguments, Command
from .open import the_queue
from .text import out, safe


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


COMMANDS = {"status": Command(run, options=(JSON,), example="queuectl status --json")}
