"""Files that are no use in a queue go to its folder `rejected`, each with a text beside it that says why."""

from __future__ import annotations

import errno
import os
from stat import S_ISDIR


def set_aside(queuedir: bytes, name: bytes, reason: str) -> bytes:
    """Move a file out of `jobs`; returns its new name, empty where it was gone. The reason is there before the file is."""
    folder = queuedir + b"/rejected"
    try:
        os.mkdir(folder, 0o700)
    except FileExistsError:  # made for an earlier one; a link would lead who knows where
        if not S_ISDIR(os.lstat(folder).st_mode):
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), os.fsdecode(folder)) from None
    kept = _free_name(folder, name)
    note = os.open(folder + b"/" + kept + b".reason", os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        os.write(note, (reason + "\n").encode("utf-8", "backslashreplace"))
    finally:
        os.close(note)
    try:
        os.rename(queuedir + b"/jobs/" + name, folder + b"/" + kept)
    except FileNotFoundError:
        os.unlink(folder + b"/" + kept + b".reason")
        return b""
    return kept


def _free_name(folder: bytes, name: bytes) -> bytes:
    kept, n = name, 1
    while os.path.lexists(folder + b"/" + kept):
        n += 1
        kept = b"%s.%d" % (name, n)
    return kept
