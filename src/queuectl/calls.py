"""Jobs that are HTTP calls, as nouns: what may be asked for, checked field by field. Pure; what makes them is `run.call`."""

from __future__ import annotations

from urllib.parse import urlsplit

from . import answers
from .errors import InvalidInput
from .model import HOLD, RERUN, Call

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

URL_MAX = 8_000
BODY_MAX = 8_000_000
HEADERS_BYTES_MAX = 64_000
REDIRECTS_MAX = 50
NAME_MAX = 255
PORTS = {"http": 80, "https": 443}
# Calls that may be made twice without harm, as RFC 9110 has it; after a cut the others wait for a person.
IDEMPOTENT = frozenset(("GET", "HEAD", "PUT", "DELETE", "OPTIONS"))
TOKEN = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789!#$%&'*+-.^_`|~")
# Headers that say how a message is sent rather than what: whoever sends it decides them.
SENDERS_OWN = frozenset(("content-length", "transfer-encoding", "connection", "keep-alive", "upgrade", "te", "trailer", "expect"))
MASK = "***"
SECRET_HEADERS = frozenset(("authorization", "proxy-authorization", "cookie", "x-api-key", "api-key", "x-auth-token"))


def url(value: Any, field: str = "url") -> str:
    """An address of http or https, with a host. Kept as it is written.

    >>> url(" http://127.0.0.1:8000/a?b=c ")
    'http://127.0.0.1:8000/a?b=c'
    """
    if not isinstance(value, str) or not value.strip():
        raise InvalidInput(f"{field} must be text", hint="for example http://127.0.0.1:8000/work", field=field)
    text = value.strip()
    if len(text) > URL_MAX or any(c <= " " or c == "\x7f" for c in text):
        why = f"it is longer than {URL_MAX} characters" if len(text) > URL_MAX else "it holds a space or control character"
        raise InvalidInput(f"{field} is not allowed", why=why, hint="write spaces as %20", field=field)
    try:
        parts = urlsplit(text)
        host, _ = parts.hostname, parts.port
        text.encode()
    except ValueError as fault:
        raise InvalidInput(f"{field} {text[:60]!r} is no address", why=str(fault)[:80], field=field) from None
    if parts.scheme not in PORTS:
        why = f"its scheme is {parts.scheme[:20] or 'missing'}"
        raise InvalidInput(f"{field} {text[:60]!r} cannot be called", why=why, hint="http and https can", field=field)
    if not host:
        raise InvalidInput(f"{field} {text[:60]!r} names no host", field=field)
    return text


def method(value: Any) -> str:
    if not isinstance(value, str) or not value or len(value) > 32 or not TOKEN.issuperset(value):
        raise InvalidInput(f"method {str(value)[:40]!r} is not allowed", hint="GET, POST, PUT, PATCH, DELETE …", field="method")
    if value.upper() in ("CONNECT", "TRACE"):
        raise InvalidInput(f"method {value.upper()} is not allowed", why="it is for proxies and tests", field="method")
    return value.upper()


def headers(value: Any) -> tuple[tuple[str, str], ...]:
    """From an object, or from a list of pairs when a name comes twice.

    >>> headers({"Accept": "text/plain"})
    (('Accept', 'text/plain'),)
    """
    pairs = list(value.items()) if isinstance(value, dict) else value
    if not isinstance(pairs, (list, tuple)) or not all(isinstance(pair, (list, tuple)) and len(pair) == 2 for pair in pairs):
        raise InvalidInput("headers must be an object of names and texts", field="headers")
    found = tuple([_header(name, text) for name, text in pairs])
    if sum(len(name) + len(text) for name, text in found) > HEADERS_BYTES_MAX:
        raise InvalidInput("headers are too long", why=f"more than {HEADERS_BYTES_MAX} characters", field="headers")
    return found


def _header(name: Any, text: Any) -> tuple[str, str]:
    if not isinstance(name, str) or not name or not TOKEN.issuperset(name):
        raise InvalidInput(f"header {str(name)[:40]!r} is not allowed", hint="letters, digits and dashes", field="headers")
    if name.lower() in SENDERS_OWN:
        raise InvalidInput(f"header {name} is not allowed", why="it is the client's own", hint="leave it out", field="headers")
    if not isinstance(text, str) or any((c < " " and c != "\t") or c == "\x7f" for c in text):
        raise InvalidInput(f"the value of header {name} is not allowed", hint="one line of text", field="headers")
    try:
        text.encode("latin-1")
    except UnicodeEncodeError:
        raise InvalidInput(f"the value of header {name} is not allowed", why="it is not Latin-1", field="headers") from None
    return name, text.strip()


