"""The command line of `fspl`: a table of subcommands, read by hand because an argument parser costs a start."""

from __future__ import annotations

from queuectl.packets.faults import INFO, UsageError
from queuectl.packets.numerals import number

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

OPTIONS = {
    b"-s": "seqfile",
    b"--seqfile": "seqfile",
    b"-i": "input",
    b"--input": "input",
    b"-q": "queuedir",
    b"--queuedir": "queuedir",
    b"-j": "job",
    b"--job": "job",
    b"-d": "decoder",
    b"--decoder": "decoder",
    b"-n": "maxjobs",
    b"--maxjobs": "maxjobs",
    b"-l": "log_level",
    b"--log-level": "log_level",
    b"--append-only": "append_only",
    b"--never-delete": "never_delete",
    b"--order-by": "order_by",
    b"--on-error": "on_error",
    b"--output-to": "output_to",
    b"--allow-job-params": "allow_job_params",
    b"--ignore-payload": "ignore_payload",
    b"--timeout": "timeout",
}
FLAGS = ("append_only", "never_delete", "allow_job_params", "ignore_payload")


class Verb:
    """What a subcommand takes: options, which of them it needs, words, and whether PARAMS may follow `--`."""

    __slots__ = ("options", "params", "place", "required", "words")

    def __init__(self, place: str, options: str = "", required: str = "", words: str = "", *, params: bool = False) -> None:
        self.place = place
        self.options = (options + " " + required).split()
        self.required = required.split()
        self.words = words.split()
        self.params = params


RUNNING = "allow_job_params ignore_payload timeout"
VERBS = {
    b"prepare": Verb("send:prepare", "input", "seqfile", params=True),
    b"prepare-nop": Verb("send:prepare_nop", "", "seqfile"),
    b"prepare-fail": Verb("send:prepare_fail", "", "seqfile"),
    b"prepare-get-next": Verb("numbers:prepare_get_next", "", "seqfile"),
    b"prepare-set-next": Verb("numbers:prepare_set_next", "", "seqfile", "id"),
    b"queue-init": Verb("making:queue_init", "append_only", "queuedir"),
    b"queue-write": Verb("send:queue_write", "", "queuedir"),
    b"queue-ls": Verb("info:queue_ls", "decoder", "queuedir"),
    b"queue-info": Verb("info:queue_info", "decoder", "queuedir job"),
    b"queue-payload": Verb("info:queue_payload", "decoder", "queuedir job"),
    b"queue-get-next": Verb("numbers:queue_get_next", "", "queuedir"),
    b"queue-set-next": Verb("numbers:queue_set_next", "", "queuedir", "id"),
    b"queue-process": Verb(
        "process:queue_process",
        f"decoder maxjobs never_delete order_by on_error output_to {RUNNING}",
        "queuedir",
        "command",
        params=True,
    ),
    b"stdin-info": Verb("info:stdin_info"),
    b"stdin-payload": Verb("info:stdin_payload"),
    b"stdin-process": Verb("process:stdin_process", RUNNING, "", "command", params=True),
    b"gen-uuid": Verb("making:gen_uuid"),
    b"gen-filename": Verb("making:gen_filename"),
    b"show-license": Verb("help:show_license"),
}


class Arguments:
    """A command line that was understood; what was not given has its default."""

    def __init__(self) -> None:
        self.verb = b""
        self.topic = b""
        self.seqfile = b""
        self.input: bytes | None = None
        self.queuedir = b""
        self.job = 0
        self.id = 0
        self.decoder: bytes | None = None
        self.maxjobs: int | None = None
        self.log_level = INFO
        self.append_only = False
        self.never_delete = False
        self.order_by = "sequence"
        self.on_error = "retry"
        self.output_to = "passboth"
        self.allow_job_params = False
        self.ignore_payload = False
        self.timeout: int | None = None
        self.command = b""
        self.params: list[bytes] = []
        self.stdout_open = True


def _level(text: bytes) -> int:
    names = {b"error": 1, b"warn": 2, b"info": 3, b"debug": 4, b"trace": 5}
    level = names.get(text.lower())
    if level is None:
        try:
            level = number(text)
        except ValueError:
            level = 0
    if not 1 <= level <= 5:
        raise ValueError("expected error, warn, info, debug, trace or a number from 1 to 5")
    return level


def _choice(*choices: str) -> Callable[[bytes], str]:
    def chosen(text: bytes) -> str:
        word = text.decode("utf-8", "replace").strip().lower()
        if word not in choices:
            raise ValueError(f"expected one of {', '.join(choices)}")
        return word

    return chosen


