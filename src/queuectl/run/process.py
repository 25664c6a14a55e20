"""The worker as a process of its own: what the keeper starts. Arguments: see `Keeper`."""

from __future__ import annotations

import os
import signal
import sys

from .. import errors
from ..clock import process_start
from ..locate import from_argument
from ..model import COMMAND, TAG
from ..queue import Queue
from ..saying import say
from . import mark
from .keeper import LEFT, PROVEN, RENEW
from .launcher import Nameless
from .surroundings import HEARD
from .worker import Worker

TROUBLE = 71
SWITCH_S = 0.0005  # the loop must not wait long for the committer to let go of the interpreter: jobs do meanwhile


def main(arguments: list[str]) -> int:
    database, slots, queues, flags, _, *more = arguments
    parts, keeper = more[:-2], more[-2:]
    _mark_job_free()
    mark.begin()
    sys.setswitchinterval(SWITCH_S)
    again = [*arguments[:3], ",".join([*filter(None, flags.split(",")), *[PROVEN] * (PROVEN not in flags)]), "1", *parts]
    try:
        with Queue(from_argument(database, os.environ)) as queue:
            tags = [flag for flag in flags.split(",") if flag.startswith(TAG)]
            offers = (COMMAND, *tags, *_tasks())
            worker = Worker(queue, int(slots), tuple(queues.split(",")) if queues else (), offers=offers, say=say)
            worker.keeper_arguments = again
            worker.keeper = (int(keeper[0]), int(keeper[1])) if keeper else (os.getppid(), process_start(os.getppid()))
            worker.run(until_idle="until-idle" in flags.split(","))
    except errors.QueueError as fault:
        say(str(fault))
        return fault.exit_code
    except (OSError, Nameless) as fault:
        # The system is in trouble. Whatever runs is in the journal: the keeper's next worker takes over.
        say(f"the worker ends: {fault}")
        return TROUBLE
    except Exception as fault:
        # A mistake of ours: one line for the user, the keeper starts the worker again; who mends it sees where.
        if os.environ.get("QUEUECTL_DEBUG"):
            raise
        say(f"internal fault of the worker: {type(fault).__name__}: {fault} (QUEUECTL_DEBUG=1 shows where)")
        return 1
    return RENEW if worker.renew else LEFT if worker.left else 0


def _tasks() -> list[str]:
    if not os.environ.get("QUEUECTL_APP"):
        return []
    from .apps import offers  # needs more of Python than a worker of commands

    return offers()


def _mark_job_free() -> None:
    """The keeper's blocked signals are not ours, but for those that wait until the worker is ready for them."""
    signal.pthread_sigmask(signal.SIG_SETMASK, HEARD)
    os.environ.pop("QUEUECTL_RUN", None)  # started from inside a job, we are no part of its run


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
