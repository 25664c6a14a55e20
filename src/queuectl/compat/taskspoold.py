"""TaskSpooler's server, `taskspoold`: its socket in front of queue `taskspool`, and the worker that runs that queue."""

from __future__ import annotations

import os
import signal
import sys
from functools import partial

from .. import saying
from ..doors.taskspool_place import Settings, make_folders, place_of, settings_from
from ..doors.taskspool_server import Server
from ..errors import QueueError
from ..queue import Queue

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

say = partial(saying.say, program="taskspoold")

USAGE = """usage: taskspoold

Serves a Unix socket for taskspoolctl and runs what it is sent. Takes no arguments; the environment says where:
  TASKSPOOL_SOCKET    the socket, /tmp/taskspool.sock
  TASKSPOOL_LOG_DIR   its own folder, /tmp/taskspool_logs
  TASKSPOOL_TEMP_DIR  job-<n>.out and job-<n>.err of each job, /tmp/taskspool_temp
  TASKSPOOL_MAX_JOBS  how many jobs run at once, 3
  TASKSPOOL_TZ        a time zone: jobs are shown with their times
  QUEUECTL_DB_PATH    the queue to keep the jobs in; else queuectl.db here or above, else one in TASKSPOOL_LOG_DIR
SIGTERM and SIGINT end it; jobs that run run on and are recorded, those that wait are run by the next taskspoold.
"""


def main(argv: list[str]) -> int:
    """Serve until a signal. Returns the exit code."""
    if argv:
        asked = argv in (["-h"], ["--help"])
        print(USAGE, end="", file=sys.stdout if asked else sys.stderr, flush=True)
        return 0 if asked else 2
    try:
        return _serve(settings_from(os.environ))
    except QueueError as fault:
        say(str(fault))
        return fault.exit_code
    except OSError as fault:
        say(f"{fault.filename or 'cannot serve'}: {fault.strerror or fault}")
        return 1


def _serve(settings: Settings) -> int:
    make_folders(settings)
    with Queue(place_of(settings, os.environ), create=True) as queue:
        server = Server(queue, settings, say)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            if signal.getsignal(number) is not signal.SIG_IGN:  # nohup
                signal.signal(number, lambda *_: server.stop())
        with server:
            return 1 if server.run() else 0


def entry() -> NoReturn:
    sys.exit(main(sys.argv[1:]))


if __name__ == "__main__":
    entry()
