"""Who may: one gate before everything else, closed unless something opens it.

What a request shows of itself is `Shown`; `judge` decides on it, purely. In this order: does it mean this server
(`Host`), does it come from another site's page, and who is it: the same user, as the kernel says of its connection; a
bearer of the token; a session that a one-time link began; a name with its password. Nothing else gets in.
"""

from __future__ import annotations

import base64
import binascii
import ipaddress

from ... import tokens
from ...record import Record
from .peers import Peer
from .problems import Refused

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

COOKIE = "queuectl_session"
OPEN_PATHS = ("/healthz", "/readyz")  # for whoever watches over the service; they tell nothing
LOGIN = "/login"
LOOPBACK_NAMES = frozenset(("localhost", "127.0.0.1", "[::1]", "::1"))
SAFE_SITES = ("same-origin", "none")
FORWARDED = frozenset(
    (b"forwarded", b"via", b"x-forwarded-for", b"x-forwarded-host", b"x-forwarded-proto", b"x-real-ip", b"cf-connecting-ip")
)


class Shown(Record):
    """What a request shows of itself, and what the kernel says of its connection."""

    method: str
    path: str
    peer: Peer
    host: str | None = None
    origin: str | None = None
    site: str | None = None  # Sec-Fetch-Site
    authorization: str | None = None
    session: str | None = None
    forwarded: bool = False
    known: str | None = None  # who it is, as the program knows that this is mounted in
    repeated: bool = False  # a header that decides something is given twice


class Terms(Record):
    """What this server asks for. `basic`: digests of `name:password`; with them, or with `strict`, being the same user
    is not enough. `hosts`: the names it is known by besides those of this machine's loopback."""

    uid: int
    token: Callable[[], str | None]  # the digest of the token, as it is now
    session_key: Callable[[], bytes]
    now_s: Callable[[], float]
    basic: tuple[str, ...] = ()
    strict: bool = False
    hosts: frozenset[str] = frozenset()
    any_address: bool = False  # it listens on more than loopback: it may be named by any of its addresses
    challenge: str = "Bearer"


class Allowed(Record):
    """Who it is, in a word for the history."""

    who: str


def judge(shown: Shown, terms: Terms) -> Allowed | Refused:
    """Who this is, or why it is refused."""
    if shown.path in OPEN_PATHS and shown.method in ("GET", "HEAD"):
        return Allowed("nobody")
    if shown.repeated:
        return Refused(400, "a header is given twice", hint="send Host, Origin, Authorization and Sec-Fetch-Site once")
    if not shown.peer.unix and not means_us(shown.host, terms):
        return Refused(
            421, "this is not the host that is meant", why="the Host header names another", hint="see 'serve --allow-host'"
        )
    if not from_here(shown):
        return Refused(
            403, "another site's page may not use this", why="its Origin is foreign", hint="open the page of this server itself"
        )
    if shown.path == LOGIN and shown.method in ("GET", "HEAD", "POST"):
        return Allowed("nobody")  # what it is given is looked at there
    return _known(shown, terms) or Refused(
        401, "this needs to know who you are", hint="'queuectl token' shows the token, 'queuectl token link' a link for a browser"
    )


def _known(shown: Shown, terms: Terms) -> Allowed | None:
    peer = shown.peer
    if shown.known:
        return Allowed(shown.known)
    trusting = not shown.forwarded and peer.uid == terms.uid
    if trusting and peer.unix:
        return Allowed("unix socket")
    if trusting and peer.loopback and terms.uid != 0 and not terms.strict and not terms.basic:
        return Allowed("loopback")
    scheme, _, given = (shown.authorization or "").partition(" ")
    if scheme.lower() == "bearer" and _is_token(given.strip(), terms):
        return Allowed("token")
    if scheme.lower() == "basic" and terms.basic and is_listed(given.strip(), terms):
        return Allowed("password")
    if shown.session and tokens.session_holds(terms.session_key(), shown.session, terms.now_s()):
        return Allowed("session")
    return None


def _is_token(given: str, terms: Terms) -> bool:
    expected = terms.token()
    return expected is not None and tokens.same(tokens.digest(given), expected)


def is_listed(given: str, terms: Terms) -> bool:
    """Every entry is compared, so that the time tells nothing."""
    try:
        pair = base64.b64decode(given, validate=True).decode("utf-8", "surrogateescape")
    except (binascii.Error, ValueError):
        return False
    return sum(tokens.same(tokens.digest(pair), entry) for entry in terms.basic) > 0


def means_us(host: str | None, terms: Terms) -> bool:
    """Whether a Host header names this server: a page elsewhere can make its own name lead here, not ours.

    >>> terms = Terms(0, lambda: None, lambda: b"", lambda: 0.0, hosts=frozenset(("queue.example",)))
    >>> [means_us(host, terms) for host in ("localhost:5000", "queue.example", "evil.example:5000", "127.0.0.1.evil.example", None)]
    [True, True, False, False, False]
    """
    if not host:
        return False
    name = _name_of(host)
    return name in LOOPBACK_NAMES or name in terms.hosts or (terms.any_address and _is_address(name))


def _name_of(host: str) -> str:
    name, colon, port = host.rpartition(":")
    if not colon or "]" in port:
        name = host
    elif not port.isascii() or not port.isdigit():
        return ""
    return name.lower().rstrip(".")


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name.strip("[]"))
    except ValueError:
        return False
    return True


def from_here(shown: Shown) -> bool:
    """Whether the request comes from no page, or from a page of this server. A link that lets in may be followed from
    anywhere: it is worth something once, to whoever has it."""
    if shown.origin is not None and shown.origin.lower() not in _origins(shown.host):
        return False
    following = shown.path == LOGIN and shown.method == "GET"
    return shown.site is None or shown.site in SAFE_SITES or following


def _origins(host: str | None) -> tuple[str, ...]:
    return (f"http://{host}".lower(), f"https://{host}".lower()) if host else ()


def _session(cookies: list[str]) -> str | None:
    pairs = [cookie.partition("=") for cookie in cookies]
    return next((value.strip() for name, _, value in pairs if name.strip() == COOKIE), None)


ONCE = (b"host", b"origin", b"authorization", b"sec-fetch-site")


def shown_by(method: str, path: str, headers: list[tuple[bytes, bytes]], peer: Peer, known: str | None = None) -> Shown:
    """What a request shows, from its raw headers."""
    found: dict[bytes, str] = {}
    repeated = forwarded = False
    cookies: list[str] = []
    for name, value in headers:
        if name in ONCE:
            repeated = repeated or name in found
            found[name] = value.decode("latin-1").strip()
        elif name == b"cookie":
            cookies += value.decode("latin-1").split(";")
        elif name in FORWARDED:
            forwarded = True
    return Shown(
        method=method,
        path=path,
        peer=peer,
        host=found.get(b"host"),
        origin=found.get(b"origin"),
        site=found.get(b"sec-fetch-site"),
        authorization=found.get(b"authorization"),
        session=_session(cookies) if cookies else None,
        known=known,
        forwarded=forwarded,
        repeated=repeated,
    )
