"""The keeper's other children: parts, processes of their own beside the workers, so that none can hurt a job.

A part is asked for as `name=text`; the text is its own affair. It is run as `python -m MODULE database text` and, like
a worker, told who its keeper is: when that dies, the part ends, and the worker that takes the keeper's place starts it
again. A part that dies is started again, after a pause that grows. It is asked to end by SIGTERM, for good, or by
SIGHUP, because it is about to be started again with new code.

Others are started on demand: a worker that sees work for one tells its keeper so by a signal. Such a part ends by itself
when it has nothing to do, and holds no keeper up.
"""

from __future__ import annotations

import os
import signal
import sys
from time import monotonic

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

PARTS = {
    "web": "queuectl.doors.http.process",
    "caller": "queuectl.run.caller",
    "spools": "queuectl.run.spools",
}
ON_DEMAND = {signal.SIGUSR1: "caller", signal.SIGUSR2: "spools"}
LEAVING = "leaving"  # one that was told to end before its successor was started
LEAVING_PIDS = "QUEUECTL_LEAVING"  # theirs, in the environment of the keeper that this one becomes
FACES = ("web",)  # they have the listening sockets, and answer until the workers have ended
GOOD_RUN_S = 5.0  # a part that lived so long did not die of its start
PAUSE_S_MAX = 5.0
LISTEN_FD = 3  # the first socket, as systemd numbers them


class Parts:
    """The parts of one keeper: who runs, who is to be started again and when."""

    def __init__(self, asked: list[str], database: str, keeper: tuple[int, int]) -> None:
        self.asked = asked
        self._told = {int(pid) for pid in os.environ.pop(LEAVING_PIDS, "").split()}
        # pid → what was asked for, when it was started
        self.running: dict[int, tuple[str, float]] = {pid: (LEAVING, monotonic()) for pid in self._told}
        self._due: dict[str, float] = {}  # to be started again, when
        self._pauses: dict[str, float] = {}
        self._ending = False
        self._database = database
        self._keeper = keeper
        self._sockets = kept_sockets()

    def start(self) -> None:
        """Those that run were told to end before."""
        self._ending = False
        self.running = {pid: (LEAVING, began) for pid, (_, began) in self.running.items()}
        for part in self.asked:
            self._start(part)

    def __bool__(self) -> bool:
        return bool(self.running or self._due)

    def leave_to_next(self) -> None:
        """Tell the keeper that this process becomes by `exec` which parts are still ending."""
        os.environ[LEAVING_PIDS] = " ".join([str(pid) for pid in self.running])

    @property
    def hold_sockets(self) -> bool:
        """Whether some are left whose listening sockets the next keeper's are to have."""
        return any(part.partition("=")[0] in FACES for part, _ in self.running.values())

    def want(self, name: str, text: str = "") -> None:
        """A worker has work for it: start it, unless it runs."""
        known = [part for part, _ in self.running.values()] + list(self._due)
        if not self._ending and name not in [part.partition("=")[0] for part in known]:
            self._start(f"{name}={text}" if text else name)

    def _start(self, part: str) -> None:
        name, _, text = part.partition("=")
        keeper = [str(fact) for fact in self._keeper]
        command = [sys.executable, "-m", PARTS[name], self._database, text, *keeper]
        actions = [(os.POSIX_SPAWN_DUP2, fd, fd) for fd in self._sockets if name in FACES]  # onto itself: kept at exec
        blocked = [signal.SIGTERM, signal.SIGINT, signal.SIGHUP]  # until the part can act on them
        try:
            pid = os.posix_spawn(sys.executable, command, os.environ, file_actions=actions, setpgroup=0, setsigmask=blocked)
        except OSError:
            self._again(part)
        else:
            self.running[pid] = (part, monotonic())

    def ended(self, pid: int) -> tuple[str, bool]:
        """Its name, and whether it had lived long enough to be called good."""
        part, began = self.running.pop(pid)
        self._told.discard(pid)
        return part, monotonic() - began > GOOD_RUN_S

    def start_again(self, part: str, good: bool) -> float:
        """After a pause of so many seconds, unless everything is ending."""
        if good:
            self._pauses.pop(part, None)
        return 0.0 if self._ending else self._again(part)

    def _again(self, part: str) -> float:
        pause = self._pauses.get(part, 0.0)
        self._pauses[part] = min(PAUSE_S_MAX, pause * 2 or 0.1)
        self._due[part] = monotonic() + pause
        return pause

    def due(self) -> Iterable[float]:
        """When parts are to be started again."""
        return self._due.values()

    def start_due(self) -> None:
        now = monotonic()
        for part, moment in list(self._due.items()):
            if moment <= now:
                del self._due[part]
                self._start(part)

    def end(self, number: int, faces: bool, again: bool = False) -> None:
        """Ask the parts to end, those that answer people only with `faces`; each once, or once more with `again`."""
        if faces:
            self._ending = True
            self._due.clear()
        for pid, (part, _) in list(self.running.items()):
            if (faces or part.partition("=")[0] not in FACES) and (again or pid not in self._told):
                self._told.add(pid)
                os.kill(pid, number)  # not reaped yet, so the number is still its own


def kept_sockets() -> range:
    """The listening sockets that this process was given, as systemd gives them, kept from all children but the faces."""
    if os.environ.get("LISTEN_PID") != str(os.getpid()):
        return range(0)
    sockets = range(LISTEN_FD, LISTEN_FD + int(os.environ.get("LISTEN_FDS", "0")))
    for fd in sockets:
        os.set_inheritable(fd, False)
    return sockets
