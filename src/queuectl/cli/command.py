"""What a command is: its options as a table, from which the quick reader, the help, completion and the docs are made.

The quick reader understands well-formed command lines without argparse (12 ms); whatever it does not understand goes
to argparse, built from the same table, which knows how to explain.
"""

from __future__ import annotations

from ..record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


class Option(Record):
    """One option: its spellings, what it takes (empty: nothing), what it means."""

    flags: tuple[str, ...]
    help: str
    takes: str = ""  # name of its value; empty for a switch
    many: bool = False  # may be given several times

    @property
    def name(self) -> str:
        return self.flags[-1].lstrip("-").replace("-", "_")


class Arguments:
    """What was given, by name: text for options with a value, True for switches, lists for repeated ones."""

    words: list[str]  # positional
    rest: list[str] | None  # after `--`

    def __init__(self, values: dict[str, Any], words: list[str], rest: list[str] | None) -> None:
        self._values = values
        self.words = words
        self.rest = rest

    def __getattr__(self, name: str) -> Any:
        return self._values.get(name)

    def given(self, *names: str) -> list[str]:
        return [name for name in names if self._values.get(name) is not None]


class Command(Record):
    """One command. `words` describes its positional arguments for the help; `least` and `most` bound their number."""

    run: Callable[[Arguments], int]
    options: tuple[Option, ...] = ()
    words: str = ""
    least: int = 0
    most: int | None = 0
    takes_rest: bool = False  # `-- program arg …`
    example: str = ""
    about: str = ""

    def read(self, argv: list[str]) -> Arguments | None:
        """The arguments, or None when anything about them is unusual."""
        table = {flag: option for option in self.options for flag in option.flags}
        values: dict[str, Any] = {}
        words: list[str] = []
        at = 0
        while at < len(argv):
            token = argv[at]
            at += 1
            if token == "--":
                return self._bounded(values, words + ([] if self.takes_rest else argv[at:]), argv[at:] if self.takes_rest else None)
            if not token.startswith("-") or token == "-":
                words.append(token)
                continue
            flag, equals, value = token.partition("=")
            option = table.get(flag)
            if option is None:
                return None
            if option.takes and not equals:
                if at == len(argv):
                    return None
                value = argv[at]
                at += 1
            elif equals and not option.takes:
                return None
            if option.many:
                values.setdefault(option.name, []).append(value)
            elif option.name in values:
                return None
            else:
                values[option.name] = value if option.takes else True
        return self._bounded(values, words, None)

    def _bounded(self, values: dict[str, Any], words: list[str], rest: list[str] | None) -> Arguments | None:
        if len(words) < self.least or (self.most is not None and len(words) > self.most):
            return None
        return Arguments(values, words, rest)


JSON = Option(("--json",), "print JSON")
NAMES_ONLY = Option(("-q", "--quiet"), "names only")
SELECTION = (
    Option(("--state",), "only jobs in this state", "STATE", many=True),
    Option(("--queue",), "only jobs of this queue", "QUEUE"),
    Option(("--label",), "only jobs with this label", "LABEL"),
)
