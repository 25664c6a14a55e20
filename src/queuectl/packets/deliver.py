"""Sending: a packet made from a stream and put into a folder, under a number that is used up only when it is there.

`prepare` takes its number first; when its input then fails, every receiver waits for a packet that never comes. Here:

1. write header and payload to a file that counts as no job; nothing is decided yet
2. lock the sequence, waiting for it; put an earlier sender's work in order (below)
3. write the number into the header; rename the file to SENDING, a name that counts as no job either
4. write number + 1 to the sequence
5. rename SENDING to its own name; unlock

Killed before 4, the number is still free and the next sender removes what stands at SENDING; killed after 4, the number
is used up and the next sender, who holds the lock as we did, carries out step 5 for us.
"""

from __future__ import annotations

import os
from time import time_ns

from queuectl.packet import Command, Packet, PacketError, decode, encode
from queuectl.packets.descriptors import pour, reader, sync_directory, write_all
from queuectl.packets.environment import captured
from queuectl.packets.names import job_name, uuid4
from queuectl.packets.sequence import Sequence, after


def stream(seqfile: bytes, params: list[bytes], source: int | None, target: int) -> int:
    """Write the next packet of a sequence to a descriptor; returns its number."""
    work = Command(tuple(params), captured())
    with Sequence(seqfile, create_lock=True, wait=True) as sequence:
        number, now_ns = sequence.read(), time_ns()
        sequence.write(after(number), sync_rename=True)
    write_all(target, _header(number, now_ns, work))
    if source is not None:
        pour(source, target)
    return number


def into_folder(folder: bytes, seqfile: bytes, params: list[bytes], source: int | None) -> int:
    """Put the next packet of a sequence into a folder of packets; returns its number once it is on stable storage."""
    work = Command(tuple(params), captured())
    temporary = folder + b"/tmp-" + uuid4() + b".tmp"
    # As `queue-write` makes its files: who shares the folder says by umask who may read them.
    fd = -1
    try:  # from here on: an interrupt may come before we know that the file is there
        fd = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
        expected = _header(_peek(seqfile), time_ns(), work)
        write_all(fd, expected)
        if source is not None:
            pour(source, fd)
        os.fsync(fd)
        with Sequence(seqfile, create_lock=True, wait=True) as sequence:
            return _place(_Draft(folder, temporary, fd, len(expected)), sequence, work)
    except BaseException:
        _remove(temporary)
        raise
    finally:
        if fd >= 0:
            os.close(fd)


class _Draft:
    """A packet whose number is not known for certain: its file, and how long its header is."""

    __slots__ = ("fd", "folder", "length", "path")

    def __init__(self, folder: bytes, path: bytes, fd: int, length: int) -> None:
        self.folder = folder
        self.path = path
        self.fd = fd
        self.length = length


def _place(draft: _Draft, sequence: Sequence, work: Command) -> int:
    """Steps 2 to 5, with the lock held."""
    number = sequence.read()
    sending = draft.folder + b"/" + _sending_name(sequence.path)
    _put_in_order(draft.folder, sending, number)
    _number(draft, _header(number, time_ns(), work))
    os.rename(draft.path, sending)
    sequence.write(after(number), sync_rename=True)
    os.rename(sending, draft.folder + b"/" + job_name())
    sync_directory(draft.folder)
    return number


def _number(draft: _Draft, header: bytes) -> None:
    """Write the final header; where the numbers in it have grown longer meanwhile, all of the file anew behind it."""
    if len(header) == draft.length:
        os.pwrite(draft.fd, header, 0)
        os.fsync(draft.fd)
        return
    longer = draft.path + b".new"
    fd = os.open(longer, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    try:
        write_all(fd, header)
        os.lseek(draft.fd, draft.length, os.SEEK_SET)
        pour(draft.fd, fd)
        os.fsync(fd)
        os.rename(longer, draft.path)
    except BaseException:
        _remove(longer)
        raise
    finally:
        os.close(fd)


def _put_in_order(folder: bytes, sending: bytes, number: int) -> None:
    """What a sender that was killed has left: its packet belongs to the folder if its number is used up."""
    try:
        fd = os.open(sending, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        used_up = after(decode(b"", reader(fd))[0].seq) == number
    except PacketError:
        used_up = False  # a damaged disk
    finally:
        os.close(fd)
    if used_up:
        os.rename(sending, folder + b"/" + job_name())
    else:
        os.unlink(sending)


def _sending_name(seqfile: bytes) -> bytes:
    """One name for each sequence: senders of several may share a folder."""
    from hashlib import sha1

    return b".sending-" + sha1(os.path.realpath(seqfile)).hexdigest()[:16].encode()


def _peek(seqfile: bytes) -> int:
    """The number that is likely to be ours; only the length of the header depends on it."""
    from queuectl.packets.faults import FsplError
    from queuectl.packets.sequence import parse_number

    try:
        with open(seqfile, "rb") as file:
            return parse_number(file.readline(100))
    except (OSError, FsplError):
        return 1  # read again under the lock, and complained of there


def _header(number: int, now_ns: int, work: Command) -> bytes:
    return encode(Packet(number, now_ns // 10**9, now_ns % 10**9, work))


def _remove(path: bytes) -> None:
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass
