"""The verbs that show and set the next number, of a sequence file and of a queue."""

from __future__ import annotations

from queuectl.packets.descriptors import write_all
from queuectl.packets.sequence import Sequence, of_queue

TYPE_CHECKING = False
if TYPE_CHECKING:
    from queuectl.compat.fspl.args import Arguments


def prepare_get_next(args: Arguments) -> None:
    _show(Sequence(args.seqfile, create_lock=True))


def prepare_set_next(args: Arguments) -> None:
    _set(Sequence(args.seqfile, create_lock=True), args.id)


def queue_get_next(args: Arguments) -> None:
    _show(of_queue(args.queuedir))


def queue_set_next(args: Arguments) -> None:
    _set(of_queue(args.queuedir), args.id)


def _show(locked: Sequence) -> None:
    with locked as sequence:
        write_all(1, b"%d\n" % sequence.read())


def _set(locked: Sequence, following: int) -> None:
    with locked as sequence:
        sequence.read()  # a file that holds no number is not ours to overwrite
        sequence.write(following, sync_rename=True)
