"""The tree of errors: each knows its exit code, its HTTP status and what the user can do next.

QueueError
├── InvalidInput      2   400   a field or option is wrong; nothing was stored
├── NotFound          3   404   no such job, attempt, setting
├── NotAllowed        4   403   the folder, file or caller is not trusted
├── Conflict          5   409   the job exists, or its state does not allow this
├── StorageError      7   503   the store is damaged, full, read-only, of another version
│   └── Replaced                it is another one than before: whoever works on what it knew must begin anew
├── TryAgainLater    75   503   somebody else holds the store; the same call may succeed
│   ├── Doubtful                it may have been stored, nobody could be asked in time
│   └── Moved                   rows that were taken as known have been changed: look at them, and decide again
└── WaitTimeout     124   504   what was waited for did not happen in time
"""

from __future__ import annotations


class QueueError(Exception):
    """What went wrong, why, and what to do next: one line for a person, fields for a program."""

    exit_code = 1
    http_status = 500

    def __init__(self, what: str, *, why: str = "", hint: str = "", field: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.why = why
        self.hint = hint
        self.field = field

    def __str__(self) -> str:
        return f"{self.plain} ({self.hint})" if self.hint else self.plain

    @property
    def plain(self) -> str:
        """Without what to do next: from who does that by itself."""
        return f"{self.what}: {self.why}" if self.why else self.what


class InvalidInput(QueueError):
    exit_code = 2
    http_status = 400


class NotFound(QueueError):
    exit_code = 3
    http_status = 404


class NotAllowed(QueueError):
    exit_code = 4
    http_status = 403


class Conflict(QueueError):
    exit_code = 5
    http_status = 409


class StorageError(QueueError):
    exit_code = 7
    http_status = 503


class Replaced(StorageError):
    pass


class TryAgainLater(QueueError):
    exit_code = 75
    http_status = 503


class Doubtful(TryAgainLater):
    pass


class Moved(TryAgainLater):
    pass


class WaitTimeout(QueueError):
    exit_code = 124
    http_status = 504
