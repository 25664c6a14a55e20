"""Where an answer is kept: the job's log, opened with the first that there is to write, so that most answers are one write."""

from __future__ import annotations

import os

from .. import files, output

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from ..model import Job


class CannotKeep(Exception):
    """The log cannot be written; what is wrong with it."""


class AnswerLog:
    """`begun` is told where the run's output begins as soon as it takes more than one write: a call that is cut then has
    left something worth finding."""

    def __init__(self, folder: str, job: Job, started_us: int, begun: Callable[[int], None]) -> None:
        self.start = self.end = 0
        self._folder = folder
        self._job = job
        self._started_us = started_us
        self._begun = begun
        self._fd = -1
        self._writes = 0

    def write(self, content: bytes) -> None:
        """Raises CannotKeep."""
        try:
            if self._fd < 0:
                content = self._opened() + content
            self.end += len(content)
            while content:
                content = content[os.write(self._fd, content) :]
        except OSError as fault:
            raise CannotKeep(f"{fault.strerror}: {output.log_path(self._folder, self._job)}") from None
        self._writes += 1
        if self._writes == 2:
            self._begun(self.start)

    def _opened(self) -> bytes:
        """The header of this run, which stands before its output; never through a link."""
        path = output.log_path(self._folder, self._job)
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            self._fd = os.open(path, flags, files.FILE_MODE)
        except FileNotFoundError:
            files.private_folder(self._folder)
            self._fd = os.open(path, flags, files.FILE_MODE)
        self.end = os.fstat(self._fd).st_size
        header = output.header_line(self._job.run, self._started_us, fresh=self.end == 0)
        self.start = self.end + len(header)
        return header

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
