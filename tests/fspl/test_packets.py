"""Packets: what is written, what is read, what is refused."""

from __future__ import annotations

import random
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from queuectl.packet import (
    METADATA_BYTES_MAX,
    BadMetadata,
    Command,
    Corrupt,
    Fail,
    Incomplete,
    Nop,
    NotAPacket,
    Packet,
    PacketError,
    TooLong,
    UnknownVersion,
    decode,
    encode,
)

from .conftest import enveloped

SEQ, CTIME, NOP = b"\xa3seq\x01", b"\xa5ctime\x92\x01\x02", b"\xa8cmd_type\xa3NOP"
EDGES = [0, 127, 128, 255, 256, 65535, 65536, 2**32 - 1, 2**32, 2**64 - 1]
GOLDEN = {
    "nop": Packet(7, 0x6B022ED3, 0x332470C1, Nop()),
    "fail": Packet(8, 0x6B022ED3, 0x3343A3DC, Fail()),
    "empty": Packet(2, 0x6B022ED3, 0x2BA12AEE, Command()),
    "everything": Packet(34, 0x6B022ED3, 0x307984FA, Command((b"p1", b"p 2"), ((b"A", b"1"), (b"PATH", b"/evil")))),
    "high-bytes": Packet(1, 1700000000, 70000, Command(("é".encode(), b"", b"x"), ((b"", b"\xff"),))),
    "every-byte": Packet(1, 1700000000, 0, Command((bytes(range(256)),))),
    "long": Packet(2**64 - 1, 2**33, 999_999_999, Command((b"x" * 300, *([b"y"] * 20)))),
    "before-1970": Packet(0, -62167219200, 0, Nop()),
}


def golden() -> dict[str, bytes]:
    lines = (Path(__file__).parent / "golden.txt").read_text().splitlines()
    return {name: bytes.fromhex(digits) for name, digits in (line.split() for line in lines)}


@pytest.mark.parametrize("name", GOLDEN)
def test_a_packet_is_written_today_as_it_was_yesterday(name: str) -> None:
    assert encode(GOLDEN[name]) == golden()[name]


@pytest.mark.parametrize("name", GOLDEN)
def test_what_was_written_yesterday_is_read_today(name: str) -> None:
    assert decode(golden()[name] + b"payload") == (GOLDEN[name], len(golden()[name]))


words = st.lists(st.binary(max_size=40), max_size=20).map(tuple)
pairs = st.lists(st.tuples(st.binary(max_size=12), st.binary(max_size=40)), max_size=20).map(tuple)
packets = st.builds(
    Packet,
    st.sampled_from(EDGES) | st.integers(0, 2**64 - 1),
    st.sampled_from(EDGES[:-1]) | st.integers(-(2**63), 2**63 - 1),
    st.integers(0, 2**32 - 1),
    st.builds(Command, words, pairs) | st.just(Nop()) | st.just(Fail()),
)


@settings(max_examples=150, deadline=None)
@given(packets, st.binary(max_size=50))
def test_a_packet_comes_back_as_it_was(packet: Packet, payload: bytes) -> None:
    header = encode(packet)
    again, length = decode(header + payload)
    assert (again.seq, again.secs, again.nanos, again.work) == (packet.seq, packet.secs, packet.nanos, packet.work)
    assert length == len(header)


@settings(max_examples=60, deadline=None)
@given(packets, st.integers(1, 40), st.binary(max_size=50))
def test_a_packet_that_arrives_in_pieces_is_read_to_its_last_byte_and_no_further(packet: Packet, step: int, payload: bytes) -> None:
    stream = encode(packet) + payload
    taken = 0

    def read(at_most: int) -> bytes:
        nonlocal taken
        part = stream[taken : taken + min(step, at_most)]
        taken += len(part)
        return part

    _, length = decode(b"", read)
    assert taken == length == len(encode(packet))


@settings(max_examples=60, deadline=None)
@given(packets, st.data())
def test_a_header_cut_anywhere_is_incomplete(packet: Packet, data: st.DataObject) -> None:
    header = encode(packet)
    with pytest.raises(Incomplete):
        decode(header[: data.draw(st.integers(0, len(header) - 1))])


def test_faults_are_told_apart_in_their_order() -> None:
    header = encode(GOLDEN["nop"])

    def spoiled(at: int) -> bytes:
        return header[:at] + bytes((header[at] ^ 0x40,)) + header[at + 1 :]

    with pytest.raises(NotAPacket):
        decode(spoiled(3))
    with pytest.raises(UnknownVersion):
        decode(spoiled(12))
    with pytest.raises(Corrupt, match="prefix"):
        decode(spoiled(21))
    with pytest.raises(Corrupt, match="metadata"):
        decode(spoiled(40))


