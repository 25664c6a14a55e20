"""Looking at packets: what they say as NAME=VALUE, their payload, and the table of a queue."""

from __future__ import annotations

import os

from queuectl.packet import decode
from queuectl.packets.descriptors import pour, reader, write_all
from queuectl.packets.faults import FsplError
from queuectl.packets.queuedir import Job, Queue, read_header
from queuectl.packets.timestamps import NoSuchTime, local
from queuectl.packets.variables import variables

TYPE_CHECKING = False
if TYPE_CHECKING:
    from queuectl.compat.fspl.args import Arguments

_ROW = "%-20s %-27s "


def queue_ls(args: Arguments) -> None:
    jobs = sorted(Queue(args.queuedir).scan(args.decoder), key=_number)
    rows = [(_ROW % ("ID", "creation timestamp")).encode() + b"filename\n"]
    odd: list[int] = []
    for job in jobs:
        packet = job.packet
        try:
            made = local(packet.secs, packet.nanos)
        except NoSuchTime:
            # The original stops here, and every job after this one stays hidden.
            made = f"@{packet.secs}.{packet.nanos:09}"
            odd.append(packet.seq)
        rows.append((_ROW % (packet.seq, made)).encode() + job.name + b"\n")
    write_all(1, b"".join(rows))
    if odd:
        raise FsplError(f"time out of range in job {', '.join(map(str, odd[:10]))}")


def _number(job: Job) -> int:
    return job.packet.seq


def queue_info(args: Arguments) -> None:
    queue = Queue(args.queuedir)
    job = queue.find(args.job, args.decoder)
    _show(variables(job.packet, queue, job.name))


def stdin_info(args: Arguments) -> None:
    _show(variables(decode(b"", reader(0))[0]))


def _show(pairs: list[tuple[bytes, bytes]]) -> None:
    write_all(1, b"".join([name + b"=" + value + b"\n" for name, value in pairs]))


def stdin_payload(args: Arguments) -> None:
    decode(b"", reader(0))
    pour(0, 1)


def queue_payload(args: Arguments) -> None:
    queue = Queue(args.queuedir)
    job = queue.find(args.job, args.decoder)
    fd, _ = queue.open(job)
    try:
        if args.decoder is None:
            read_header(fd, job)
            pour(fd, 1)
        else:
            _decoded_payload(args.decoder, fd)
    finally:
        os.close(fd)


def _decoded_payload(command: bytes, fd: int) -> None:
    from queuectl.packets.decoder import Decoder

    with Decoder(command, fd) as decoder:
        decode(b"", reader(decoder.output))
        pour(decoder.output, 1)
        trouble = decoder.trouble()
    if trouble:
        raise FsplError(trouble)
