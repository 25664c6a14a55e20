"""A queue is a directory: `jobs` with one file per packet, `nextseq` and its lock; anyone may add files to it."""

from __future__ import annotations

import os

from queuectl.packet import Packet, PacketError, decode
from queuectl.packets.descriptors import open_regular, reader
from queuectl.packets.faults import DEBUG, FsplError, log, quoted, system_words
from queuectl.packets.names import is_job_name

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

_HEAD_BYTES = 4096


class Job:
    """A readable packet in a queue, with the bytes its header was read from (none where a decoder made them)."""

    __slots__ = ("header", "name", "packet")

    def __init__(self, name: bytes, packet: Packet, header: bytes) -> None:
        self.name = name
        self.packet = packet
        self.header = header


class Queue:
    """A queue directory, as named on the command line."""

    __slots__ = ("jobs", "path")

    def __init__(self, path: bytes) -> None:
        self.path = path
        self.jobs = path + b"/jobs"

    def job_path(self, name: bytes) -> bytes:
        return self.jobs + b"/" + name

    def scan(self, decoder: bytes | None) -> Iterator[Job]:
        """All jobs that can be read now, in no order; what cannot be read is passed over, as it may still arrive."""
        read = _read_plain if decoder is None else _decoded_by(decoder)
        with os.scandir(self.jobs) as entries:
            for entry in entries:
                name = entry.name
                if not is_job_name(name):
                    continue
                try:
                    # Asked of the directory entry, so that a FIFO is not even opened.
                    if entry.is_file():
                        yield Job(name, *read(self.jobs + b"/" + name))
                    else:
                        log(DEBUG, "queuectl::fspl", f"skipping {quoted(name)}: not a regular file")
                except PacketError as error:
                    log(DEBUG, "queuectl::fspl", f"skipping {quoted(name)}: {error}")
                except OSError as error:
                    log(DEBUG, "queuectl::fspl", f"skipping {quoted(name)}: {system_words(error)}")

    def find(self, number: int, decoder: bytes | None) -> Job:
        """The job with this number; FsplError where there is none, or where any two share a number."""
        job = by_number(self.scan(decoder)).get(number)
        if job is None:
            raise FsplError(f"Job {number} not found in directory {quoted(self.path)}")
        return job

    def open(self, job: Job) -> tuple[int, os.stat_result]:
        return open_regular(self.job_path(job.name))


def by_number(jobs: Iterable[Job]) -> dict[int, Job]:
    """Jobs by their number; no order can be kept where two share one, so that is an error."""
    found: dict[int, Job] = {}
    for job in jobs:
        other = found.setdefault(job.packet.seq, job)
        if other is not job:
            raise FsplError(
                f"Attempted to process {quoted(job.name)} with seq {job.packet.seq}, which was already seen in {quoted(other.name)}"
            )
    return found


def read_header(fd: int, job: Job) -> Packet:
    """The header of an open job, as it is now; leaves the descriptor at the payload."""
    head = os.read(fd, len(job.header) or _HEAD_BYTES)
    if job.header and head == job.header:
        return job.packet
    packet, length = decode(head, reader(fd))
    os.lseek(fd, length, os.SEEK_SET)
    return packet


def _read_plain(path: bytes) -> tuple[Packet, bytes]:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        head = os.read(fd, _HEAD_BYTES)
        packet, length = decode(head, reader(fd))
        return packet, head[:length] if length <= len(head) else b""
    finally:
        os.close(fd)


def _decoded_by(command: bytes) -> Callable[[bytes], tuple[Packet, bytes]]:
    from queuectl.packets.decoder import Decoder

    def read(path: bytes) -> tuple[Packet, bytes]:
        fd, _ = open_regular(path)
        try:
            with Decoder(command, fd) as decoder:
                return decode(b"", reader(decoder.output))[0], b""
        finally:
            os.close(fd)

    return read


def create(queue: Queue, append_only: bool = False) -> None:
    """Make an empty queue. Raises FileExistsError."""
    os.mkdir(queue.path)
    os.mkdir(queue.jobs)
    if not append_only:
        from queuectl.packets.sequence import Sequence

        with Sequence(queue.path + b"/nextseq", create_lock=True) as sequence:
            sequence.read()
