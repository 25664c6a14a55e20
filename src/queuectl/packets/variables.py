"""What a packet says, as the variables that a command sees."""

from __future__ import annotations

from queuectl.packet import Command, Packet
from queuectl.packets.faults import FsplError
from queuectl.packets.timestamps import NoSuchTime, local, utc

TYPE_CHECKING = False
if TYPE_CHECKING:
    from queuectl.packets.queuedir import Queue


def variables(packet: Packet, queue: Queue | None = None, name: bytes = b"") -> list[tuple[bytes, bytes]]:
    """What a packet says, as the variables a command sees; those about the file only for a job of a queue."""
    try:
        in_utc, in_local = utc(packet.secs, packet.nanos), local(packet.secs, packet.nanos)
    except NoSuchTime as error:
        raise FsplError(str(error)) from None
    found = [
        (b"FSPL_SEQ", b"%d" % packet.seq),
        (b"FSPL_CTIME_SECS", b"%d" % packet.secs),
        (b"FSPL_CTIME_NANOS", b"%d" % packet.nanos),
        (b"FSPL_CTIME_RFC3339_UTC", in_utc.encode()),
        (b"FSPL_CTIME_RFC3339_LOCAL", in_local.encode()),
    ]
    if queue is not None:
        found.append((b"FSPL_JOB_FILENAME", name))
        found.append((b"FSPL_JOB_QUEUEDIR", queue.path))
        found.append((b"FSPL_JOB_FULLPATH", queue.job_path(name)))
    if isinstance(packet.work, Command):
        found += [(b"FSPL_PARAM_%d" % index, param) for index, param in enumerate(packet.work.params, 1)]
        found += [(b"FSPL_SET_" + key, value) for key, value in packet.work.env]
    return found