_READERS: dict[str, Callable[[bytes], object]] = {
    "job": number,
    "id": number,
    "maxjobs": number,
    "timeout": number,
    "log_level": _level,
    "order_by": _choice("sequence", "timestamp"),
    "on_error": _choice("delete", "leave", "retry"),
    "output_to": _choice("passboth", "saveboth"),
}


class _Line:
    """The words of a command line, read from left to right."""

    def __init__(self, words: list[bytes], verb: bytes) -> None:
        self.words = words
        self.at = 0
        self.verb = verb
        self.given: dict[str, bytes | bool] = {}

    def wrong(self, message: str) -> UsageError:
        return UsageError(message, self.verb)

    def option(self, word: bytes, allowed: list[str]) -> bool:
        """Take one option with its value; False where it asks for help instead."""
        long = word.startswith(b"--")
        name, equals, value = word.partition(b"=") if long else (word[:2], word[2:3], word[2:])
        if name in (b"-h", b"--help") and not (long and equals):
            return False
        known = OPTIONS.get(name, "")
        if known not in allowed:
            raise self.wrong(f"{_text(name)} is not an option here")
        if known in self.given:
            raise self.wrong(f"{_text(name)} was given more than once")
        if known in FLAGS:
            if equals:
                raise self.wrong(f"{_text(name)} takes no value")
            self.given[known] = True
        elif equals:
            self.given[known] = value if long or equals != b"=" else value[1:]
        else:
            self.given[known] = self._value(name)
        return True

    def _value(self, name: bytes) -> bytes:
        following = self.words[self.at : self.at + 1]
        if not following or (following[0].startswith(b"-") and following[0] != b"-"):
            raise self.wrong(f"{_text(name)} needs a value")
        self.at += 1
        return following[0]


def parse(words: list[bytes]) -> Arguments:
    """What `words` (without the program's name) ask for; UsageError where they make no sense."""
    line = _Line(words, b"")
    while line.at < len(words):
        word = words[line.at]
        line.at += 1
        if word in (b"-V", b"--version") or (word[:2] == b"-V" and word[:3] != b"-V="):
            return _asking(b"version")
        if word == b"--" or word == b"-" or not word.startswith(b"-"):
            return _parse_verb(line, word)
        if not line.option(word, ["log_level"]):
            return _asking(b"help")
    raise UsageError("", b"help")


def _asking(verb: bytes, topic: bytes = b"") -> Arguments:
    args = Arguments()
    args.verb, args.topic = verb, topic
    return args


def _parse_verb(line: _Line, name: bytes) -> Arguments:
    rest = line.words[line.at :]
    if name == b"--" and not rest:
        raise UsageError("", b"help")
    if name == b"help":
        return _parse_help(rest)
    verb = VERBS.get(name)
    if verb is None:
        raise UsageError(f"there is no subcommand {_text(name)}")
    line.verb = name
    positional: list[bytes] = []
    params: list[bytes] = []
    while line.at < len(line.words):
        word = line.words[line.at]
        line.at += 1
        if word == b"--":
            (params if verb.params else positional).extend(line.words[line.at :])
            break
        if word == b"-" or not word.startswith(b"-"):
            positional.append(word)
            _within(line, verb, positional)
        elif not line.option(word, verb.options):
            return _asking(b"help", name)
    _within(line, verb, positional)
    line.given.update(zip(verb.words, positional, strict=False))
    return _complete(line, verb, params)


def _within(line: _Line, verb: Verb, positional: list[bytes]) -> None:
    if len(positional) > len(verb.words):
        raise line.wrong(f"{_text(positional[-1])} was not expected")


def _parse_help(words: list[bytes]) -> Arguments:
    topic = words[0] if words else b""
    if len(words) > 1 or (topic and topic != b"help" and topic not in VERBS):
        raise UsageError(f"there is no subcommand {_text(words[-1])}")
    return _asking(b"help", topic)


def _complete(line: _Line, verb: Verb, params: list[bytes]) -> Arguments:
    args = Arguments()
    args.verb, args.params = line.verb, params
    for name, text in line.given.items():
        reader = _READERS.get(name)
        try:
            setattr(args, name, text if reader is None or isinstance(text, bool) else reader(text))
        except ValueError as reason:
            raise line.wrong(f"{_text(text)} is no value for {name.replace('_', '-')}: {reason}") from None
    for name in (*verb.required, *verb.words):
        if name not in line.given:
            raise line.wrong(f"{name.upper()} is missing")
    return args


def _text(word: bytes | bool) -> str:
    return "'" + (word.decode("utf-8", "surrogateescape") if isinstance(word, bytes) else str(word)) + "'"
