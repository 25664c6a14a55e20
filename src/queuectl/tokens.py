"""Who may ask from afar: the queue's token, links that work once, and the key that signs sessions.

The store keeps the token's SHA-256; the token itself stands in a file that only its owner can read. A one-time link
is a file named after the digest of its secret: whoever removes the file has used the link.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
from time import time

from . import files
from .errors import InvalidInput, NotAllowed, NotFound
from .store import sql

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .locate import Place
    from .queue import Queue

META = "http_token_sha256"
LINK_S = 600
SESSION_S = 12 * 3600
LINKS_MAX = 100


def digest(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "surrogateescape")).hexdigest()


def same(left: str, right: str) -> bool:
    """In constant time; of digests, because `compare_digest` refuses text that is not ASCII."""
    return hmac.compare_digest(digest(left).encode(), digest(right).encode())


# ---------------------------------------------------------------- the token


def path_of(place: Place) -> str:
    return os.path.join(place.run, "token")


def ensure(queue: Queue) -> str:
    """The token of this queue, made when there is none. Raises NotFound when it was made on another machine."""
    with files.exclusive(os.path.join(files.private_folder(queue.place.run), "token.lock")):
        known = expected(queue)
        if known is None:
            return _make(queue)
        try:
            with open(path_of(queue.place), encoding="ascii") as file:
                token = file.read().strip()
        except FileNotFoundError:
            token = ""
        if digest(token) != known:
            why = f"{path_of(queue.place)} is not where it was made"
            raise NotFound("the token is not known here", why=why, hint="'queuectl token rotate' makes another")
        return token


def rotate(queue: Queue) -> str:
    """Another token; the old one, and every session, is worth nothing from now on."""
    with files.exclusive(os.path.join(files.private_folder(queue.place.run), "token.lock")):
        files.replace_file(_key_path(queue.place), secrets.token_bytes(32))
        return _make(queue)


def _make(queue: Queue) -> str:
    token = "qt_" + secrets.token_urlsafe(32)
    files.replace_file(path_of(queue.place), (token + "\n").encode())
    with queue.store.transaction():
        queue.store.run(sql.PUT_META, (META, digest(token)))
    return token


def expected(queue: Queue) -> str | None:
    """The digest of the token that is accepted."""
    found = queue.store.run(sql.META, (META,))
    return str(found[0][0]) if found else None


# ---------------------------------------------------------------- links that work once


def make_link(place: Place) -> str:
    """The secret of a link that lets its bearer in once, for some minutes."""
    folder = files.private_folder(os.path.join(files.private_folder(place.run), "links"))
    _clear(folder)
    secret = secrets.token_urlsafe(24)
    os.close(os.open(os.path.join(folder, digest(secret)), os.O_WRONLY | os.O_CREAT | os.O_EXCL, files.FILE_MODE))
    return secret


def use_link(place: Place, secret: str) -> bool:
    """Whether the link was still good; it is not any more."""
    path = os.path.join(place.run, "links", digest(secret))
    try:
        made = os.stat(path).st_mtime
        os.unlink(path)
    except FileNotFoundError:
        return False
    return time() - made < LINK_S


def _clear(folder: str) -> None:
    """Remove links that are over, and the oldest of too many."""
    found = sorted((os.stat(os.path.join(folder, name)).st_mtime, name) for name in os.listdir(folder))
    for made, name in found:
        if time() - made > LINK_S or len(found) > LINKS_MAX:
            files.forget(os.path.join(folder, name))


# ---------------------------------------------------------------- sessions


def _key_path(place: Place) -> str:
    return os.path.join(place.run, "session.key")


def session_key(place: Place) -> bytes:
    """What sessions are signed with: it survives a restart of the server."""
    with files.exclusive(os.path.join(files.private_folder(place.run), "token.lock")):
        try:
            with open(_key_path(place), "rb") as file:
                key = file.read()
        except FileNotFoundError:
            key = b""
        if len(key) != 32:
            key = secrets.token_bytes(32)
            files.replace_file(_key_path(place), key)
        return key


def make_session(key: bytes, now_s: float) -> str:
    """
    >>> session_holds(b"k" * 32, make_session(b"k" * 32, 1000.0), 1001.0)
    True
    >>> session_holds(b"k" * 32, make_session(b"k" * 32, 1000.0), 1e9), session_holds(b"j" * 32, make_session(b"k" * 32, 0.0), 1.0)
    (False, False)
    """
    until = f"{int(now_s) + SESSION_S}.{secrets.token_urlsafe(12)}"
    return f"{until}.{_signature(key, until)}"


def session_holds(key: bytes, session: str, now_s: float) -> bool:
    body, _, signature = session.rpartition(".")
    until = body.partition(".")[0]
    if not same(signature, _signature(key, body)) or not until.isdigit():
        return False
    return now_s < int(until)


def _signature(key: bytes, text: str) -> str:
    return hmac.new(key, text.encode("utf-8", "surrogateescape"), hashlib.sha256).hexdigest()


# ---------------------------------------------------------------- names and passwords


def listed(path: str) -> list[str]:
    """Digests of the lines `name:password` of a file that nobody else can read."""
    try:
        facts = os.stat(path)
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            lines = [line.rstrip("\r\n") for line in file if line.strip() and not line.startswith("#")]
    except OSError as fault:
        raise InvalidInput(f"cannot read {path}", why=fault.strerror or "", field="basic-auth") from None
    if facts.st_mode & 0o077 or facts.st_uid not in (os.geteuid(), 0):
        raise NotAllowed(f"{path} is not private", why="others can read it", hint=f"chmod 600 {path}")
    if not lines or any(":" not in line for line in lines):
        raise InvalidInput(f"{path} names nobody", hint="write a line name:password for each", field="basic-auth")
    return [digest(line) for line in lines]
