"""Variables: those a packet carries, and those a command sees, byte for byte as this process was given them."""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_CARRIED = b"FSPL_SET_"


def inherited() -> list[tuple[bytes, bytes]]:
    """The variables this process was started with, in order, doubles included.

    Not `os.environ`: that knows no doubles, and the interpreter itself may have added LC_CTYPE to it.
    """
    try:
        with open("/proc/self/environ", "rb", buffering=0) as block:
            entries = block.read().split(b"\0")
    except OSError:
        return list(os.environb.items())
    pairs = []
    for entry in entries:
        end = entry.find(b"=", 1)
        if end > 0:
            pairs.append((entry[:end], entry[end + 1 :]))
    return pairs


def captured() -> tuple[tuple[bytes, bytes], ...]:
    """The variables a packet carries: those called FSPL_SET_…, without that beginning."""
    if not any(name.startswith(_CARRIED) for name in os.environb):
        return ()
    return tuple([(name[len(_CARRIED) :], value) for name, value in inherited() if name.startswith(_CARRIED)])


class Environment:
    """A mapping as posix_spawn reads it, sorted by name, the last of doubles.

    The name in a packet may hold `=`. What comes after it is passed as part of the value, which makes the same text
    for the command; so two entries may have one name, and this is no dict.
    """

    __slots__ = ("_names", "_values")

    def __init__(self, base: Mapping[bytes, bytes], added: Iterable[tuple[bytes, bytes]]) -> None:
        texts = {**base, **dict(added)}
        self._names = sorted(texts)
        self._values = [texts[name] for name in self._names]
        for at, name in enumerate(self._names):
            if b"=" in name:
                self._names[at], _, rest = name.partition(b"=")
                self._values[at] = rest + b"=" + self._values[at]

    def keys(self) -> list[bytes]:
        return self._names

    def values(self) -> list[bytes]:
        return self._values

    def __len__(self) -> int:
        return len(self._names)

    def __getitem__(self, name: bytes) -> bytes:
        return self._values[self._names.index(name)]
