"""The keeper: the worker's parent, which starts it, keeps the exit statuses of jobs it leaves behind, and only waits.

A worker that is killed cannot take its jobs with it: they become children of the keeper (a "child subreaper"), run on,
and when they end the keeper writes their wait status into its own journal before it reaps them. The keeper starts the
worker again at once; the new worker adopts what runs and learns from the journal what has ended. The keeper opens no
database, so that it stays small and nothing of the queue can hurt it. Beside workers it keeps parts (`parts`).

    waitid(any child, WNOWAIT) → was it the worker? start another : write its end to the journal → reap → next, or wait

Signals have no handlers here. They are blocked from its first instant to its last, through every `exec`, and taken one at a
time, between two ends of children or when there are none: none comes at a wrong time, and none is lost.

It ends with a worker that ended in good order, else when no child is left; while it has parts, when it is told to. It
renews itself by `exec` (children and the subreaper mark outlive that) when the worker asks for it: an upgrade. If the
keeper itself is killed, the worker turns into a keeper by the same `exec` and starts a worker that adopts.
"""

from __future__ import annotations

import os
import signal
import sys
from time import monotonic, time_ns

from ..clock import has_run_nothing, process_start
from ..saying import say
from . import mark, system
from .ends import End, EndsBook, path_of
from .parts import LEAVING, LEAVING_PIDS, ON_DEMAND, Parts, kept_sockets

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection

MODULE = "queuectl.run.keeper"
STOPPING = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
TOLD = frozenset((*STOPPING, *ON_DEMAND))
HEARD = (*TOLD, signal.SIGCHLD, signal.SIGALRM)
PR_SET_CHILD_SUBREAPER = 36
RENEW = 85  # the worker's exit status that asks for new code under running jobs
RENEWED = signal.SIGHUP  # to a worker, as to a part: end, you are about to be started again with new code
LEFT = 86  # its exit status when it was told to leave them running
STORAGE = 7
HOPELESS = (2, 3, 4, 5, STORAGE)  # a start that failed for a reason that another start would meet again
GOOD_RUN_S = 1.0  # a worker that lived so long did not die of its start
PAUSE_S_MAX = 2.0
DEATHS_MAX = 6  # a worker that never gets going is not started for ever
PROVEN = "proven"  # flag: a worker with these arguments has worked before
SPAWN_AGAIN_S = 0.5
CANNOT_RUN = 127  # how a process ends whose `exec` was refused


