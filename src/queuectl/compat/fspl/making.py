"""The verbs that make what packets need: a queue, names."""

from __future__ import annotations

from queuectl.packets.descriptors import write_all
from queuectl.packets.names import job_name, uuid4

TYPE_CHECKING = False
if TYPE_CHECKING:
    from queuectl.compat.fspl.args import Arguments


def queue_init(args: Arguments) -> None:
    from queuectl.packets.queuedir import Queue, create

    create(Queue(args.queuedir), args.append_only)


def gen_uuid(args: Arguments) -> None:
    write_all(1, uuid4() + b"\n")


def gen_filename(args: Arguments) -> None:
    write_all(1, job_name() + b"\n")
