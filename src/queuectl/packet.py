"""Filespooler packets: bytes to `Packet` and back; reads only what is there, whatever a length in it claims.

A packet is a 30-byte prefix, metadata in MessagePack, and the payload up to the end of the file:

    0   12  tag            14   8  M, length of the metadata    26   4  CRC-32 of bytes 0 to 25
    12   2  version, 1     22   4  CRC-32 of the metadata       30   M  metadata, then the payload

Nothing says how long the payload is, so a packet cut short in its payload cannot be told from a whole one.

    PacketError
    |-- Incomplete       the header goes on after the end of the bytes
    |-- NotAPacket       another tag
    |-- UnknownVersion   a packet, but not version 1
    |-- Corrupt          a checksum does not fit
    |-- TooLong          more metadata than METADATA_BYTES_MAX
    `-- BadMetadata      whole and unharmed, but not what a packet says
"""

from __future__ import annotations

from struct import Struct
from zlib import crc32

from queuectl.messagepack import UNSIGNED, Cursor, Malformed, array, byte_string, integer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    Fields = tuple[tuple[str, Callable[[Cursor], Any]], ...]

TAG = b"*FILESPOOLER"
PREFIX_BYTES = 30
METADATA_BYTES_MAX = 16 << 20  # Linux takes 6 MiB of arguments and variables, two bytes each here at most
NUMBER_MAX = (1 << 64) - 1

_PREFIX = Struct(">12sHQI")
_U32 = Struct(">I")


class PacketError(Exception):
    """These bytes are no packet that can be read."""


class Incomplete(PacketError):
    """The header goes on after the end of the bytes."""


class NotAPacket(PacketError):
    """The bytes begin with another tag."""


class UnknownVersion(PacketError):
    """A packet of a version other than 1."""


class Corrupt(PacketError):
    """A checksum does not fit its bytes."""


class TooLong(PacketError):
    """More metadata than any command line can make."""


class BadMetadata(PacketError):
    """Metadata that is whole but does not describe a packet."""


class Command:
    """Run the receiver's command with these parameters and variables (names without FSPL_SET_)."""

    __slots__ = ("env", "params")

    def __init__(self, params: tuple[bytes, ...] = (), env: tuple[tuple[bytes, bytes], ...] = ()) -> None:
        self.params = params
        self.env = env

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Command) and (self.params, self.env) == (other.params, other.env)

    def __hash__(self) -> int:
        return hash((self.params, self.env))

    def __repr__(self) -> str:
        return f"Command({self.params!r}, {self.env!r})"


class Nop:
    """Succeed without running anything."""

    __slots__ = ()

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self)

    def __hash__(self) -> int:
        return hash(type(self))

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


class Fail(Nop):
    """Fail without running anything."""

    __slots__ = ()


class Packet:
    """What a header says: its number, when it was made (seconds, nanoseconds) and what to do."""

    __slots__ = ("nanos", "secs", "seq", "work")

    def __init__(self, seq: int, secs: int, nanos: int, work: Command | Nop) -> None:
        self.seq = seq
        self.secs = secs
        self.nanos = nanos
        self.work = work

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Packet) and encode(self) == encode(other)

    def __hash__(self) -> int:
        return hash((self.seq, self.secs, self.nanos, self.work))

    def __repr__(self) -> str:
        return f"Packet({self.seq}, {self.secs}, {self.nanos}, {self.work!r})"


# Writing ------------------------------------------------------------------------------------------


def encode(packet: Packet) -> bytes:
    """The header of `packet`, prefix and metadata; the payload follows it.

    >>> encode(Packet(7, 1700000000, 70000, Nop()))[30:48]
    b'\\x83\\xa3seq\\x07\\xa5ctime\\x92\\xceeS\\xf1\\x00'
    """
    metadata = b"".join(
        (
            b"\x83\xa3seq",
            integer(packet.seq),
            b"\xa5ctime\x92",
            integer(packet.secs),
            integer(packet.nanos),
            b"\xa8cmd_type",
            _encode_work(packet.work),
        )
    )
    prefix = _PREFIX.pack(TAG, 1, len(metadata), crc32(metadata))
    return prefix + _U32.pack(crc32(prefix)) + metadata


def _encode_work(work: Command | Nop) -> bytes:
    if not isinstance(work, Command):
        return b"\xa4Fail" if isinstance(work, Fail) else b"\xa3NOP"
    params = b"".join(map(byte_string, work.params))
    env = b"".join([b"\x92" + byte_string(name) + byte_string(value) for name, value in work.env])
    return b"".join((b"\x81\xa7Command\x82\xa6params", array(len(work.params)), params, b"\xa3env", array(len(work.env)), env))


# Reading ------------------------------------------------------------------------------------------


def decode(head: bytes, read: Callable[[int], bytes] = lambda _: b"") -> tuple[Packet, int]:
    """The packet that starts with `head` and goes on in `read(at_most)`, and the length of its header.

    Asks `read` for not one byte more than the header has; an empty answer of `read` is the end of the bytes.
    """
    if len(head) < PREFIX_BYTES:
        head = _filled(head, PREFIX_BYTES, read)
    tag, version, length, checksum = _PREFIX.unpack_from(head)
    if tag != TAG:
        raise NotAPacket("Input doesn't appear to be a filespooler file")
    if version != 1:
        raise UnknownVersion(f"Input version {version} != 1")
    if crc32(head[:26]) != _U32.unpack_from(head, 26)[0]:
        raise Corrupt("CRC-32 mismatch on file prefix")
    if length > METADATA_BYTES_MAX:
        raise TooLong(f"{length} bytes of metadata are more than {METADATA_BYTES_MAX}")
    end = PREFIX_BYTES + length
    if len(head) < end:
        head = _filled(head, end, read)
    metadata = head[PREFIX_BYTES:end]
    if crc32(metadata) != checksum:
        raise Corrupt("CRC-32 mismatch on metadata")
    try:
        return _canonical(metadata) or _tolerant(metadata), end
    except Malformed as reason:
        raise BadMetadata(str(reason)) from None


