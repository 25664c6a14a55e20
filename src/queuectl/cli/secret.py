"""queuectl secret set, list, unset: the keys that calls are signed with, kept apart from the jobs that name them."""

from __future__ import annotations

import os
import sys

from .. import jsontext, signing
from ..locate import locate
from .command import JSON, Arguments, Command, Option
from .text import note, out, safe


def _secrets() -> signing.Secrets:
    return signing.Secrets(locate(os.environ))


def put(arguments: Arguments) -> int:
    """Never as a word of the command line, which every user of the machine can read."""
    secret = sys.stdin.readline().strip() if arguments.stdin else signing.new_secret()
    _secrets().put(arguments.words[0], secret)
    if arguments.stdin:
        note(f"secret {arguments.words[0]} is set")
    else:
        out(secret + "\n")
        note("give it to whoever receives the calls; it is not shown again")
    return 0


def show(arguments: Arguments) -> int:
    names = _secrets().names()
    out(jsontext.dumps(names) + "\n" if arguments.json else "".join([safe(name) + "\n" for name in names]))
    return 0


def unset(arguments: Arguments) -> int:
    _secrets().remove(arguments.words[0])
    return 0


COMMANDS = {
    "secret set": Command(
        put,
        options=(Option(("--stdin",), "read the secret from standard input instead of making one"),),
        words="NAME",
        least=1,
        most=1,
        example="queuectl secret set shop",
        about="Makes a secret and shows it once. Calls added with --sign NAME are signed with it, as Standard Webhooks has it.",
    ),
    "secret list": Command(show, options=(JSON,), example="queuectl secret list", about="The names alone."),
    "secret unset": Command(unset, words="NAME", least=1, most=1, example="queuectl secret unset shop"),
}
