"""queuectl config."""

from __future__ import annotations

from .. import jsontext
from ..config import SETTINGS, setting_name
from .command import JSON, NAMES_ONLY, Arguments, Command
from .open import the_queue
from .text import out, table


def set_one(arguments: Arguments) -> int:
    name, value = arguments.words
    with the_queue() as queue:
        stored = queue.settings.set(name, value)
    out(f"{setting_name(name)} = {stored}\n")
    return 0


def get_one(arguments: Arguments) -> int:
    name = setting_name(arguments.words[0])
    with the_queue() as queue:
        value = getattr(queue.settings.read(), name)
    out((jsontext.dumps(value) if arguments.json else str(value)) + "\n")
    return 0


def show(arguments: Arguments) -> int:
    with the_queue() as queue:
        config, stored = queue.settings.read(), queue.settings.stored()
    if arguments.json:
        out(jsontext.dumps({name: getattr(config, name) for name in SETTINGS}) + "\n")
        return 0
    if arguments.quiet:
        out("".join([name + "\n" for name in SETTINGS]))
        return 0
    rows = [(name, getattr(config, name), "set" if name in stored else "", about) for name, (_, about) in SETTINGS.items()]
    table(("SETTING", "VALUE", "", "MEANING"), rows)
    return 0


def unset(arguments: Arguments) -> int:
    with the_queue() as queue:
        queue.settings.unset(arguments.words[0])
    return 0


COMMANDS = {
    "config set": Command(set_one, words="NAME VALUE", least=2, most=2, example="queuectl config set max-retries 5"),
    "config get": Command(get_one, options=(JSON,), words="NAME", least=1, most=1, example="queuectl config get backoff_base"),
    "config list": Command(show, options=(JSON, NAMES_ONLY), example="queuectl config list"),
    "config unset": Command(unset, words="NAME", least=1, most=1, example="queuectl config unset max_retries"),
}
