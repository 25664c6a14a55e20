"""TaskPusher's program, `tasker`: its flags, as Go programs take them, and the server they ask for."""

from __future__ import annotations

import os
import sys
from functools import partial

from .. import arguments, saying
from ..errors import InvalidInput, NotAllowed, QueueError
from ..locate import from_url, locate

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

    from ..doors.tasker_server import Settings

say = partial(saying.say, program="tasker")

FLAGS = {
    "address": ("localhost:9900", "where to listen, host:port"),
    "backend": ("", "the queue to keep the tasks in: a path or a URL; else queuectl.db here or above, else your own"),
    "basicauth": ("", "user:password that every request must bring; without it only loopback addresses are served"),
    "concurrency": ("4", "how many tasks run at once"),
    "loglevel": ("production", "debug or production"),
}
HELPS = ("-h", "-help", "--h", "--help")
PORT_MAX = 65_535
CONCURRENCY_MAX = 10_000


def usage() -> str:
    lines = [f"  -{name} string\n    \t{what}" + f" (default {value!r})" * bool(value) for name, (value, what) in FLAGS.items()]
    head = "usage: tasker [-flag=value ...]\n\nServes TaskPusher's API and calls what is pushed to POST /add.\n"
    return head + "\n".join(lines) + "\nSIGTERM or SIGINT: what was accepted is run to its end; a second one ends it now.\n"


def main(argv: list[str]) -> int:
    """Serve until a signal. Returns the exit code."""
    if any(word in HELPS for word in argv):
        print(usage(), end="", flush=True)
        return 0
    try:
        values = flags(argv)
        arguments.hide(values["basicauth"])
        settings = settings_of(values)
        place = from_url(values["backend"]) if values["backend"] else locate(os.environ)
        from ..doors.tasker_server import serve

        serve(place, settings, say)
    except QueueError as fault:
        say(str(fault))
        return fault.exit_code
    except ModuleNotFoundError as fault:
        say(f"{fault.name} is not installed (pip install -r compat/requirements.txt)")
        return 1
    except OSError as fault:
        say(f"{fault.filename or 'cannot serve'}: {fault.strerror or fault}")
        return 1
    return 0


def flags(argv: list[str]) -> dict[str, str]:
    """One or two dashes, `=` or the next word.

    >>> flags(["--basicauth=test:test", "-address", ":9900"])["address"]
    ':9900'
    """
    found = {name: value for name, (value, _) in FLAGS.items()}
    words = iter(argv)
    for word in words:
        name, equals, value = word.lstrip("-").partition("=")
        if not word.startswith("-") or word.startswith("---") or name not in FLAGS:
            known = ", ".join("-" + known for known in FLAGS)
            raise InvalidInput(f"{word.partition('=')[0][:60]!r} is no flag of tasker", hint=f"known: {known}")
        if not equals:
            given = next(words, None)
            if given is None:
                raise InvalidInput(f"flag -{name} needs a value", hint=f"-{name}=…", field=name)
            value = given
        found[name] = value
    return found


def settings_of(values: dict[str, str]) -> Settings:
    from ..doors.http.sockets import is_loopback
    from ..doors.tasker_server import Settings

    host, port = _address(values["address"])
    basicauth = values["basicauth"]
    if basicauth and not all(basicauth.partition(":")[::2]):
        raise InvalidInput("-basicauth is not understood", hint="write -basicauth=user:password", field="basicauth")
    if not basicauth and not is_loopback(host):
        why = f"whoever reaches {values['address']} could have this machine call what they like"
        raise NotAllowed("-basicauth is missing", why=why, hint="add -basicauth=user:password, or listen at localhost")
    if values["loglevel"] not in ("debug", "production"):
        raise InvalidInput(f"-loglevel {values['loglevel'][:40]!r} is unknown", hint="debug or production", field="loglevel")
    text = values["concurrency"]
    if not (text.isascii() and text.isdigit() and 0 < int(text[:9]) <= CONCURRENCY_MAX):
        raise InvalidInput(f"-concurrency {text[:40]!r} is not allowed", hint=f"1 to {CONCURRENCY_MAX}", field="concurrency")
    return Settings(host, port, basicauth, int(text), values["loglevel"] == "debug")


def _address(text: str) -> tuple[str, int]:
    """
    >>> _address("localhost:9900"), _address("[::1]:80"), _address(":9900")
    (('localhost', 9900), ('::1', 80), ('', 9900))
    """
    host, colon, port = text.rpartition(":")
    if not colon or not (port.isascii() and port.isdigit() and int(port[:6]) <= PORT_MAX):
        raise InvalidInput(f"-address {text[:60]!r} is not understood", hint="write host:port", field="address")
    return host.strip("[]"), int(port)


def entry() -> NoReturn:
    sys.exit(main(sys.argv[1:]))


if __name__ == "__main__":
    entry()
