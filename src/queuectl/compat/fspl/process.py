"""Running the packets of a queue in order, or the one on stdin.

For each job of a queue: open it, read its header again, run the command, then write the next number, then delete the
file. Killed before the number is written, the job runs again next time; killed after it, the job never runs again.
"""

from __future__ import annotations

import os

from queuectl.compat.fspl.ahead import Ahead
from queuectl.compat.fspl.command import Receiver, Unstartable
from queuectl.packet import Command, decode
from queuectl.packets.descriptors import reader
from queuectl.packets.faults import WARN, FsplError, log, quoted
from queuectl.packets.queuedir import Job, Queue, by_number, read_header
from queuectl.packets.sequence import Sequence, after, of_queue

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from queuectl.compat.fspl.args import Arguments
    from queuectl.packet import Packet

_SAVED = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC


def stdin_process(args: Arguments) -> None:
    packet, _ = decode(b"", reader(0))
    failure = Receiver(args).run(packet, b"", 0, None)
    if failure:
        raise FsplError(f"Command exited with non-success status {failure}")


def queue_process(args: Arguments) -> None:
    queue = Queue(args.queuedir)
    with of_queue(args.queuedir) as sequence:
        run = _Run(args, queue, sequence)
        if args.order_by == "timestamp":
            jobs = iter(sorted(queue.scan(args.decoder), key=_made))
        else:
            jobs = _in_order(by_number(queue.scan(args.decoder)), run.number)
        run.all(jobs)


def _made(job: Job) -> tuple[int, int]:
    return job.packet.secs, job.packet.nanos


def _in_order(jobs: dict[int, Job], number: int) -> Iterator[Job]:
    while number in jobs:
        yield jobs.pop(number)
        number = after(number)


class _Run:
    """One run over a queue, with the lock held and the number in memory."""

    def __init__(self, args: Arguments, queue: Queue, sequence: Sequence) -> None:
        self.args = args
        self.queue = queue
        self.sequence = sequence
        self.number = sequence.read()
        self.receiver = Receiver(args, queue)
        self.ahead: Ahead | None = None
        self.jobs: Iterator[Job] = iter(())
        self.receiver.meanwhile = self._meanwhile

    def all(self, jobs: Iterator[Job]) -> None:
        left = self.args.maxjobs
        self.jobs = jobs
        try:
            while left != 0:
                job = self.ahead.job if self.ahead is not None else next(jobs, None)
                if job is None:
                    break
                self._one(job)
                left = None if left is None else left - 1
        finally:
            # Also after an error: no command runs any more when one gets here.
            if self.receiver.keeper is not None:
                self.receiver.keeper.dismiss()

    def _one(self, job: Job) -> None:
        try:
            failure = self._carried_out(job)
        except Unstartable as error:
            failure = self._unstartable(job, error)
        if failure and self.args.on_error == "retry":
            raise FsplError(failure)
        if self.args.order_by == "sequence":
            self.number = after(self.number)
            self.sequence.write(self.number)
        if not (self.args.never_delete or (failure and self.args.on_error == "leave")):
            os.unlink(self.queue.job_path(job.name))

    def _meanwhile(self) -> None:
        """While a command runs: what would have to be waited for between it and the next one."""
        if self.args.order_by == "sequence":
            self.sequence.make_ready(after(self.number))
        if self.args.decoder is None:
            self._look_ahead()

    def _look_ahead(self) -> None:
        job = next(self.jobs, None)
        if job is not None:
            self.ahead = Ahead(self.queue, job)
            if self.ahead.packet is not None:
                self.receiver.prepare(self.ahead.packet, job.name)

    def _carried_out(self, job: Job) -> str:
        ahead, self.ahead = self.ahead, None
        fd = ahead.take() if ahead is not None else -1
        packet = ahead.packet if ahead is not None and fd >= 0 else None
        if fd < 0:
            fd, _ = self.queue.open(job)
        try:
            if self.args.decoder is not None:
                return self._decoded(job, fd, self.args.decoder)
            return self._plain(job, fd, packet)
        finally:
            os.close(fd)

    def _plain(self, job: Job, fd: int, packet: Packet | None) -> str:
        output = self._output(job)
        try:
            packet = packet or read_header(fd, job)
            self._keep(isinstance(packet.work, Command))
            return _aborting(self.receiver.run(packet, job.name, fd, output))
        finally:
            if output is not None:
                os.close(output)

    def _decoded(self, job: Job, fd: int, command: bytes) -> str:
        from queuectl.packets.decoder import Decoder

        with Decoder(command, fd) as decoder:
            output = self._output(job)
            try:
                packet, _ = decode(b"", reader(decoder.output))
                self._keep(isinstance(packet.work, Command))
                failure = self.receiver.run(packet, job.name, decoder.output, output)
            finally:
                if output is not None:
                    os.close(output)
            consumed = isinstance(packet.work, Command) and not self.args.ignore_payload
            if not failure and consumed and decoder.drained():
                return decoder.trouble()
        return _aborting(failure)

    def _output(self, job: Job) -> int | None:
        if self.args.output_to != "saveboth":
            return None
        return os.open(self.queue.job_path(job.name) + b".out", _SAVED, 0o666)

    def _keep(self, runs: bool) -> None:
        """Have a keeper before the first command; a run without commands needs none."""
        if runs and self.receiver.keeper is None and os.environb.get(b"QUEUECTL_FSPL_AFTER_KILL") != b"release":
            from queuectl.compat.fspl.keeper import Keeper

            self.receiver.keeper = Keeper(self.sequence.lock)

    def _unstartable(self, job: Job, error: Unstartable) -> str:
        """A packet that can never start blocks the queue, as scripts expect; where asked for, it counts as failed."""
        if os.environb.get(b"QUEUECTL_FSPL_SPAWN_FAILURE") == b"job":
            return f"Aborting processing as {quoted(job.name)} cannot be started: {error}"
        skip = "" if self.args.order_by != "sequence" else f"; queue-set-next {after(self.number)} skips it"
        advice = "QUEUECTL_FSPL_SPAWN_FAILURE=job lets --on-error decide"
        log(WARN, "queuectl::fspl", f"{quoted(job.name)} cannot be started and blocks the queue{skip}, {advice}")
        raise error


def _aborting(failure: str) -> str:
    return failure and f"Aborting processing due to exit status {failure} from command"
