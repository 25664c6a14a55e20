"""Variables: those a packet carries, and those a command sees, byte for byte as this process was given them."""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

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
    """A mapping as posix_spawn reads it, sorted by name; two entries may have one name, so it is no dict."""

    __slots__ = ("_names", "_values")

    def __init__(self, names: list[bytes], values: list[bytes]) -> None:
        self._names = names
        self._values = values

    def keys(self) -> list[bytes]:
        return self._names

    def values(self) -> list[bytes]:
        return self._values

    def __len__(self) -> int:
        return len(self._names)

    def __getitem__(self, name: bytes) -> bytes:
        return self._values[self._names.index(name)]


class Surroundings:
    """What every command sees; each packet puts its own on top, the last of doubles counts.

    The places of the names are found once for all packets that bring the same names, which most of a queue do.
    """

    __slots__ = ("_added", "_base", "_names", "_odd", "_places", "_values")

    def __init__(self, base: Iterable[tuple[bytes, bytes]]) -> None:
        self._base = dict(base)
        self._find([])

    def with_added(self, pairs: list[tuple[bytes, bytes]]) -> Environment:
        added = [name for name, _ in pairs]
        if added != self._added:
            self._find(added)
        values = self._values.copy()
        for place, (_, value) in zip(self._places, pairs, strict=True):
            values[place] = value
        for place, rest in self._odd:
            values[place] = rest + values[place]
        return Environment(self._names, values)

    def _find(self, added: list[bytes]) -> None:
        names = sorted({*self._base, *added})
        place = {name: at for at, name in enumerate(names)}
        self._added = added
        self._places = [place[name] for name in added]
        self._values = [self._base.get(name, b"") for name in names]
        # A name in a packet may hold `=`; what follows it goes with the value, the command sees the same text.
        self._odd = [(at, name.partition(b"=")[2] + b"=") for at, name in enumerate(names) if b"=" in name]
        self._names = [name.partition(b"=")[0] for name in names]
