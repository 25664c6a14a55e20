"""Signed calls, as Standard Webhooks has it: whoever receives one can tell who sent it, and that it is not an old one.

    webhook-id         the same on each attempt, so that a receiver can tell a repeat
    webhook-timestamp  seconds since 1970, of this attempt
    webhook-signature  v1,base64(hmac-sha256(secret, "id.timestamp.body"))

A job names its secret; the secret itself stands in a file of its own beside the queue, never in a job's row, a log or
an export.
"""

from __future__ import annotations

import hmac
import os
import stat
from base64 import b64decode, b64encode
from hashlib import sha256

from . import files, jsontext
from .codec import label_text
from .errors import InvalidInput, NotAllowed, NotFound

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .locate import Place

FILE = "queuectl_secrets.json"
PREFIX = "whsec_"
SECRET_BYTES = 32
SECRET_BYTES_MIN, SECRET_BYTES_MAX = 16, 512


def headers(secret: bytes, message_id: str, at_s: int, body: bytes) -> dict[str, str]:
    """The three headers of one attempt.

    >>> headers(b64decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"), "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330,
    ...     b'{"test": 2432232314}')["webhook-signature"]
    'v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE='
    """
    signed = b"%s.%d." % (message_id.encode(), at_s) + body
    signature = b64encode(hmac.new(secret, signed, sha256).digest()).decode()
    return {"webhook-id": message_id, "webhook-timestamp": str(at_s), "webhook-signature": f"v1,{signature}"}


def secret_bytes(text: str) -> bytes:
    """The key of a secret: `whsec_` and base64, else the text's own bytes. Raises InvalidInput."""
    try:
        key = b64decode(text[len(PREFIX) :], validate=True) if text.startswith(PREFIX) else text.encode()
    except ValueError:
        raise InvalidInput("the secret is not base64", why=f"it begins with {PREFIX}", field="secret") from None
    if not SECRET_BYTES_MIN <= len(key) <= SECRET_BYTES_MAX:
        why, hint = f"it has {len(key)} bytes", f"{SECRET_BYTES_MIN} to {SECRET_BYTES_MAX}"
        raise InvalidInput("the secret's length is not allowed", why=why, hint=hint, field="secret")
    return key


def new_secret() -> str:
    return PREFIX + b64encode(os.urandom(SECRET_BYTES)).decode()


class Secrets:
    """The secrets of one queue, by name, in a file that only its owner may read."""

    def __init__(self, place: Place) -> None:
        self._path = os.path.join(place.folder, FILE)

    def key(self, name: str) -> bytes:
        """Raises NotFound, NotAllowed when others can read the file."""
        found = self._read().get(name)
        if found is None:
            hint = f"'queuectl secret set {name}' makes one"
            raise NotFound(f"there is no secret {name!r}", hint=hint, field="sign")
        return secret_bytes(found)

    def names(self) -> list[str]:
        return sorted(self._read())

    def put(self, name: str, secret: str) -> None:
        label_text(name, "secret name")
        secret_bytes(secret)
        self._change(name, secret)

    def remove(self, name: str) -> None:
        """Raises NotFound."""
        self.key(name)
        self._change(name, None)

    def _change(self, name: str, secret: str | None) -> None:
        with files.exclusive(self._path + ".lock"):
            kept = {each: text for each, text in self._read().items() if each != name}
            if secret is not None:
                kept[name] = secret
            files.replace_file(self._path, jsontext.dumps(kept).encode() + b"\n")

    def _read(self) -> dict[str, str]:
        try:
            fd = os.open(self._path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except FileNotFoundError:
            return {}
        with open(fd, encoding="utf-8") as file:
            facts = os.fstat(fd)
            if facts.st_uid != os.geteuid() or stat.S_IMODE(facts.st_mode) & 0o077:
                raise NotAllowed(f"{self._path} is not trusted", why="others can read or own it", hint=f"chmod 600 {self._path}")
            value = jsontext.loads(file.read() or "{}")
        if not isinstance(value, dict) or not all(isinstance(text, str) for text in value.values()):
            raise InvalidInput(f"{self._path} is not understood", hint="it must hold one JSON object of names and texts")
        return value