class Keeper:
    """`arguments`: database, slots, queues, flags (the worker's own), how many worker processes to keep, parts."""

    def __init__(self, arguments: list[str]) -> None:
        self.arguments = arguments
        me = os.getpid()
        self.me = (me, process_start(me))
        self.book = EndsBook(path_of(arguments[0] + ".run", self.me), self.rest)
        self.proven = PROVEN in arguments[3].split(",")
        self.parts = Parts(arguments[5:], arguments[0], self.me)
        self.workers: dict[int, float] = {}  # pid → when it was started
        self.due: list[float] = []  # when others are to be started
        self.heir = 0  # the worker that starts the parts should it have to take the keeper's place
        self.pause = 0.0
        self.deaths = 0  # in a row, without a good run between
        self.stopping = False
        self.renewing = False
        self.over = False  # no reason is left to keep parts
        self.jobs_left = False  # a worker ended otherwise than with all its jobs done
        self.code = 0

    def run(self) -> int:
        become_subreaper()
        signal.pthread_sigmask(signal.SIG_BLOCK, HEARD)
        if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:  # `nohup`: what is neither blocked nor handled is dropped
            signal.pthread_sigmask(signal.SIG_UNBLOCK, (signal.SIGHUP,))
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # an inherited "ignore" throws exit statuses away
        self.begin()
        self.watch()
        if not self.somebody_will_ask():
            self.book.remove()
        return self.code

    def begin(self) -> None:
        self.due = [monotonic()] * int(self.arguments[4])
        self.start_due()
        self.parts.start()

    def somebody_will_ask(self) -> bool:
        """A worker that left jobs running has not been taken over yet: who does that must learn here how they ended."""
        try:
            names = os.listdir(os.path.dirname(self.book.path))
        except FileNotFoundError:
            return False  # who waited for our end has taken the store away
        return any(name.startswith("worker-") and name.endswith(".journal") for name in names)

    def wait(self) -> None:
        """Until a signal comes, a child's end among them, or something is to be started."""
        moments = [*self.due, *self.parts.due()]
        self.hear(HEARD, min(moments) - monotonic() if moments else None)

    def rest(self, seconds: float) -> None:
        """In the middle of something: whatever comes is heard, but for ends of children."""
        self.hear((*TOLD, signal.SIGALRM), seconds)
        self.start_due()

    def hear(self, signals: Collection[signal.Signals], seconds: float | None) -> None:
        """Wait for one of them, no longer than this, and do what it says."""
        if seconds is not None:  # an alarm: `sigtimedwait` makes a signal up when we were stopped until the time was over
            signal.setitimer(signal.ITIMER_REAL, max(0.001, seconds))
        number = signal.Signals(signal.sigwaitinfo(signals).si_signo)
        if seconds is not None:
            signal.setitimer(signal.ITIMER_REAL, 0)
        if number in STOPPING:
            self.forward(number)
        elif number in ON_DEMAND:
            self.want(ON_DEMAND[number])

    def forward(self, number: signal.Signals) -> None:
        """Pass a signal on to the workers, once; they have process groups of their own so that Ctrl-C comes this way.

        The second of them ends what runs, so a hang-up does not count after another: whose server dies may hear several.
        """
        if self.stopping and number == signal.SIGHUP:
            return
        self.parts.end(signal.SIGTERM, faces=self.stopping or not self.keeps_workers, again=self.stopping)
        self.stopping = self.over = True
        for worker in self.workers:
            os.kill(worker, signal.SIGTERM)  # not reaped yet, so the number is still its own

    def want(self, part: str) -> None:
        if not (self.stopping or self.renewing):
            queues, flags = self.arguments[2:4]
            self.parts.want(part, f"queues={queues};flags={flags};idle=60")

    def watch(self) -> None:
        """Wait for children until none is left, or no worker and none of its jobs: a process that a job has left
        behind holds nobody up."""
        while self.goes_on():
            self.start_due()
            try:
                found = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOWAIT | os.WNOHANG)
            except ChildProcessError:
                if not (self.due or self.parts):
                    return
                found = None
            if found is None:
                self.wait()
                continue
            if found.si_pid in self.workers:
                self.worker_ended(found)
            elif found.si_pid in self.parts.running:
                self.part_ended(found)
            else:
                self.keep(found)
            if told := signal.sigpending() & TOLD:  # however many more have ended
                self.hear(told, None)

    def goes_on(self) -> bool:
        """Whether there is something left to wait for; parts end after the workers have."""
        if (self.over or self.renewing or not self.parts.asked) and not self.keeps_workers:
            self.parts.end(RENEWED if self.renewing and not self.over else signal.SIGTERM, faces=True)
            if self.renewing and not self.over and not self.parts.hold_sockets:
                self.renew()  # other parts may take as long as the calls that they make: their end is seen all the same
        return bool(self.keeps_workers or self.parts or self.jobs_left)

    @property
    def keeps_workers(self) -> bool:
        return bool(self.workers or self.due)

    def renew(self) -> None:
        """Become the new code's keeper. When that cannot even be loaded, go on: this code knows what its children are."""
        why = "it cannot be loaded"
        try:
            if loads(sys.executable):
                self.book.outlives_exec(True)
                self.parts.leave_to_next()
                become(self.arguments)
        except OSError as fault:
            os.environ.pop(LEAVING_PIDS, None)
            self.book.outlives_exec(False)
            why = fault.strerror or str(fault)
        say(f"the keeper cannot be renewed ({why}); going on with the one there is")
        self.renewing = self.jobs_left = False  # the workers take the jobs over
        self.begin()

    def worker_ended(self, found: os.waitid_result) -> None:
        """In good order, or without hope: stay only for the jobs that are left. Otherwise start it again."""
        began = self.workers.pop(found.si_pid)
        os.waitpid(found.si_pid, 0)
        code = exit_code(found)
        if code == RENEW:
            self.proven = self.renewing = self.jobs_left = True
            self.due.clear()
            for worker in () if self.stopping else self.workers:  # one that began behind the asking was not asked
                os.kill(worker, RENEWED)  # not reaped yet, so the number is still its own
            return  # the last of them to end renews us all
        self.code = 0 if code == LEFT else code
        lived = monotonic() - began > GOOD_RUN_S
        self.proven = self.proven or lived or code >= 128
        self.deaths = 0 if lived or code >= 128 else self.deaths + 1
        # Where a worker has worked before, no trouble is without hope: a full disk, for one, passes.
        final = code in HOPELESS and (code != STORAGE or self.deaths > 1)  # a disk may fail once
        hopeless = not self.proven and (final or self.deaths > DEATHS_MAX)
        if code in (0, LEFT) or hopeless or (self.stopping and code < 128):
            self.jobs_left = self.jobs_left or code != 0
            self.over = self.over or hopeless
            if hopeless and not final:
                say(f"the worker died {self.deaths} times before it could begin; it is not started again")
            return
        if self.renewing:
            return  # the new keeper starts them all
        self.pause = 0.0 if lived else min(PAUSE_S_MAX, self.pause * 2 or 0.05)
        then = f" in {self.pause:g} s" if self.pause > 1 else ""
        say(f"the worker died ({describe(found)}); its jobs run on, starting it again{then}")
        self.due.append(monotonic() + self.pause)

    def part_ended(self, found: os.waitid_result) -> None:
        """Start it again, unless it ended as it should, or cannot work from the very start."""
        part, good = self.parts.ended(found.si_pid)
        os.waitpid(found.si_pid, 0)
        code = exit_code(found)
        if code == 0 or part == LEAVING or self.over or self.renewing or not (self.keeps_workers or self.parts.asked):
            return
        self.proven = self.proven or good
        if code in HOPELESS and not self.proven and part in self.parts.asked:
            self.code = code
            self.forward(signal.SIGTERM)
            return
        pause = self.parts.start_again(part, good or code == RENEW)
        if code != RENEW:
            then = f" in {pause:g} s" if pause > 1 else ""
            say(f"part {part.partition('=')[0]} died ({describe(found)}); starting it again{then}")

    def start_due(self) -> None:
        self.parts.start_due()
        waiting, now = self.due, monotonic()
        self.due = [moment for moment in waiting if moment > now]
        for _ in range(len(waiting) - len(self.due)):
            self.start_worker()

    def start_worker(self) -> None:
        """The worker is told who its keeper is: killed in this moment, the keeper could not be found by asking for it."""
        inherited = self.arguments if self.heir not in self.workers else self.arguments[:5]
        command = [sys.executable, "-m", "queuectl.run.process", *inherited, str(self.me[0]), str(self.me[1])]
        # Signals that come before the worker can act on them wait for it.
        blocked = [signal.SIGTERM, signal.SIGINT, RENEWED]
        try:
            worker = os.posix_spawn(sys.executable, command, os.environ, setpgroup=0, setsigmask=blocked)
        except OSError as fault:
            say(f"the worker cannot be started now: {fault.strerror}; trying again")
            self.due.append(monotonic() + SPAWN_AGAIN_S)
            return
        self.workers[worker] = monotonic()
        self.heir = self.heir if self.heir in self.workers else worker
        if self.stopping:
            os.kill(worker, signal.SIGTERM)

    def keep(self, found: os.waitid_result) -> None:
        """Write how a job ended, then let its process go. What a job has left behind, and is no job, leaves no line: nobody
        will ask, and whoever takes over reads the whole book."""
        start, end, may_be_job = facts_of(found, self.rest)
        if not may_be_job:
            os.waitpid(found.si_pid, 0)
            return
        self.book.note(found.si_pid, start, end)
        cpu_us, memory_max = system.reap(found.si_pid)
        if not end.memory_max:  # only that has told what it used
            self.book.note(found.si_pid, start, end.but(cpu_us=cpu_us, memory_max=memory_max))


