"""Help and complaints about usage: argparse, built from the tables, only when somebody needs it."""

from __future__ import annotations

import argparse
import difflib
import sys

from .. import __version__
from ..errors import InvalidInput
from . import ALIASES, COMMANDS
from .command import Arguments, Command

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NoReturn, TextIO

INTRODUCTION = """usage: queuectl COMMAND [options]

A job queue: commands that run later, in order, in parallel, again if they fail, and are never lost.

  queuectl enqueue -- gzip big.log                  add a job (the arguments stay as they are)
  queuectl enqueue --command 'make && make test'    shell text; a JSON object works too
  queuectl worker start --count 2                   run jobs, two at a time
  queuectl status                                   see how it goes

commands:
"""


class Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise InvalidInput(f"{self.prog}: {message}", hint=f"'{self.prog} --help' shows how")


def overview(stream: TextIO, code: int) -> int:
    width = max(len(name) for name in COMMANDS)
    lines = [f"  {name.ljust(width)}  {summary}\n" for name, (_, summary) in COMMANDS.items()]
    closing = "\n'queuectl COMMAND --help' shows options and an example. Exit codes: 0 done, 1 failed, 2 bad input,\n" \
        "3 not found, 4 not allowed, 5 conflict, 7 storage, 75 try again later, 124 wait timed out, 128+n signal.\n"
    stream.write(INTRODUCTION + "".join(lines) + closing)
    return code


def group_help(group: str, stream: TextIO, code: int) -> int:
    members = {name: about for name, (_, about) in COMMANDS.items() if name.startswith(group + " ")}
    stream.write(f"usage: queuectl {group} COMMAND [options]\n\ncommands:\n")
    stream.write("".join([f"  {name:<16}  {about}\n" for name, about in members.items()]))
    first = next(iter(members))
    stream.write(f"\nexample:\n  {load_example(first)}\n")
    return code


def load_example(name: str) -> str:
    from . import load

    return load(name).example


def other_word(argv: list[str]) -> int:
    """A first word that is no command: help, version, a group without its second word, or a mistake."""
    word = argv[0]
    groups = {name.split(" ")[0] for name in COMMANDS if " " in name}
    if word in ("-h", "--help", "help"):
        return explain_command(argv[1:])
    if word in ("-V", "--version", "version"):
        sys.stdout.write(f"queuectl {__version__}\n")
        return 0
    if word in groups:
        if len(argv) > 1 and argv[1] in ("-h", "--help", "help"):
            return group_help(word, sys.stdout, 0)
        if len(argv) == 1:
            return group_help(word, sys.stderr, 2)
        raise _unknown(f"{word} {argv[1]}")
    raise _unknown(word)


def explain_command(words: list[str]) -> int:
    if not words:
        return overview(sys.stdout, 0)
    name = " ".join(words[:2]) if " ".join(words[:2]) in COMMANDS else words[0]
    if name in ALIASES:
        name = " ".join(ALIASES[name][:2]) if " ".join(ALIASES[name][:2]) in COMMANDS else ALIASES[name][0]
    if name not in COMMANDS:
        return other_word([*words, "--help"])
    from . import load

    parser(name, load(name)).print_help()
    return 0


def _unknown(word: str) -> InvalidInput:
    close = difflib.get_close_matches(word, [*COMMANDS, *ALIASES], n=1)
    hint = f"did you mean 'queuectl {close[0]}'?" if close else "'queuectl --help' lists the commands"
    return InvalidInput(f"unknown command {word[:80]!r}", hint=hint)


def _usage(name: str, command: Command) -> str:
    """One line: argparse's own lists every option and cannot show what comes after `--`."""
    parts = ["queuectl " + name, "[options]" if command.options else ""]
    words = f"[{command.words} …]" if command.most != command.least and not command.takes_rest else command.words
    if command.takes_rest:
        words = f"({command.words} | --command TEXT | -- PROGRAM ARG …)"
    return " ".join([part for part in (*parts, words) if part])


def parser(name: str, command: Command) -> Parser:
    made = Parser(
        prog=f"queuectl {name}",
        usage=_usage(name, command),
        description=COMMANDS[name][1] + "." + (f" {command.about}" if command.about else ""),
        epilog=f"example:\n  {command.example}" if command.example else None,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    if command.words:
        count: Any = "*" if command.most != command.least else command.least
        made.add_argument("words", nargs=count, metavar=command.words, help=argparse.SUPPRESS)
    for option in command.options:
        how: dict[str, Any] = {"help": option.help, "dest": option.name}
        if not option.takes:
            how["action"] = "store_true"
        elif option.many:
            how |= {"action": "append", "metavar": option.takes}
        else:
            how["metavar"] = option.takes
        made.add_argument(*option.flags, **how)
    return made


def read_or_explain(name: str, command: Command, argv: list[str]) -> Arguments | int:
    """What argparse makes of an unusual command line: arguments, or help. Raises InvalidInput with the reason."""
    rest: list[str] | None = None
    if "--" in argv and command.takes_rest:
        at = argv.index("--")
        argv, rest = argv[:at], argv[at + 1 :]
    try:
        found = vars(parser(name, command).parse_intermixed_args(argv))
    except SystemExit as end:  # argparse has printed help or the version
        return int(end.code or 0)
    words = found.pop("words", []) or []
    if len(words) < command.least or (command.most is not None and len(words) > command.most):
        wanted = f"{command.words or 'no argument'}"
        raise InvalidInput(f"queuectl {name}: expected {wanted}, got {len(words)}", hint=f"'queuectl {name} --help' shows how")
    given = {key: value for key, value in found.items() if value not in (None, False)}
    return Arguments(given, list(words), rest)
