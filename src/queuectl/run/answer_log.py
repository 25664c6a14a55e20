"""Where an answer is kept: in the job's log; a small one, which comes whole, in the store until somebody wants to read it."""

from __future__ import annotations

import os

from .. import files, output

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from ..model import Job


class CannotKeep(Exception):
    """The log cannot be written; what is wrong with it."""


SMALL = 4_000  # bytes that cost the store less than a file of their own costs


class AnswerLog:
    """The first run of a job may be `kept`, its header included, for the store to write with its end. `begun` is told where
    the run's output begins when it comes piece by piece: a call that is cut then has left something worth finding."""

    def __init__(self, folder: str, job: Job, started_us: int, begun: Callable[[int], None]) -> None:
        self.start = self.end = 0
        self.kept = b""
        self._folder = folder
        self._job = job
        self._started_us = started_us
        self._begun = begun
        self._fd = -1

    def note(self, content: bytes) -> None:
        """What nobody needs to see before the call has ended. Raises CannotKeep."""
        if self._fd >= 0 or self._job.run > 1 or self.end + len(content) > SMALL:
            self._append(content)
            return
        if not self.kept:
            self.kept = output.header_line(self._job.run, self._started_us, fresh=True)
            self.start = len(self.kept)
        self.kept += content
        self.end = len(self.kept)

    def write(self, content: bytes) -> None:
        """What may be followed while more comes. Raises CannotKeep."""
        fresh = self._fd < 0
        self._append(content)
        if fresh:
            self._begun(self.start)

    def _append(self, content: bytes) -> None:
        try:
            if self._fd < 0:
                content = self._opened() + content
            self.end += len(content)
            while content:
                content = content[os.write(self._fd, content) :]
        except OSError as fault:
            raise CannotKeep(f"{fault.strerror}: {output.log_path(self._folder, self._job)}") from None

    def _opened(self) -> bytes:
        """What stands in this run's log before what is to be written: its header, and what was only noted. Never through a
        link."""
        path = output.log_path(self._folder, self._job)
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            self._fd = os.open(path, flags, files.FILE_MODE)
        except FileNotFoundError:
            files.private_folder(self._folder)
            self._fd = os.open(path, flags, files.FILE_MODE)
        noted, self.kept = self.kept[self.start :], b""
        self.end = os.fstat(self._fd).st_size
        header = output.header_line(self._job.run, self._started_us, fresh=self.end == 0)
        self.start = self.end + len(header)
        return header + noted

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