def facts_of(found: os.waitid_result, rest: Callable[[float], None]) -> tuple[int, End, bool]:
    """When a zombie began, how it ended, and whether it can be a job: those lead sessions. It is not reaped yet, so when the
    system cannot say (no memory, no descriptor) it will say later, after a rest."""
    zombie = found.si_pid
    status = found.si_status << 8 if found.si_code == os.CLD_EXITED else found.si_status
    while True:
        try:
            # Its worker died before it could hear that the program cannot be started: nothing has run.
            in_vain = status == CANNOT_RUN << 8 and has_run_nothing(zombie)
            # With what it used, where the system tells that before it is reaped: a worker that waits for the end reads the
            # first line at once.
            seen = system.look_at_end(zombie)
            cpu_us, memory_max = (seen and seen.used) or (0, 0)
            end = End(status, time_ns() // 1000, cpu_us, memory_max, mark.on(zombie))
            return process_start(zombie), end, os.getsid(zombie) == zombie and not in_vain
        except OSError:
            rest(0.05)


def exit_code(found: os.waitid_result) -> int:
    return int(found.si_status if found.si_code == os.CLD_EXITED else 128 + found.si_status)


def describe(found: os.waitid_result) -> str:
    if found.si_code == os.CLD_EXITED:
        return f"exit status {found.si_status}"
    return f"signal {found.si_status}"


def become(arguments: list[str], stopping: Callable[[], bool] = lambda: False) -> None:
    """Be a new keeper, with the code that is there now; the children stay, and so do the listening sockets. Signals that come
    meanwhile wait for it, and one that has come before, if we are `stopping`. Raises OSError: nothing has changed."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, HEARD)
    if stopping():
        signal.raise_signal(signal.SIGTERM)
    for fd in kept_sockets():
        os.set_inheritable(fd, True)
    try:
        os.execv(sys.executable, [sys.executable, "-m", MODULE, *arguments])
    except OSError:
        kept_sockets()  # from all children but the faces, as before
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        raise


def loads(interpreter: str) -> bool:
    """Whether the code that is there now is a keeper's. Raises OSError."""
    silent = [(os.POSIX_SPAWN_OPEN, 2, os.devnull, os.O_WRONLY, 0)]
    trial = os.posix_spawn(interpreter, [interpreter, "-c", f"import {MODULE}"], os.environ, file_actions=silent)
    return os.waitpid(trial, 0)[1] == 0


def become_subreaper() -> None:
    """Orphaned descendants become this process's children instead of init's. Linux only; elsewhere they are init's."""
    try:
        import ctypes

        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    except (ImportError, AttributeError, OSError):
        pass  # without it a worker's death still leaves its jobs running; only their exit statuses are not known


if __name__ == "__main__":
    # What we were given: a lock of whoever started us would be held for as long as we live.
    os.closerange(3 + len(kept_sockets()), 1 << 30)
    sys.exit(Keeper(sys.argv[1:]).run())
