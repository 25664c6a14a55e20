"""The environment of a submitter: what is captured, how it is stored, what of it may be shown."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

BASIC = frozenset(
    ("PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LANGUAGE", "TZ", "TMPDIR", "TERM", "VIRTUAL_ENV", "CONDA_PREFIX")
)
# The shell's own note of what it just ran, and ours of where the queue is: not part of what somebody submits.
NEVER = frozenset((b"_",))
SECRET_WORDS = ("TOKEN", "SECRET", "PASS", "KEY", "CRED", "AUTH", "COOKIE")
MASK = "********"
URL_PASSWORD = r"(://[^/\s:@]*:)[^/\s]+@"  # wherever in a value, and in each of several


def captured(environ: Mapping[bytes, bytes], rule: str) -> dict[bytes, bytes]:
    """What a job gets of the environment: `all`, `basic` (what programs need to run at all) or `none`."""
    environ = getattr(environ, "_data", environ)  # of os.environb: it makes its items anew, one by one
    if rule == "none":
        return {}
    if rule == "all":
        found = {**environ}
        for name in NEVER:
            found.pop(name, None)
        return found
    return {name: value for name, value in environ.items() if name.decode("ascii", "replace") in BASIC or name.startswith(b"LC_")}


def packed(variables: Mapping[bytes, bytes]) -> bytes:
    """One byte string for one environment, whatever the order of its variables."""
    return b"\0".join([name + b"=" + variables[name] for name in sorted(variables)])


class Known:
    """Environments as they are stored. One like the last is not packed again: who adds many jobs seldom changes theirs."""

    def __init__(self) -> None:
        self._last: tuple[Mapping[bytes, bytes], bytes, bytes] | None = None

    def stored(self, variables: Mapping[bytes, bytes]) -> tuple[bytes, bytes]:
        """What is kept of it, and by what it is found."""
        last = self._last
        if last is None or last[0] != variables:
            body = packed(variables)
            last = self._last = variables, body, digest(body)
        return last[1:]


def unpacked(body: bytes) -> dict[bytes, bytes]:
    """
    >>> unpacked(packed({b"A": b"1=2", b"B": b""})) == {b"A": b"1=2", b"B": b""}
    True
    """
    found = {}
    for entry in body.split(b"\0") if body else ():
        name, _, value = entry.partition(b"=")
        found[name] = value
    return found


def digest(body: bytes) -> bytes:
    try:
        from _blake2 import blake2b  # hashlib, around the same function, takes three milliseconds to import
    except ImportError:
        from hashlib import blake2b
    return blake2b(body, digest_size=16).digest()


def masked(variables: Mapping[bytes, bytes]) -> dict[str, str]:
    """The environment as it may be shown: values of names that look like secrets are not, nor passwords in URLs.

    >>> masked({b"API_TOKEN": b"x", b"LANG": b"C", b"STORE": b"postgresql://me:secret@db/q"})
    {'API_TOKEN': '********', 'LANG': 'C', 'STORE': 'postgresql://me:********@db/q'}
    >>> masked({b"INDEXES": b"https://u:one@a/simple https://u:two@b/simple"})
    {'INDEXES': 'https://u:********@a/simple https://u:********@b/simple'}
    """
    import re  # for those who look; who adds does not

    shown = {}
    for name, value in sorted(variables.items()):
        text = name.decode("utf-8", "replace")
        secret = any(word in text.upper() for word in SECRET_WORDS)
        shown[text] = MASK if secret else re.sub(URL_PASSWORD, rf"\1{MASK}@", value.decode("utf-8", "replace"))
    return shown
