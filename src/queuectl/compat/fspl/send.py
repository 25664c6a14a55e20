"""Making packets and putting them into a queue: prepare, prepare-nop, prepare-fail, queue-write."""

from __future__ import annotations

import errno
import os
from time import time_ns

from queuectl.packet import Command, Fail, Nop, Packet, encode
from queuectl.packets.descriptors import pour, sync_directory, write_all

TYPE_CHECKING = False
if TYPE_CHECKING:
    from queuectl.compat.fspl.args import Arguments


def prepare(args: Arguments) -> None:
    from queuectl.packets.environment import captured

    _prepare(args, Command(tuple(args.params), captured()))


def prepare_nop(args: Arguments) -> None:
    _prepare(args, Nop())


def prepare_fail(args: Arguments) -> None:
    _prepare(args, Fail())


def _prepare(args: Arguments, work: Command | Nop) -> None:
    if not args.stdout_open:
        # The original burns a number and writes the packet nowhere, with exit code 0.
        raise OSError(errno.EBADF, os.strerror(errno.EBADF))
    number, now_ns = take_number(args.seqfile)
    source = _opened(args.input)
    write_all(1, encode(Packet(number, now_ns // 10**9, now_ns % 10**9, work)))
    if source is not None:
        pour(source, 1)


def take_number(seqfile: bytes, *, wait: bool = False) -> tuple[int, int]:
    """The next number, which is now used up, and the time; taken under the lock, both grow together on one host."""
    if seqfile == b"-":
        return 1, time_ns()
    from queuectl.packets.sequence import Sequence, after

    with Sequence(seqfile, create_lock=True, wait=wait) as sequence:
        number = sequence.read()
        sequence.write(after(number), sync_rename=True)
        return number, time_ns()


def _opened(path: bytes | None) -> int | None:
    if path is None or path == b"-":
        return None if path is None else 0
    return os.open(path, os.O_RDONLY | os.O_CLOEXEC)


def queue_write(args: Arguments) -> None:
    """Put stdin into the queue, whatever it is; a name that counts as a job appears only when all of it is on disk."""
    from queuectl.packets.names import job_name

    jobs = args.queuedir + b"/jobs"
    name = job_name()
    temporary = jobs + b"/tmp-" + name + b".tmp"
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    try:
        pour(0, fd)
        os.fsync(fd)
    finally:
        os.close(fd)
    os.rename(temporary, jobs + b"/" + name)
    sync_directory(jobs)
