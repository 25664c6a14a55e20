"""The options of `enqueue` that describe an HTTP call, as the fields of a job."""

from __future__ import annotations

from ..errors import InvalidInput

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from .command import Arguments

# Options that are fields of a call under the same name; the others are put into their form below.
SAME = ("method", "expect_status", "expect_body", "redirects", "proxy", "sign")



def call_fields(arguments: Arguments, file_text: Callable[[str], str]) -> dict[str, Any]:
    """As a JSON job has them. With a body and no method it is a POST."""
    fields: dict[str, Any] = {"url": arguments.url}
    fields |= {name: getattr(arguments, name) for name in SAME if getattr(arguments, name) is not None}
    if arguments.header:
        fields["headers"] = [_header(text) for text in arguments.header]
    if arguments.data is not None:
        fields["body"] = file_text(arguments.data[1:]) if arguments.data.startswith("@") else arguments.data
        fields.setdefault("method", "POST")
    if arguments.no_verify:
        fields["verify"] = False
    return fields


def _header(text: str) -> tuple[str, str]:
    name, colon, value = text.partition(":")
    if not colon:
        raise InvalidInput(f"header {text[:60]!r} is not understood", hint="write 'Name: value'", field="headers")
    return name.strip(), value.strip()
