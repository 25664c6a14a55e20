"""queuectl init."""

from __future__ import annotations

import os

from ..locate import DATABASE_NAME, Place, from_url
from ..queue import Queue
from .command import Arguments, Command
from .text import out, safe


def run(arguments: Arguments) -> int:
    chosen = os.environ.get("QUEUECTL_URL") or os.environ.get("QUEUECTL_DB_PATH")
    place = from_url(chosen) if chosen else Place(os.path.join(os.getcwd(), DATABASE_NAME))
    existed = os.path.exists(place.database)
    Queue(place).close()
    out(f"{'already there' if existed else 'made'}: {safe(place.database)}\n")
    return 0


COMMANDS = {
    "init": Command(
        run,
        example="queuectl init",
        about="No other command needs it first: without a queue here or above, the user's own is used.",
    )
}
