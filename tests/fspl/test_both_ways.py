"""Ours and the original on the same packets, files and queues."""

from __future__ import annotations

import hashlib
import os
import random
from pathlib import Path

import pytest

from queuectl.packet import Command, Packet, PacketError, decode, encode

from .conftest import Program, enveloped, jobs, next_number
from .test_packets import ACCEPTED, GOLDEN, REFUSED

SETTINGS = [
    ([], {}, b""),
    (["a", "b c", "", "-rf", "--"], {}, b"line\nline\n"),
    (["é", "new\nline"], {"FSPL_SET_A": "1", "FSPL_SET_": "no name", "FSPL_SETX": "not this"}, bytes(range(256)) * 40),
    (["x" * 70_000], {"FSPL_SET_PATH": "/evil"}, b"\0" * 9000),
]


def fields(info: bytes) -> list[bytes]:
    """What a packet says, except when it was made."""
    return [line for line in info.split(b"\n") if b"CTIME" not in line]


@pytest.mark.parametrize(("params", "env", "payload"), SETTINGS)
def test_a_packet_of_ours_says_the_same_to_the_original(
    ours: Program, real: Program, params: list[str], env: dict[str, str], payload: bytes
) -> None:
    packet = ours("prepare", "-s", "seq", "-i", "-", "--", *params, stdin=payload, env=env).out
    assert real("stdin-info", stdin=packet) == ours("stdin-info", stdin=packet)
    out = real("stdin-payload", stdin=packet).out
    assert hashlib.sha256(out).digest() == hashlib.sha256(payload).digest()


@pytest.mark.parametrize(("params", "env", "payload"), SETTINGS)
def test_a_packet_of_the_original_says_the_same_to_ours(
    ours: Program, real: Program, params: list[str], env: dict[str, str], payload: bytes
) -> None:
    packet = real("prepare", "-s", "seq", "-i", "-", "--", *params, stdin=payload, env=env).out
    assert ours("stdin-info", stdin=packet) == real("stdin-info", stdin=packet)
    assert ours("stdin-payload", stdin=packet).out == payload


@pytest.mark.parametrize(("params", "env", "payload"), SETTINGS)
def test_both_write_the_same_bytes_but_for_the_time(
    ours: Program, real: Program, params: list[str], env: dict[str, str], payload: bytes
) -> None:
    theirs = real("prepare", "-s", "-", "-i", "-", "--", *params, stdin=payload, env=env).out
    mine = ours("prepare", "-s", "-", "-i", "-", "--", *params, stdin=payload, env=env).out
    packet, length = decode(theirs)
    assert encode(packet) == theirs[:length]
    made = decode(mine)[0]
    assert encode(Packet(packet.seq, packet.secs, packet.nanos, made.work)) + payload == theirs


@pytest.mark.parametrize("kind", ["prepare-nop", "prepare-fail"])
def test_packets_without_a_command_carry_no_variables(ours: Program, real: Program, kind: str) -> None:
    env = {"FSPL_SET_A": "1"}
    for program in (ours, real):
        packet = program(kind, "-s", "seq", env=env).out
        assert b"FSPL_SET" not in ours("stdin-info", stdin=packet).out
        assert real("stdin-info", stdin=packet) == ours("stdin-info", stdin=packet)


@pytest.mark.parametrize("name", [name for name in GOLDEN if name != "long"])
def test_the_golden_packets_are_shown_alike(ours: Program, real: Program, name: str) -> None:
    packet = encode(GOLDEN[name])
    assert ours("stdin-info", stdin=packet) == real("stdin-info", stdin=packet)


