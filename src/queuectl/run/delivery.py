"""The process of a packet's job: makes sure that it is this packet's turn, runs the command on it, moves the queue on.

    share the queue's lock → is the number still next? → verify → decode → command → DONE → nextseq

It holds its share of the lock as long as the command runs, so that whatever else is killed, nothing of Filespooler's
starts the packet a second time. A packet that has succeeded is renamed to a name that only this job knows (DONE) before
`nextseq` moves: a run that was cut from there on, and is started again, finds that and runs nothing. Who watches the
spool removes it. What this process has to say goes to the job's log.
"""

from __future__ import annotations

import os
import sys
from _signal import (  # type: ignore[import-not-found]
    SIG_DFL,
    SIGHUP,
    SIGINT,
    SIGTERM,
    SIGXFSZ,
    signal,
)

from queuectl import jsontext
from queuectl.packet import Command, Fail, PacketError, decode
from queuectl.packets import children, sequence, sharing
from queuectl.packets.descriptors import open_regular, reader, sync_directory
from queuectl.packets.environment import Surroundings, inherited
from queuectl.packets.faults import FsplError, system_words
from queuectl.packets.names import done_name
from queuectl.packets.queuedir import Queue
from queuectl.packets.stored import Stored
from queuectl.packets.variables import variables

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NoReturn

    from queuectl.packet import Packet

PASSED_BY, BAD_PACKET, NOT_EXECUTABLE, NOT_FOUND = 69, 65, 126, 127


class CannotRun(Exception):
    """The packet is not run; the exit status, and why in words."""

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status = status


def main(text: str) -> NoReturn:
    """Carry out the delivery that `spools.delivery` describes, and end as its command did."""
    status = 1
    try:
        status = _deliver(Delivery(jsontext.loads(text)))
    except CannotRun as fault:
        _say(str(fault))
        status = fault.status << 8
    except (FsplError, PacketError) as fault:
        _say(str(fault))
        status = 1 << 8
    except OSError as fault:
        _say(f"{os.fsdecode(fault.filename) + ': ' if fault.filename else ''}{system_words(fault)}")
        status = 1 << 8
    _end_as(status)


class Delivery:
    """What is to be done, as it was when the packet was taken."""

    def __init__(self, told: dict[str, Any]) -> None:
        self.queue = Queue(os.fsencode(told["folder"]))
        self.name = os.fsencode(told["file"])
        self.number: int = told["number"]
        self.command = [os.fsencode(word) for word in told["command"]]
        self.allow_job_params: bool = told["allow_job_params"]
        self.stored = Stored(told["decoder"], told["verify"], inherited())
        self.sequence = self.queue.path + b"/nextseq"
        store, _, rest = os.environ["QUEUECTL_RUN"].partition(":")
        self.done = self.queue.jobs + b"/" + done_name(store, int(rest.partition(":")[0]))


def _deliver(delivery: Delivery) -> int:
    """The command's wait status."""
    lock = sharing.share(delivery.queue.path)
    if lock is None:
        _say("waiting for another program that has locked the queue")
        lock = sharing.share(delivery.queue.path, wait=True)
    if os.path.lexists(delivery.done):
        _say(f"packet {delivery.number} had succeeded when an earlier run was cut")
    else:
        _refuse_passed(delivery)
        fd = _opened(delivery)
        delivery.stored.verify(fd)
        status = _decoded(delivery, fd)
        if status:
            return status
        _mark_done(delivery)
    if sequence.peek(delivery.sequence) in (delivery.number, None):
        sequence.replace(delivery.sequence, sequence.after(delivery.number), sync_rename=True)
    return 0


def _refuse_passed(delivery: Delivery) -> None:
    number = sequence.peek(delivery.sequence)
    if number != delivery.number and not (number is None and delivery.number == 1):
        raise CannotRun(PASSED_BY, f"packet {delivery.number} is not run: another program has gone on, packet {number} is next")


def _mark_done(delivery: Delivery) -> None:
    try:
        os.rename(delivery.queue.job_path(delivery.name), delivery.done)
    except FileNotFoundError:  # the command has removed it
        os.close(os.open(delivery.done, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))
    sync_directory(delivery.queue.jobs)


def _opened(delivery: Delivery) -> int:
    try:
        return open_regular(delivery.queue.job_path(delivery.name))[0]
    except OSError as fault:
        raise CannotRun(BAD_PACKET, f"the file of packet {delivery.number} cannot be read: {system_words(fault)}") from None


def _decoded(delivery: Delivery, fd: int) -> int:
    decoder = delivery.stored.decoder(fd)
    if decoder is None:
        return _run(delivery, decode(b"", reader(fd))[0], fd)
    with decoder:
        packet, _ = decode(b"", reader(decoder.output))
        status = _run(delivery, packet, decoder.output)
        trouble = decoder.trouble() if not status and isinstance(packet.work, Command) and decoder.drained() else ""
    if trouble:
        raise CannotRun(1, trouble)
    return status


def _run(delivery: Delivery, packet: Packet, payload: int) -> int:
    """The wait status of the command; of packets that run none, as if it had been so."""
    if packet.seq != delivery.number:
        raise CannotRun(BAD_PACKET, f"the file of packet {delivery.number} has become packet {packet.seq}")
    if not isinstance(packet.work, Command):
        return 1 << 8 if isinstance(packet.work, Fail) else 0
    argv = list(delivery.command)
    if delivery.allow_job_params:
        argv += packet.work.params
    elif packet.work.params:
        _say("the packet's parameters are no arguments of the command, as --allow-job-params was not given")
    env = Surroundings(inherited()).with_added(variables(packet, delivery.queue, delivery.name))
    for number in (SIGTERM, SIGINT, SIGHUP):  # meant for the command, which gets them too; we end when it has
        signal(number, lambda *_: None)
    return children.wait(_started(argv, env, payload))


def _started(argv: list[bytes], env: Any, payload: int) -> int:
    try:
        return children.start(argv, env, [(payload, 0)])
    except FileNotFoundError:
        raise CannotRun(NOT_FOUND, f"program {os.fsdecode(argv[0])} was not found") from None
    except OSError as fault:
        raise CannotRun(NOT_EXECUTABLE, f"{os.fsdecode(argv[0])} cannot be started: {system_words(fault)}") from None


def _say(line: str) -> None:
    try:
        os.write(2, os.fsencode(f"queuectl: {line}\n"))
    except OSError:
        pass  # no room for it; the exit status still tells


def _end_as(status: int) -> NoReturn:
    """End with the exit status, or by the signal, that the command ended with."""
    number = status & 0x7F
    if number:
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        signal(number, SIG_DFL) if number not in (9, 19) else None
        os.kill(os.getpid(), number)
    os._exit(status >> 8)


if __name__ == "__main__":
    signal(SIGXFSZ, SIG_DFL)
    main(sys.argv[1])
