"""Job logs: where they are, what a run wrote, following one live. Bytes in, bytes out; nothing is decoded here.

One file per job, appended per run. Each run begins with one header line; its own output is the range of bytes after
that line, kept in its attempt row.
"""

from __future__ import annotations

import errno
import os
from functools import lru_cache
from time import gmtime, strftime

from . import files

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from .model import Attempt, Job

CHUNK = 65536
BLOCK = 4096


def log_path(folder: str, job: Job, stream: str = "") -> str:
    """The log of a job; `stream` is `.err` for jobs that keep stderr apart."""
    return f"{folder}/{job.id}{stream}.log"


def log_paths(folder: str, job: Job, stderr_apart: bool) -> list[str]:
    return [log_path(folder, job, stream) for stream in ("", ".err")[: 1 + stderr_apart]]


def open_log(folder: str, job: Job, now_us: int, stream: str = "") -> tuple[int, int]:
    """(descriptor, offset where this run's output begins), with the header line written; never through a link."""
    path = log_path(folder, job, stream)
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW
    try:
        fd = os.open(path, flags, files.FILE_MODE)
    except FileNotFoundError:
        files.private_folder(folder)
        fd = os.open(path, flags, files.FILE_MODE)
    try:
        size = os.fstat(fd).st_size
        header = header_line(job.run, now_us, fresh=size == 0)
        if os.write(fd, header) < len(header):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)
    except OSError:
        os.close(fd)
        raise
    return fd, size + len(header)


def header_line(run: int, now_us: int, fresh: bool) -> bytes:
    return f"{'' if fresh else chr(10)}--- run {run} started {_stamp(now_us // 1_000_000)} ---\n".encode()


@lru_cache(4)
def _stamp(at_s: int) -> str:
    return strftime("%Y-%m-%dT%H:%M:%SZ", gmtime(at_s))


def read_range(path: str, start: int, end: int | None) -> Iterator[bytes]:
    """The bytes from start to end (None: to the end of the file), in pieces; nothing when there is no log."""
    for _, piece in read_pieces(path, start, end):
        yield piece


def read_pieces(path: str, start: int, end: int | None) -> Iterator[tuple[int, bytes]]:
    """The pieces, each with the place in the file behind it: whoever follows a log goes on there. What was cut out of the
    log (`run.holes`) is a piece that says so."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    except FileNotFoundError:
        return
    try:
        facts = os.fstat(fd)
        sparse = facts.st_blocks * 512 < facts.st_size - BLOCK
        while end is None or start < end:
            most = CHUNK if end is None else min(CHUNK, end - start)
            if sparse and start < facts.st_size:
                data = next_data(fd, start, facts.st_size if end is None else min(end, facts.st_size))
                if data > start:
                    yield data, f"\n[queuectl: {data - start} bytes were cut out here]\n".encode()
                    start = data
                    continue
                most = min(most, next_hole(fd, start, facts.st_size) - start)
            piece = os.pread(fd, most, start)
            if not piece:
                return
            start += len(piece)
            yield start, piece
    finally:
        os.close(fd)


def next_data(fd: int, start: int, size: int) -> int:
    """Where the next bytes are that were not cut out (`run.holes`); `size` at most."""
    if start >= size:
        return start
    try:
        return min(os.lseek(fd, start, os.SEEK_DATA), size)
    except OSError:
        return size  # nothing but a hole up to the end


def next_hole(fd: int, start: int, size: int) -> int:
    """Where the next bytes are missing; `size` when none are."""
    try:
        return os.lseek(fd, start, os.SEEK_HOLE)
    except OSError:
        return size  # the file has got shorter


def fill(path: str, pieces: list[tuple[int, bytes]]) -> None:
    """Have these bytes of a log, each from where it begins, in its file; written only if they are not there."""
    try:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, files.FILE_MODE)
    except FileNotFoundError:
        files.private_folder(os.path.dirname(path))
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, files.FILE_MODE)
    try:
        for start, body in pieces:
            if os.pread(fd, len(body), start) != body and os.pwrite(fd, body, start) < len(body):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)
    finally:
        os.close(fd)


def tail_start(path: str, start: int, end: int, lines: int) -> int:
    """Where the last n lines of a range begin, reading backwards in bounded pieces."""
    if lines <= 0:
        return end
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    try:
        at, needed = end, lines
        while at > start:
            size = min(CHUNK, at - start)
            piece = os.pread(fd, size, at - size)
            if at == end and piece.endswith(b"\n"):
                piece = piece[:-1]  # the newline that ends the last line begins no other
            while (cut := piece.rfind(b"\n")) >= 0:
                needed -= 1
                if not needed:
                    return at - size + cut + 1
                piece = piece[:cut]
            at -= size
        return start
    finally:
        os.close(fd)


def with_ends(attempts: list[Attempt]) -> list[Attempt]:
    """The runs of one job, oldest first; one that was cut, so that nobody noted where its output ends, has it up to
    the header of the next."""
    found = []
    for attempt, following in zip(attempts, [*attempts[1:], None], strict=False):
        if attempt.log_end is None and following is not None and following.log_start:
            header = len(header_line(following.run, following.started_us, fresh=False))
            attempt = attempt.but(log_end=max(attempt.log_start, following.log_start - header))
        found.append(attempt)
    return found


def run_range(attempt: Attempt) -> tuple[int, int | None]:
    """Where a run's output stands in the log. Behind its header, so never at 0: that is a run which never began."""
    return (attempt.log_start, attempt.log_end) if attempt.log_start else (0, 0)


def remove_logs(folder: str, job: Job) -> None:
    for stream in ("", ".err"):
        try:
            os.unlink(log_path(folder, job, stream))
        except FileNotFoundError:
            pass  # it never ran, or kept no stderr apart


def size(folder: str, job: Job) -> int:
    return size_of(log_path(folder, job))


def size_of(path: str) -> int:
    try:
        return os.stat(path).st_size
    except OSError:
        return 0  # somebody removed it while the job ran
