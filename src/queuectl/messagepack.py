"""The MessagePack that Filespooler packets are made of: values to bytes, and a cursor that never trusts a length.

Byte strings are written as arrays of integers, because that is what the format's first writer does.
"""

from __future__ import annotations

DEPTH_MAX = 1023

NIL = 0xC0
UNSIGNED = {0xCC: 1, 0xCD: 2, 0xCE: 4, 0xCF: 8}
_SIGNED = {0xD0: 1, 0xD1: 2, 0xD2: 4, 0xD3: 8}
_FIXED = {NIL: 0, 0xC2: 0, 0xC3: 0, 0xCA: 4, 0xCB: 8, 0xD4: 2, 0xD5: 3, 0xD6: 5, 0xD7: 9, 0xD8: 17}
_BINARY = {0xC4: 1, 0xC5: 2, 0xC6: 4}
_TEXT = {0xD9: 1, 0xDA: 2, 0xDB: 4}
_EXTENSION = {0xC7: 1, 0xC8: 2, 0xC9: 4}
_ARRAY = {0xDC: 2, 0xDD: 4}
_MAP = {0xDE: 2, 0xDF: 4}


class Malformed(ValueError):
    """The bytes end too early, or hold another type than the one that is due."""


# Writing ------------------------------------------------------------------------------------------


def integer(number: int) -> bytes:
    """`number`, from -2**63 to 2**64 - 1, in its shortest form.

    >>> integer(127), integer(128), integer(-1)
    (b'\\x7f', b'\\xcc\\x80', b'\\xff')
    """
    if -32 <= number < 0x80:
        return (number & 0xFF).to_bytes(1, "big")
    if number >= 0:
        size = 1 if number < 1 << 8 else 2 if number < 1 << 16 else 4 if number < 1 << 32 else 8
        return bytes((0xCC + size.bit_length() - 1,)) + number.to_bytes(size, "big")
    size = 1 if number >= -(1 << 7) else 2 if number >= -(1 << 15) else 4 if number >= -(1 << 31) else 8
    return bytes((0xD0 + size.bit_length() - 1,)) + number.to_bytes(size, "big", signed=True)


def array(length: int) -> bytes:
    """The beginning of an array of `length` values."""
    if length < 16:
        return bytes((0x90 | length,))
    return b"\xdc" + length.to_bytes(2, "big") if length < 1 << 16 else b"\xdd" + length.to_bytes(4, "big")


def byte_string(text: bytes) -> bytes:
    """`text` as an array of integers, in which a byte from 0x80 on takes two.

    >>> byte_string(b"x\\xff")
    b'\\x92x\\xcc\\xff'
    """
    wide = text
    if not text.isascii():
        # 0xCC itself goes first: every later step adds more of them
        for high in sorted({byte for byte in text if byte >= 0x80}, key=lambda byte: byte != 0xCC):
            one = bytes((high,))
            wide = wide.replace(one, b"\xcc" + one)
    return array(len(text)) + wide


# Reading ------------------------------------------------------------------------------------------


