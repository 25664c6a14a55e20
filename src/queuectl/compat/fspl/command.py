"""Running the receiver's command for one packet: its arguments, its variables, its stdin, its end."""

from __future__ import annotations

import errno
import os

from queuectl.packet import Command, Fail, Packet
from queuectl.packets import children
from queuectl.packets.environment import Surroundings, inherited
from queuectl.packets.faults import ERROR, WARN, FsplError, log
from queuectl.packets.variables import variables

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from queuectl.compat.fspl.args import Arguments
    from queuectl.compat.fspl.keeper import Keeper
    from queuectl.packets.environment import Environment
    from queuectl.packets.queuedir import Queue


class Unstartable(FsplError):
    """The packet itself makes it impossible to start the command: a NUL, or more text than the system takes."""


def _nothing() -> None:
    """What a single packet has to do meanwhile."""


class Receiver:
    """The command of the receiving side, as the command line has it."""

    __slots__ = ("_args", "_base", "_place", "_prepared", "keeper", "meanwhile", "queue")

    def __init__(self, args: Arguments, queue: Queue | None = None) -> None:
        self._args = args
        self._base = Surroundings(inherited())
        self._place = children.located(args.command)
        self._prepared: tuple[Packet, Environment] | None = None
        self.queue = queue
        self.keeper: Keeper | None = None
        self.meanwhile: Callable[[], None] = _nothing

    def run(self, packet: Packet, name: bytes, payload: int, output: int | None) -> str:
        """Do what the packet says with `payload` as stdin; how it failed in words, empty where it went well."""
        if not isinstance(packet.work, Command):
            return "Failure" if isinstance(packet.work, Fail) else ""
        env = self._environment(packet, name)
        argv = self._argv(packet.work)
        descriptors = [] if self._args.ignore_payload else [(payload, 0)]
        if output is not None:
            descriptors += [(output, 1), (output, 2)]
        if self.keeper is not None and self.queue is not None:
            self.keeper.starting(self.queue.job_path(name))
        return self._outcome(self._started(argv, env, descriptors))

    def _environment(self, packet: Packet, name: bytes) -> Environment:
        if self._prepared is not None and self._prepared[0] is packet:
            return self._prepared[1]
        try:
            return self._base.with_added(variables(packet, self.queue, name))
        except FsplError as error:
            raise Unstartable(str(error)) from None

    def prepare(self, packet: Packet, name: bytes) -> None:
        """Have the variables of a packet ready for its turn."""
        try:
            self._prepared = packet, self._environment(packet, name)
        except Unstartable:
            pass  # said at its turn

    def _argv(self, work: Command) -> list[bytes]:
        own = [self._args.command, *self._args.params]
        if self._args.allow_job_params:
            return own + list(work.params)
        if work.params:
            message = "Parameters given in job ignored because --allow-job-params not given"
            log(WARN, "filespooler::cmd::cmd_exec", message)
        return own

    def _started(self, argv: list[bytes], env: Environment, descriptors: list[tuple[int, int]]) -> int:
        try:
            pid = children.start(argv, env, descriptors, place=self._place)
        except FsplError as error:
            self._idle()
            raise Unstartable(str(error)) from None
        except OSError as error:
            self._idle()
            if error.errno == errno.E2BIG:
                raise Unstartable(f"{error.strerror} (os error {error.errno})") from None
            raise
        if self.keeper is not None:
            self.keeper.running(pid)
        return pid

    def _outcome(self, pid: int) -> str:
        self.meanwhile()
        timeout_s = self._args.timeout
        status = children.wait(pid) if timeout_s is None else children.wait_within(pid, timeout_s)
        if status is None:
            status = self._overdue(pid)
        self._idle()
        if status == 0:
            return ""
        log(ERROR, "filespooler::exec", f"Command exited abnormally with status ExitStatus(unix_wait_status({status}))")
        return f"ExitResult(ExitStatus(unix_wait_status({status})))"

    def _overdue(self, pid: int) -> int:
        """Kill what has had its time, and what it started: the original leaves those running with the payload."""
        if os.environb.get(b"QUEUECTL_FSPL_TIMEOUT") == b"child":
            children.kill(pid)
        else:
            children.kill_tree(pid)
        return children.wait(pid)

    def _idle(self) -> None:
        if self.keeper is not None:
            self.keeper.idle()
