"""What a process of ours says to whoever reads its standard error, and nobody may: a disk can be full, a terminal gone."""

from __future__ import annotations

import os
import sys

STDERR = 2


def say(line: str, program: str = "queuectl") -> None:
    """One line, at once. Where it cannot be written it is not: no process ends, and no command fails, for its words."""
    if sys.stderr is None:
        return  # it was closed when we were started: that number is some other file's by now
    try:
        os.write(STDERR, f"{program}: {line}\n".encode(errors="backslashreplace"))
    except OSError:
        pass
