"""queuectl init."""

from __future__ import annotations

import os

from ..errors import NotFound
from ..locate import DATABASE_NAME, Place, from_url
from ..queue import Queue
from .command import Arguments, Command
from .text import out, safe


def run(arguments: Arguments) -> int:
    chosen = os.environ.get("QUEUECTL_URL") or os.environ.get("QUEUECTL_DB_PATH")
    place = from_url(chosen) if chosen else Place(os.path.join(os.getcwd(), DATABASE_NAME))
    existed = _exists(place)
    with Queue(place) as queue:
        out(f"{'already there' if existed else 'made'}: {safe(queue.place.name)}\n")
    return 0


def _exists(place: Place) -> bool:
    if not place.url:
        return os.path.exists(place.database)
    try:
        Queue(place, create=False).close()
    except NotFound:
        return False
    return True


COMMANDS = {
    "init": Command(
        run,
        example="queuectl init",
        about="No other command needs it first: without a queue here or above, the user's own is used.",
    )
}