class Cursor:
    """A place in the bytes that moves forward value by value and never past the end."""

    __slots__ = ("at", "data", "depth")

    def __init__(self, data: bytes, at: int = 0) -> None:
        self.data = data
        self.at = at
        self.depth = 1

    def marker(self) -> int:
        """The next byte, which says what follows."""
        if self.at >= len(self.data):
            raise Malformed("IO error while reading marker: failed to fill whole buffer")
        self.at += 1
        return self.data[self.at - 1]

    def take(self, length: int) -> bytes:
        """The next `length` bytes."""
        start = self.at
        if length > len(self.data) - start:
            raise Malformed("IO error while reading data: unexpected end of file")
        self.at = start + length
        return self.data[start : self.at]

    def integer(self, expected: str, low: int, high: int) -> int:
        """A whole number of any width, from `low` to `high`."""
        marker = self.marker()
        if marker < 0x80:
            number = marker
        elif marker in UNSIGNED:
            number = self._number(UNSIGNED[marker])
        elif marker in _SIGNED:
            number = int.from_bytes(self.take(_SIGNED[marker]), "big", signed=True)
        elif marker >= 0xE0:
            number = marker - 256
        else:
            raise _wrong(marker, expected)
        if not low <= number <= high:
            raise Malformed(f"invalid value: integer `{number}`, expected {expected}")
        return number

    def array(self, expected: str) -> int:
        """The length of the array that begins here."""
        length = self.maybe_array()
        if length is None:
            raise _wrong(self.marker(), expected)
        return length

    def maybe_array(self) -> int | None:
        """The length of the array that begins here; None, and no step forward, where there is none."""
        return self._length(0x90, _ARRAY)

    def map(self, expected: str) -> int:
        """The number of pairs in the map that begins here."""
        length = self.maybe_map()
        if length is None:
            raise _wrong(self.marker(), expected)
        return length

    def maybe_map(self) -> int | None:
        """The number of pairs in the map that begins here; None, and no step forward, where there is none."""
        return self._length(0x80, _MAP)

    def byte_string(self) -> bytes:
        """A byte string: an array of integers, or bin as newer readers also take."""
        if self.data[self.at : self.at + 1] in (b"\xc4", b"\xc5", b"\xc6"):
            return self.take(self._number(_BINARY[self.marker()]))
        length = self.array("a sequence")
        text = self.take(length)  # an element takes a byte or more, so a false length ends here
        if text.isascii():
            return text
        self.at -= length
        wide = bytearray()
        while len(wide) < length:
            wide.append(self.integer("u8", 0, 255))
        return bytes(wide)

    def identifier(self, expected: str) -> bytes | int:
        """The name of a field or a variant: text, bin, or its index as an unsigned integer."""
        marker = self.marker()
        if marker < 0x80:
            return marker
        if marker in UNSIGNED:
            return self._number(UNSIGNED[marker])
        if 0xA0 <= marker < 0xC0:
            return self.take(marker & 0x1F)
        size = _TEXT.get(marker) or _BINARY.get(marker)
        if size is None:
            raise _wrong(marker, expected)
        return self.take(self._number(size))

    def nil(self) -> None:
        """The value that says nothing."""
        marker = self.marker()
        if marker != NIL:
            raise _wrong(marker, "nothing")

    def skip(self) -> None:
        """Pass over one value of any type; nested values wait in a list, so that depth costs no recursion."""
        pending = [1]
        while pending:
            if not pending[-1]:
                pending.pop()
                continue
            pending[-1] -= 1
            inside = self._skip_one()
            if inside is not None:
                if len(pending) + self.depth > DEPTH_MAX:
                    raise Malformed("depth limit exceeded")
                pending.append(inside)

    def _skip_one(self) -> int | None:
        """Pass over a value and say how many more it contains, None where it cannot contain any."""
        length = self.maybe_array()
        if length is not None:
            return length
        pairs = self.maybe_map()
        if pairs is not None:
            return 2 * pairs
        marker = self.marker()
        if 0x80 <= marker < 0xE0:
            self.take(self._scalar_bytes(marker))
        return None

    def _scalar_bytes(self, marker: int) -> int:
        if marker < 0xC0:
            return marker & 0x1F
        size = UNSIGNED.get(marker) or _SIGNED.get(marker)
        if size is not None:
            return size
        if marker in _FIXED:
            return _FIXED[marker]
        if marker in _EXTENSION:
            return self._number(_EXTENSION[marker]) + 1
        counted = _TEXT.get(marker) or _BINARY.get(marker)
        if counted is None:
            raise Malformed("wrong msgpack marker Reserved")
        return self._number(counted)

    def _length(self, short: int, sizes: dict[int, int]) -> int | None:
        marker = self.data[self.at] if self.at < len(self.data) else NIL
        if short <= marker < short + 16:
            self.at += 1
            return marker - short
        if marker not in sizes:
            return None
        self.at += 1
        return self._number(sizes[marker])

    def _number(self, size: int) -> int:
        return int.from_bytes(self.take(size), "big")


def _wrong(marker: int, expected: str) -> Malformed:
    return Malformed(f"invalid type: {_kind(marker)}, expected {expected}")


def _kind(marker: int) -> str:
    if marker in _ARRAY or 0x90 <= marker < 0xA0:
        return "sequence"
    if marker in _MAP or 0x80 <= marker < 0x90:
        return "map"
    if marker in _BINARY:
        return "byte array"
    if marker in _TEXT or 0xA0 <= marker < 0xC0:
        return "string"
    if marker in _FIXED:
        return {NIL: "unit value", 0xC2: "boolean `false`", 0xC3: "boolean `true`"}.get(marker, "another value")
    return "another value" if marker in _EXTENSION or marker == 0xC1 else "integer"
