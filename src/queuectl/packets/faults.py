"""What goes wrong in `fspl`, and its lines on stderr: scripts and logs know their form.

FsplError     the command could not be carried out      exit code 1
UsageError    the command line makes no sense           exit code 2
"""

from __future__ import annotations

import os

ERROR, WARN, INFO, DEBUG, TRACE = 1, 2, 3, 4, 5
_NAMES = ("", "ERROR", " WARN", " INFO", "DEBUG", "TRACE")
_level = INFO


class FsplError(Exception):
    """Something at run time; `cause` is what lies below it."""

    def __init__(self, message: str, cause: str = "") -> None:
        super().__init__(message)
        self.cause = cause


class UsageError(Exception):
    """A command line that makes no sense; `verb` is the subcommand whose usage to show."""

    def __init__(self, message: str, verb: bytes = b"") -> None:
        super().__init__(message)
        self.verb = verb


def system_words(error: OSError) -> str:
    """The system's words for an error, with its number."""
    return f"{error.strerror} (os error {error.errno})"


def quoted(path: bytes) -> str:
    """A path as messages show it."""
    return '"' + os.fsdecode(path).replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'


def set_level(level: int) -> None:
    global _level
    _level = level


def log(level: int, target: str, message: str) -> None:
    """One line on stderr, if the level is wanted; a stderr that does not take it changes nothing."""
    if level <= _level:
        complain(f"{_NAMES[level]} {target}: {message}\n")


def complain(text: str) -> None:
    try:
        os.write(2, os.fsencode(text))
    except OSError:
        pass  # nobody is left to tell
