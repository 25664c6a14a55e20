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
    """A mapping as posix_spawn reads it, sorted by name; a name may hold `=`, so two may look alike to the command."""

    __slots__ = ("_names", "_texts")

    def __init__(self, base: Mapping[bytes, bytes], added: Iterable[tuple[bytes, bytes]]) -> None:
        self._texts = {**base, **dict(added)}
        self._names = sorted(self._texts)

    def keys(self) -> list[bytes]:
        return self._names

    def values(self) -> list[bytes]:
        return [self._texts[name] for name in self._names]

    def __len__(self) -> int:
        return len(self._names)

    def __getitem__(self, name: bytes) -> bytes:
        return self._texts[name]