def _filled(head: bytes, size: int, read: Callable[[int], bytes]) -> bytes:
    parts = [head]
    missing = size - len(head)
    while missing:
        part = read(min(missing, 1 << 18))
        if not part:
            raise Incomplete("failed to fill whole buffer")
        parts.append(part)
        missing -= len(part)
    return b"".join(parts)


_COMMON = {_encode_work(work): work for work in (Command(), Nop(), Fail())}


def _canonical(metadata: bytes) -> Packet | None:
    """The packet in the writer's own form, or None: a listing of many thousand packets spends its time here."""
    if metadata[:5] != b"\x83\xa3seq":
        return None
    try:
        seq, at = _plain(metadata, 5)
        if metadata[at : at + 7] != b"\xa5ctime\x92":
            return None
        secs, at = _plain(metadata, at + 7)
        nanos, at = _plain(metadata, at)
    except (KeyError, IndexError):
        return None
    if metadata[at : at + 9] != b"\xa8cmd_type" or nanos >> 32 or secs >> 63:
        return None
    work = _COMMON.get(metadata[at + 9 :])
    return Packet(seq, secs, nanos, work if work is not None else _read_work(Cursor(metadata, at + 9)))


def _plain(metadata: bytes, at: int) -> tuple[int, int]:
    marker = metadata[at]
    if marker < 0x80:
        return marker, at + 1
    end = at + 1 + UNSIGNED[marker]
    return int.from_bytes(metadata[at + 1 : end], "big"), end


def _tolerant(metadata: bytes) -> Packet:
    fields = (("seq", _read_seq), ("ctime", _read_ctime), ("cmd_type", _read_work))
    seq, (secs, nanos), work = _record(Cursor(metadata), fields, "struct FSMetaV1")
    return Packet(seq, secs, nanos, work)


def _record(cursor: Cursor, fields: Fields, expected: str) -> list[Any]:
    """The values of `fields`: from a map in any order, whatever else is in it, or from an array in this order."""
    length = cursor.maybe_array()
    if length is None:
        found = _mapped(cursor, cursor.map(expected), fields)
        for name, _ in fields:
            if name not in found:
                raise Malformed(f"missing field `{name}`")
        return [found[name] for name, _ in fields]
    if length < len(fields):
        raise Malformed(f"invalid length {length}, expected {expected} with {len(fields)} elements")
    if length > len(fields):
        raise Malformed(f"array had incorrect length, expected {len(fields)}")
    return [read(cursor) for _, read in fields]


def _mapped(cursor: Cursor, length: int, fields: Fields) -> dict[str, Any]:
    found: dict[str, Any] = {}
    known = {key: field for index, field in enumerate(fields) for key in (index, field[0].encode())}
    for _ in range(length):
        field = known.get(cursor.identifier("field identifier"))
        if field is None:
            cursor.skip()
            continue
        name, read = field
        if name in found:
            raise Malformed(f"duplicate field `{name}`")
        found[name] = read(cursor)
    return found


def _read_seq(cursor: Cursor) -> int:
    return cursor.integer("u64", 0, NUMBER_MAX)


def _read_ctime(cursor: Cursor) -> tuple[int, int]:
    _exactly_two(cursor)
    return cursor.integer("i64", -(1 << 63), (1 << 63) - 1), cursor.integer("u32", 0, (1 << 32) - 1)


def _exactly_two(cursor: Cursor) -> None:
    length = cursor.array("a tuple of size 2")
    if length < 2:
        raise Malformed(f"invalid length {length}, expected a tuple of size 2")
    if length > 2:
        raise Malformed("array had incorrect length, expected 2")


_VARIANTS: dict[bytes | int, type[Command] | type[Nop]] = {
    b"Command": Command,
    b"NOP": Nop,
    b"Fail": Fail,
    0: Command,
    1: Nop,
    2: Fail,
}


def _read_work(cursor: Cursor) -> Command | Nop:
    pairs = cursor.maybe_map()
    if pairs not in (None, 1):
        raise Malformed(f"array had incorrect length, expected {pairs}")
    name = cursor.identifier("variant identifier")
    variant = _VARIANTS.get(name)
    if variant is None:
        text = name if isinstance(name, int) else name.decode("utf-8", "backslashreplace")
        raise Malformed(f"unknown variant `{text}`, expected one of `Command`, `NOP`, `Fail`")
    if variant is Command:
        if pairs is None:
            raise Malformed("invalid type: unit variant, expected newtype variant")
        return _read_command(cursor)
    if pairs:
        cursor.nil()
    return Fail() if variant is Fail else Nop()


def _read_command(cursor: Cursor) -> Command:
    cursor.depth += 1
    params, env = _record(cursor, (("params", _read_params), ("env", _read_env)), "struct CommandDataV1")
    cursor.depth -= 1
    return Command(params, env)


def _read_params(cursor: Cursor) -> tuple[bytes, ...]:
    return tuple([cursor.byte_string() for _ in range(cursor.array("a sequence"))])


def _read_env(cursor: Cursor) -> tuple[tuple[bytes, bytes], ...]:
    return tuple([_read_pair(cursor) for _ in range(cursor.array("a sequence"))])


def _read_pair(cursor: Cursor) -> tuple[bytes, bytes]:
    _exactly_two(cursor)
    return cursor.byte_string(), cursor.byte_string()