ACCEPTED = {
    "keys in another order": b"\x83" + NOP + CTIME + SEQ,
    "keys it does not know": b"\x84" + SEQ + CTIME + NOP + b"\xa1x\x82\x01\xd4\x01\x01\x02\xc9\0\0\0\1\1a",
    "a wide map": b"\xde\x00\x03" + SEQ + CTIME + NOP,
    "a wide number": b"\x83\xa3seq\xcf" + b"\0" * 7 + b"\x01" + CTIME + NOP,
    "a signed number that is not negative": b"\x83\xa3seq\xd3" + b"\0" * 7 + b"\x01" + CTIME + NOP,
    "names as str8": b"\x83\xd9\x03seq\x01" + CTIME + NOP,
    "names as bin": b"\x83\xc4\x03seq\x01" + CTIME + NOP,
    "names as indexes": b"\x83\x00\x01\x01\x92\x01\x02\x02\x01",
    "no names at all": b"\x93\x01\x92\x01\x02\xa3NOP",
    "a variant with nothing in it": b"\x83" + SEQ + CTIME + b"\xa8cmd_type\x81\xa3NOP\xc0",
    "bytes after the end": b"\x83" + SEQ + CTIME + NOP + b"junk\xc1",
    "1,022 arrays in each other": b"\x84" + SEQ + CTIME + NOP + b"\xa1x" + b"\x91" * 1022 + b"\x01",
}
REFUSED = {
    "nothing": b"",
    "a field missing": b"\x82" + SEQ + CTIME,
    "a field twice": b"\x84" + SEQ + SEQ + CTIME + NOP,
    "a negative number": b"\x83\xa3seq\xff" + CTIME + NOP,
    "a float": b"\x83\xa3seq\xcb" + b"\0" * 8 + CTIME + NOP,
    "a time of three": b"\x83" + SEQ + b"\xa5ctime\x93\x01\x02\x03" + NOP,
    "nanoseconds beyond 32 bits": b"\x83" + SEQ + b"\xa5ctime\x92\x01\xcf\0\0\0\1\0\0\0\0" + NOP,
    "a name in lower case": b"\x83" + SEQ + CTIME + b"\xa8cmd_type\xa3nop",
    "a command without data": b"\x83" + SEQ + CTIME + b"\xa8cmd_type\xa7Command",
    "two variants": b"\x83" + SEQ + CTIME + b"\xa8cmd_type\x82\xa3NOP\xc0\xa4Fail\xc0",
    "a parameter as text": b"\x83" + SEQ + CTIME + b"\xa8cmd_type\x81\xa7Command\x92\x91\xa2hi\x90",
    "a byte of 256": b"\x83" + SEQ + CTIME + b"\xa8cmd_type\x81\xa7Command\x92\x91\x91\xcd\x01\x00\x90",
    "a pair of three": b"\x83" + SEQ + CTIME + b"\xa8cmd_type\x81\xa7Command\x92\x90\x91\x93\x90\x90\x90",
    "a value cut short": (b"\x83" + SEQ + CTIME + NOP)[:-1],
    "1,023 arrays in each other": b"\x84" + SEQ + CTIME + NOP + b"\xa1x" + b"\x91" * 1023 + b"\x01",
}


@pytest.mark.parametrize("form", ACCEPTED)
def test_other_ways_to_write_the_same_are_accepted(form: str) -> None:
    packet, _ = decode(enveloped(ACCEPTED[form]))
    assert (packet.seq, packet.secs, packet.nanos, packet.work) == (1, 1, 2, Nop())


@pytest.mark.parametrize("form", REFUSED)
def test_what_is_no_packet_is_refused(form: str) -> None:
    with pytest.raises(BadMetadata):
        decode(enveloped(REFUSED[form]))


def test_byte_strings_as_bin_are_read_as_newer_readers_do() -> None:
    metadata = b"\x83" + SEQ + CTIME + b"\xa8cmd_type\x81\xa7Command\x92\x91\xc4\x02hi\x90"
    assert decode(enveloped(metadata))[0].work == Command((b"hi",))


@pytest.mark.parametrize("length", [METADATA_BYTES_MAX + 1, 2**31, 2**36, 2**62, 2**64 - 1])
def test_an_absurd_length_is_refused_before_anything_is_read(length: int) -> None:
    with pytest.raises(TooLong):
        decode(enveloped(b"", length=length))


@pytest.mark.parametrize("metadata", [b"\xdd\xff\xff\xff\xff", b"\xdf\xff\xff\xff\xff", b"\x83\xc6\xff\xff\xff\xff"])
def test_an_absurd_length_inside_costs_no_memory(metadata: bytes) -> None:
    tracemalloc.start()
    with pytest.raises(BadMetadata):
        decode(enveloped(metadata))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 100_000


def test_random_damage_ends_in_a_packet_or_in_an_error_that_says_so() -> None:
    chance = random.Random(4)
    seeds = [encode(packet)[30:] for name, packet in GOLDEN.items() if name != "long"] + list(ACCEPTED.values())
    for _ in range(10_000):
        metadata = bytearray(chance.choice(seeds))
        for _ in range(chance.randrange(1, 4)):
            at = chance.randrange(len(metadata) + 1)
            match chance.randrange(3):
                case 0:
                    metadata[at : at + 1] = chance.randbytes(1)
                case 1:
                    metadata[at:at] = chance.randbytes(chance.randrange(3))
                case _:
                    del metadata[at : at + chance.randrange(3)]
        try:
            packet, _ = decode(enveloped(bytes(metadata)))
        except PacketError:
            continue
        assert decode(encode(packet))[0].work == packet.work
