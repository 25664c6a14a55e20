"""JSON by the interpreter's own C scanner and encoder, without `json`, whose import of `re` costs nine milliseconds.

`_json` is CPython's; where it is missing or has changed, the ordinary module does the same work.
"""

from __future__ import annotations

from .errors import InvalidInput

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, ClassVar


class _Context:
    """What the C scanner asks its caller for: see `json.decoder.JSONDecoder`."""

    strict = True
    object_hook = None
    parse_float = float
    parse_int = int
    memo: ClassVar[dict[str, str]] = {}

    @staticmethod
    def object_pairs_hook(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) != len(pairs):
            names = [name for name, _ in pairs]
            twice = next(name for name in names if names.count(name) > 1)
            raise InvalidInput(f"JSON names {twice!r} twice", hint="give it once", field=twice)
        return found

    @staticmethod
    def parse_constant(name: str) -> Any:
        raise InvalidInput(f"{name} is not JSON", hint="write a finite number")


def loads(text: str) -> Any:
    """The value of a JSON text. Raises InvalidInput with the place of the fault."""
    start = 0
    while start < len(text) and text[start] in " \t\r\n\ufeff":
        start += 1
    try:
        value, end = _scanner()(text, start)
    except RecursionError:
        raise InvalidInput("JSON is nested too deeply") from None
    except (StopIteration, ValueError, SystemError):
        # SystemError: the C scanner wants to raise json's own error class and `json` is not loaded.
        return _loads_slowly(text)
    return value if end == len(text) or not text[end:].strip(" \t\r\n") else _loads_slowly(text)


def _loads_slowly(text: str) -> Any:
    """The same by the ordinary module, which knows how to say what is wrong and where."""
    import json

    if not text.strip():
        raise InvalidInput("JSON is empty", hint='write for example {"command": "sleep 2"}')
    hint = "check the quotes; --command-file and --job-file avoid the shell's quoting"
    hooks: dict[str, Any] = {"object_pairs_hook": _Context.object_pairs_hook, "parse_constant": _Context.parse_constant}
    try:
        return json.loads(text.lstrip("\ufeff"), **hooks)
    except json.JSONDecodeError as fault:
        place = f"line {fault.lineno}, column {fault.colno}" if fault.lineno > 1 else f"column {fault.colno}"
        raise InvalidInput(f"malformed JSON at {place}", why=fault.msg, hint=hint) from None
    except RecursionError:
        raise InvalidInput("JSON is nested too deeply") from None
    except ValueError:
        raise InvalidInput("JSON holds a number of too many digits") from None


_known: list[Any] = []  # it holds nothing between two texts


def _scanner() -> Any:
    if not _known:
        _known.append(_made_scanner())
    return _known[0]


def _made_scanner() -> Any:
    context: Any = _Context()
    try:
        from _json import make_scanner

        return make_scanner(context)
    except ImportError:
        from json import scanner

        return scanner.make_scanner(context)


def dumps(value: Any, indent: int | None = None) -> str:
    """The JSON text of plain values, non-ASCII escaped so that it is safe on any terminal and in any encoding."""
    if indent is None:
        try:
            from _json import encode_basestring_ascii, make_encoder

            parts = make_encoder(None, _refuse, encode_basestring_ascii, None, ": ", ", ", False, False, False)(value, 0)
            return "".join(parts)
        except ImportError:
            pass
    import json

    return json.dumps(value, indent=indent, allow_nan=False)


def _refuse(value: object) -> Any:
    raise TypeError(f"{type(value).__name__} has no JSON form")
