"""Become a process that hears SIGHUP when its parent dies: how a server starts the keeper of its own worker.

Arguments: the parent's pid, how many files may be open, the program, its arguments. The number of files is what it was
before the server made room for its clients: programs that jobs run may rely on it (`select` does).

A server that is killed takes nothing with it that runs, and leaves no worker behind that would start more: its keeper
hears the signal, once for each of the server's threads, and has the worker finish.
"""

from __future__ import annotations

import os
import resource
import signal
import sys

PR_SET_PDEATHSIG = 1


def main(arguments: list[str]) -> int:
    parent, files_max, program = int(arguments[0]), int(arguments[1]), arguments[2:]
    resource.setrlimit(resource.RLIMIT_NOFILE, (files_max, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # the server's `nohup` is not ours
    if hear_of_death(parent, signal.SIGHUP):
        os.execv(program[0], program)
    return 0


def hear_of_death(parent: int, number: int) -> bool:
    """Be sent this signal when the parent dies, also after an exec; returns whether it lives."""
    try:
        import ctypes

        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, number, 0, 0, 0)
    except (ImportError, AttributeError, OSError):
        pass  # elsewhere such a worker goes on until the next server takes its jobs over
    return os.getppid() == parent


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