def test_the_original_accepts_and_refuses_what_ours_does(real: Program) -> None:
    chance = random.Random(2)
    forms = [*ACCEPTED.values(), *REFUSED.values()]
    for _ in range(150):
        metadata = bytearray(chance.choice(forms[:10] + forms[12:-1]))
        if metadata:
            metadata[chance.randrange(len(metadata))] = chance.choice([0, 1, 0x7F, 0x80, 0x90, 0xA0, 0xC0, 0xCC, 0xD0, 0xDC, 0xFF])
        forms.append(bytes(metadata))
    for form in forms:
        rc = real("stdin-payload", stdin=enveloped(form)).rc
        try:
            decode(enveloped(form))
        except PacketError:
            assert rc != 0, form
        else:
            assert rc == 0, form


@pytest.mark.parametrize("zone", ["UTC", "America/New_York", "Asia/Kolkata", "<-03>3", "nonsense", ""])
def test_times_are_shown_alike_in_every_zone(ours: Program, real: Program, zone: str) -> None:
    for secs, nanos in [(0, 0), (1700000000, 10**9), (1700000039, 10**9), (-62167219200, 0), (253402300800, 0), (-5000000000, 0)]:
        packet = encode(Packet(1, secs, nanos, Command()))
        assert ours("stdin-info", stdin=packet, env={"TZ": zone}) == real("stdin-info", stdin=packet, env={"TZ": zone})


def test_both_work_on_one_queue_in_turn(ours: Program, real: Program, queue: Path) -> None:
    for number, program in enumerate([ours, real, real, ours, ours, real], 1):
        program.add("Q", f"p{number}", payload=b"%d\n" % number)
    taken = b""
    for program in (ours, real, ours, real, ours, real):
        assert ours("queue-ls", "-q", "Q") == real("queue-ls", "-q", "Q")
        taken += program("queue-process", "-q", "Q", "-n", "1", "cat").out
    assert taken == b"1\n2\n3\n4\n5\n6\n"
    assert (jobs(queue), next_number(queue)) == ([], 7)


def test_a_queue_made_by_either_is_the_same_tree(ours: Program, real: Program) -> None:
    for program, name in ((ours, "A"), (real, "B")):
        assert program("queue-init", "-q", name, umask=0o027).rc == 0
        assert program("queue-init", "-q", name + "only", "--append-only", umask=0o027).rc == 0

    def modes(top: str) -> list[tuple[str, int, int]]:
        paths = [ours.folder / top, *sorted((ours.folder / top).rglob("*"))]
        return [
            (str(path.relative_to(ours.folder / top)), path.stat().st_mode, path.stat().st_size * path.is_file()) for path in paths
        ]

    assert modes("A") == modes("B")
    assert modes("Aonly") == modes("Bonly")


def test_a_job_of_each_is_found_and_shown_by_the_other(ours: Program, real: Program, queue: Path) -> None:
    ours.add("Q", "mine", payload=b"from ours")
    real.add("Q", "theirs", payload=b"from the original")
    for number in "1", "2", "3":
        assert ours("queue-info", "-q", "Q", "-j", number) == real("queue-info", "-q", "Q", "-j", number)
        assert ours("queue-payload", "-q", "Q", "-j", number) == real("queue-payload", "-q", "Q", "-j", number)


def test_doubled_variables_travel_in_their_order(ours: Program, real: Program) -> None:
    class Doubled(dict):  # type: ignore[type-arg]
        def __len__(self) -> int:
            return 4

        def keys(self) -> list[str]:  # type: ignore[override]
            return ["FSPL_SET_Z", "PATH", "FSPL_SET_A", "FSPL_SET_Z"]

        def values(self) -> list[str]:  # type: ignore[override]
            return ["first", os.environ["PATH"], "a", "second"]

    works = []
    for program in (ours, real):
        reading, writing = os.pipe()
        command = [*program.command, "prepare", "-s", "-"]
        pid = os.posix_spawnp(command[0], command, Doubled(), file_actions=[(os.POSIX_SPAWN_DUP2, writing, 1)])
        os.close(writing)
        os.waitpid(pid, 0)
        works.append(decode(os.read(reading, 4096))[0].work)
        os.close(reading)
    assert works[0] == works[1] == Command((), ((b"Z", b"first"), (b"A", b"a"), (b"Z", b"second")))
