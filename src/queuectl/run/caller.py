"""The caller as a process of its own: what the keeper starts as its part `caller`.

Arguments: the database, what is asked of it (`queues=a,b;slots=4;flags=tag:x;idle=60;quiet=1`, all of it optional), the
keeper's pid and start time. It imports the HTTP client, which is larger than a worker may be; so the keeper starts it only
when a worker has seen a call that is ready, and then it ends after a minute without any. A server keeps it always.
"""

from __future__ import annotations

import asyncio
import os
import resource
import signal
import sys

from ..errors import QueueError
from ..locate import from_argument
from ..model import TAG
from ..queue import Queue
from ..saying import say
from .calling import SIGNALS, Caller
from .keeper import RENEW
from .process import TROUBLE


def main(arguments: list[str]) -> int:
    database, text, *keeper = arguments
    asked = dict(part.partition("=")[::2] for part in text.split(";") if part)
    os.environ.pop("QUEUECTL_RUN", None)  # started from inside a job, we are no part of its run
    open_many_files()
    try:
        with Queue(from_argument(database, os.environ)) as queue:
            tags = tuple(flag for flag in _names(asked.get("flags")) if flag.startswith(TAG))
            tell = (lambda line: None) if asked.get("quiet") else say
            caller = Caller(queue, _names(asked.get("queues")), int(asked.get("slots") or 0), tags, tell)
            caller.apart = True
            caller.idle_s = float(asked.get("idle") or 0)
            if keeper:
                caller.keeper = (int(keeper[0]), int(keeper[1]))
            _run(caller)
    except QueueError as fault:
        say(str(fault))
        return fault.exit_code
    except OSError as fault:
        say(f"the caller ends: {fault}")
        return TROUBLE
    except Exception as fault:
        # A mistake of ours: one line for the user, the keeper starts the caller again; who mends it sees where.
        if os.environ.get("QUEUECTL_DEBUG"):
            raise
        say(f"internal fault of the caller: {type(fault).__name__}: {fault} (QUEUECTL_DEBUG=1 shows where)")
        return 1
    return RENEW if caller.renew else 0


def _names(text: str | None) -> tuple[str, ...]:
    return tuple(text.split(",")) if text else ()


def open_many_files() -> None:
    """As many as the system lets us have."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def _run(caller: Caller) -> None:
    async def whole() -> None:
        caller.mind_signals()
        await caller.run()

    try:
        import uvloop
    except ImportError:
        asyncio.run(whole())
    else:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(whole())


if __name__ == "__main__":
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)  # until the loop can take them in
    sys.exit(main(sys.argv[1:]))