def body(value: Any) -> str | None:
    if value is None:
        return None
    try:
        size = len(value.encode()) if isinstance(value, str) else -1
    except UnicodeEncodeError:
        size = -1
    if size < 0:
        raise InvalidInput("body must be text in UTF-8", field="body")
    if size > BODY_MAX:
        raise InvalidInput("body is too long", why=f"it has {size} bytes", hint=f"at most {BODY_MAX}", field="body")
    return str(value)


def _text(field: str) -> Callable[[Any], str | None]:
    def check(value: Any) -> str | None:
        if value is not None and (not isinstance(value, str) or not value or len(value) > URL_MAX):
            raise InvalidInput(f"{field} must be text", hint=f"1 to {URL_MAX} characters", field=field)
        return value

    return check


def secret_name(value: Any, field: str = "sign") -> str | None:
    if value is not None and (not isinstance(value, str) or not 0 < len(value) <= NAME_MAX or not TOKEN.issuperset(value)):
        raise InvalidInput(f"{field} must be the name of a secret", hint="'queuectl secret list' shows them", field=field)
    return value


def _redirects(value: Any) -> int:
    text = str(value)
    if isinstance(value, bool) or not (text.isascii() and text.isdigit()) or not int(text[:9]) <= REDIRECTS_MAX:
        raise InvalidInput(f"redirects {text[:40]!r} is not allowed", hint=f"0 to {REDIRECTS_MAX}", field="redirects")
    return int(text)


def _truth(field: str) -> Callable[[Any], bool]:
    def check(value: Any) -> bool:
        if not isinstance(value, bool):
            raise InvalidInput(f"{field} must be true or false", field=field)
        return value

    return check


# One row per field of a call, in JSON as in the noun.
FIELDS: dict[str, Callable[[Any], Any]] = {
    "url": url,
    "method": method,
    "headers": headers,
    "body": body,
    "expect_status": answers.status_set,
    "expect_body": _text("expect_body"),
    "redirects": _redirects,
    "verify": _truth("verify"),
    "proxy": lambda value: None if value is None else url(value, "proxy"),
    "sign": secret_name,
}


def taken_from(fields: dict[str, Any]) -> Call:
    """The call that these fields ask for, taken out of them. Raises InvalidInput naming the first that is wrong."""
    return Call(**{name: FIELDS[name](fields.pop(name)) for name in [*fields] if name in FIELDS})


def changed(call: Call, fields: dict[str, Any]) -> Call:
    """The call with these fields instead. A secret that comes back as the mask it is shown with stays what it is."""
    new = {name: FIELDS[name](value) for name, value in fields.items()}
    if new.get("url") == shown_url(call.url):
        new["url"] = call.url
    kept = {name.lower(): text for name, text in call.headers}
    if "headers" in new:
        new["headers"] = tuple((name, kept.get(name.lower(), text) if text == MASK else text) for name, text in new["headers"])
    return call.but(**new)


def checked(call: Call) -> Call:
    """The same, of a noun that somebody made."""
    return Call(**{name: check(getattr(call, name)) for name, check in FIELDS.items()})


def if_interrupted(call: Call) -> str:
    """What a cut leads to unless the job says: what may be done twice is done again, the rest waits for a person."""
    return RERUN if call.method in IDEMPOTENT else HOLD


def shown_url(url: str) -> str:
    """
    >>> shown_url("http://me:secret@example.org/x"), shown_url("http://example.org/@x")
    ('http://me:***@example.org/x', 'http://example.org/@x')
    """
    scheme, mark, rest = url.partition("://")
    authority, slash, path = rest.partition("/")
    user, at, host = authority.rpartition("@")
    name, colon, _ = user.partition(":")
    return f"{scheme}{mark}{name}{':***' if colon else ''}{at}{host}{slash}{path}"


def call_object(call: Call) -> dict[str, Any]:
    """A call as JSON, for export: all of it that is not as usual."""
    given = {name: getattr(call, name) for name in FIELDS}
    found = {name: value for name, value in given.items() if name not in Call.defaults or value != Call.defaults[name]}
    if call.headers:
        found["headers"] = [list(pair) for pair in call.headers]
    return found


def shown(call: Call) -> dict[str, Any]:
    """A call for people: what may be a secret is not in it."""
    found = call_object(call) | {"url": shown_url(call.url)}
    if call.proxy:
        found["proxy"] = shown_url(call.proxy)
    if call.headers:
        found["headers"] = [[name, MASK if name.lower() in SECRET_HEADERS else text] for name, text in call.headers]
    return found
