"""queuectl token: what lets others, and browsers, use the API of this queue."""

from __future__ import annotations

from .. import tokens
from .command import Arguments, Command
from .open import the_queue
from .text import note, out


def show(arguments: Arguments) -> int:
    with the_queue() as queue:
        out(tokens.ensure(queue) + "\n")
    return 0


def rotate(arguments: Arguments) -> int:
    with the_queue() as queue:
        out(tokens.rotate(queue) + "\n")
    note("the token before, and every session in a browser, is worth nothing now")
    return 0


def link(arguments: Arguments) -> int:
    with the_queue() as queue:
        tokens.ensure(queue)
        out(f"/login?once={tokens.make_link(queue.place)}\n")
    note("put it behind the server's address; it works once, within ten minutes")
    return 0


COMMANDS = {
    "token": Command(show, example="queuectl token"),
    "token rotate": Command(rotate, example="queuectl token rotate"),
    "token link": Command(link, example="queuectl token link"),
}
