"""Ways a packet may travel: several receivers, pipes, mail, a stick; and backups restored in order."""

from __future__ import annotations

import base64
import random
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from .conftest import Program, jobs, next_number


def test_one_packet_serves_several_receivers(ours: Program) -> None:
    packet = ours("prepare", "-s", "seq", "-i", "-", stdin=b"to all").out
    for name in ("A", "B", "C"):
        assert ours("queue-init", "-q", name).rc == 0
        assert ours("queue-write", "-q", name, stdin=packet).rc == 0
    assert [ours("queue-process", "-q", name, "cat").out for name in ("A", "B", "C")] == [b"to all"] * 3


def test_a_packet_goes_through_a_pipe_as_over_ssh(ours: Program, queue: Path) -> None:
    with (
        ours.start("prepare", "-s", "seq", "-i", "-", "--", "p", stdin=subprocess.PIPE) as sender,
        ours.start("queue-write", "-q", "Q", stdin=sender.stdout) as receiver,
    ):
        assert sender.stdin is not None and sender.stdout is not None
        sender.stdout.close()
        sender.stdin.write(b"line\n" * 100_000)
        sender.stdin.close()
    assert (sender.returncode, receiver.returncode) == (0, 0)
    assert ours("queue-process", "-q", "Q", "wc", "--", "-l").out.strip() == b"100000"


def test_a_packet_survives_mail(ours: Program) -> None:
    packet = ours("prepare", "-s", "-", "-i", "-", "--", "é", stdin=bytes(range(256))).out
    letter = base64.encodebytes(packet)
    done = ours("stdin-process", "--allow-job-params", "sh", "--", "-c", 'echo "$1"; cat', "sh", stdin=base64.decodebytes(letter))
    assert done == (0, "é\n".encode() + bytes(range(256)), b"")


def test_a_stick_with_packets_in_any_order_and_twice_the_same(ours: Program, queue: Path) -> None:
    stick = ours.folder / "stick"
    stick.mkdir()
    for number in range(1, 6):
        (stick / f"fspl-{number}.fspl").write_bytes(ours("prepare", "-s", "seq", "-i", "-", stdin=b"%d\n" % number).out)
    out = b""
    for number in (4, 2, 1, 2, 5, 3):
        shutil.copyfile(stick / f"fspl-{number}.fspl", queue / "jobs" / f"fspl-{number}.fspl")
        out += ours("queue-process", "-q", "Q", "cat").out
    assert out == b"1\n2\n3\n4\n5\n"
    assert (jobs(queue), next_number(queue)) == (["fspl-2.fspl"], 6)


# Not every day with gpg, because each call of it takes a third of a second.
@pytest.fixture
def no_agent_left(tmp_path: Path) -> Iterator[None]:
    """gpg starts an agent for its folder and leaves it running."""
    yield
    if shutil.which("gpgconf") is not None:
        subprocess.run(["gpgconf", "--homedir", tmp_path, "--kill", "gpg-agent"], check=False, capture_output=True)


@pytest.mark.usefixtures("no_agent_left")
@pytest.mark.parametrize(("cipher", "days"), [pytest.param("gpg", 2, marks=pytest.mark.chaos), ("gzip", 5)])
def test_incremental_backups_are_restored_in_order_however_they_arrive(ours: Program, queue: Path, cipher: str, days: int) -> None:
    for tool in ("tar", cipher):
        if shutil.which(tool) is None:
            pytest.skip(f"{tool} is not installed")
    home, synced, restored = (ours.folder / name for name in ("home", "synced", "restored"))
    for folder in (home, synced, restored):
        folder.mkdir()
    key = f"--batch --quiet --homedir {ours.folder} --passphrase secret --pinentry-mode loopback --no-symkey-cache"
    encode, decode = {"gpg": (f"gpg {key} -c", f"gpg {key} -d"), "gzip": ("gzip", "gzip -dc")}[cipher]
    for day in range(days):
        (home / "diary").write_text(f"day {day}\n")
        (home / f"new-{day}").write_text("x")
        (home / f"new-{day - 2}").unlink(missing_ok=True)
        backup = subprocess.run(["tar", "-c", "-g", "state", "home"], cwd=ours.folder, capture_output=True, check=True).stdout
        packet = ours("prepare", "-s", "seq", "-i", "-", stdin=backup).out
        hidden = subprocess.run(["sh", "-c", encode], input=packet, cwd=ours.folder, capture_output=True, check=True).stdout
        (synced / f"fspl-{day}.fspl").write_bytes(hidden)
    arrivals = list(synced.iterdir())
    random.Random(1).shuffle(arrivals)
    for packet_file in arrivals:
        packet_file.rename(queue / "jobs" / packet_file.name)
        run = ours("queue-process", "-q", "Q", "-d", decode, "tar", "--", "-x", "-g", "/dev/null", "-C", "restored", "-f", "-")
        assert run.rc == 0, run
    assert {path.name: path.read_text() for path in (restored / "home").iterdir()} == {
        path.name: path.read_text() for path in home.iterdir()
    }
    assert next_number(queue) == days + 1
