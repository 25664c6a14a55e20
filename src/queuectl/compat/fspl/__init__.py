"""Filespooler's `fspl`, as a drop-in: the same packets, queues, options and exit codes, safe where the original is not."""

from __future__ import annotations

import gc
import os
import sys

from queuectl.compat.fspl.args import VERBS, Arguments, parse
from queuectl.packets.faults import FsplError, UsageError, complain, set_level, system_words

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn


def main(argv: list[str] | None = None) -> int:
    """Carry out one command line (without the program's name) and return its exit code: 0, 1 or 2."""
    from queuectl.packet import PacketError

    words = [os.fsencode(word) for word in (sys.argv[1:] if argv is None else argv)]
    try:
        _carry_out(parse(words))
        return 0
    except UsageError as error:
        return _usage(error)
    except FsplError as error:
        cause = f"\n\nCaused by:\n    {error.cause}" if error.cause else ""
        complain(f"Error: {error}{cause}\n")
    except PacketError as error:
        complain(f"Error: {error}\n")
    except OSError as error:
        complain(f"Error: {system_words(error)}\n")
    return 1


def entry() -> NoReturn:
    """The entry point of the command: nothing is left to flush, so the interpreter need not be taken down."""
    from _signal import (  # type: ignore[import-not-found]
        SIG_DFL,
        SIGINT,
        default_int_handler,
        getsignal,
        signal,
    )

    gc.disable()  # a run makes no cycles worth looking for among ten thousand jobs
    if getsignal(SIGINT) is default_int_handler:
        signal(SIGINT, SIG_DFL)
    os._exit(main())


def _carry_out(args: Arguments) -> None:
    from queuectl.packets.descriptors import open_standard

    set_level(args.log_level)
    args.stdout_open = open_standard()[1]
    if args.verb in (b"help", b"version"):
        _tell(args)
        return
    module, _, name = VERBS[args.verb].place.partition(":")
    place = __import__(f"queuectl.compat.fspl.{module}", fromlist=[name])
    getattr(place, name)(args)


def _tell(args: Arguments) -> None:
    from queuectl.compat.fspl.help import VERSION, page

    try:
        os.write(1, (VERSION if args.verb == b"version" else page(args.topic)).encode())
    except OSError:
        pass  # as in the original, help that nobody reads is no error


def _usage(error: UsageError) -> int:
    from queuectl.compat.fspl.help import page, usage

    if error.verb == b"help":
        complain(page(b""))
    else:
        complain(f"error: {error}\n\n{usage(error.verb)}\nFor more information try --help\n")
    return 2
