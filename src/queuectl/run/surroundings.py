"""What a worker takes over of its process while it runs: signals, the working folder, descriptors; given back at its end.

A worker that the keeper started has a process of its own, which ends with it: there nothing is given back, so that a
signal in the last moment is not the death of the process. Such a process is started with its signals blocked; none
that comes before the worker is ready for it is lost.
"""

from __future__ import annotations

import os
import signal

from . import system

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

STOPPING = (signal.SIGTERM, signal.SIGINT)
HEARD = (*STOPPING, signal.SIGHUP)  # in a process of its own


class Surroundings:
    """`wake_fd` is readable after a signal, and `asks` says what it was."""

    def __init__(self, own_process: bool) -> None:
        self.stops = 0  # signals that ask the worker to stop
        self._heeded = 0  # of these
        self._hung_up = False
        close_on_exec()
        self.wake_fd, self._wake_end = system.pipe()
        self._folder = os.open(".", getattr(os, "O_PATH", os.O_RDONLY) | os.O_CLOEXEC)
        self._handlers: dict[signal.Signals, Any] = {}
        self._own_process = own_process
        try:
            signal.set_wakeup_fd(self._wake_end, warn_on_full_buffer=False)
        except ValueError:
            return  # not the main thread: whoever runs us there stops us through the store
        # An inherited "ignore" of SIGCHLD would throw exit statuses away.
        self._handlers[signal.SIGCHLD] = signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        for number in HEARD if own_process else STOPPING:
            self._handlers[number] = signal.signal(number, self._heard)
        if own_process:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, HEARD)

    def _heard(self, number: int, frame: object) -> None:
        if number == signal.SIGHUP:
            self._hung_up = True
        else:
            self.stops += 1

    def asks(self) -> str:
        """What signals have asked for since the last look, each once: `finish`, `now` from the second on, or `restart`."""
        if self.stops > self._heeded:
            self._heeded = self.stops
            return "now" if self.stops > 1 else "finish"
        hung_up, self._hung_up = self._hung_up, False
        return "restart" if hung_up else ""

    def give_back(self) -> None:
        if not self._own_process:
            if self._handlers:
                signal.set_wakeup_fd(-1)
            for number, handler in self._handlers.items():
                signal.signal(number, signal.SIG_DFL if handler is None else handler)
            os.fchdir(self._folder)  # jobs are started in folders of their own
            os.close(self.wake_fd)
            os.close(self._wake_end)
        os.close(self._folder)


def close_on_exec() -> None:
    """Whatever descriptors this process was given stay with it: no job sees them."""
    for name in os.listdir("/proc/self/fd") if os.path.isdir("/proc/self/fd") else ():
        if int(name) > 2:
            try:
                os.set_inheritable(int(name), False)
            except OSError:
                pass  # the descriptor of the listing itself
