"""What comes into an attached folder and is no packet to be run: refused with the reason, or left and told of."""

from __future__ import annotations

import os

import pytest
from behaviour.harness import eventually, states

from .conftest import Folder, Spooled

pytestmark = pytest.mark.wide


def test_what_is_renamed_into_place_and_is_no_packet_goes_to_rejected_with_the_reason(place: Spooled) -> None:
    place.worker()
    place.attach(*place.tracing())
    (place.folder / "junk").write_bytes(b"junk" * 100)
    (place.folder / "junk").rename(place.spool.jobs / "fspl-junk.fspl")
    eventually(lambda: place.spool.rejected() == {"fspl-junk.fspl": "Input doesn't appear to be a filespooler file\n"})
    assert (place.spool.path / "rejected/fspl-junk.fspl").read_bytes() == b"junk" * 100
    place.spool.put(1)
    place.done(1)


def test_what_cannot_be_rejected_stays_and_is_told_of(place: Spooled) -> None:
    place.worker()
    place.attach(*place.tracing())
    (place.spool.path / "rejected").symlink_to(place.folder)
    (place.folder / "junk").write_bytes(b"junk" * 100)
    (place.folder / "junk").rename(place.spool.jobs / os.fsdecode(b"fspl-\xff.fspl"))
    eventually(lambda: "cannot be moved to 'rejected'" in place.said())
    place.spool.put(1, name=os.fsdecode(b"fspl-\xfe.fspl"))
    place.done(1)
    assert place.trace == ["1"] and not list(place.folder.glob("*.reason"))


def test_the_same_packet_come_twice_is_run_once(place: Spooled) -> None:
    place.worker()
    first = place.spool.put(2, b"same")
    (place.spool.path / "copy").write_bytes(first.read_bytes())
    place.attach(*place.tracing())
    (place.spool.path / "copy").rename(place.spool.jobs / "fspl-2.sync-conflict-2026.fspl")
    eventually(lambda: len(place.spool.rejected()) == 1)
    place.spool.put(1)
    place.done(2)
    assert place.trace == ["1", "2"] and "the same packet as" in str(place.spool.rejected())


def test_two_packets_with_one_number_are_neither_run_nor_lost(place: Spooled) -> None:
    place.worker()
    one, two = place.spool.put(1, b"one"), place.spool.put(1, b"another")
    place.attach(*place.tracing())
    eventually(lambda: "both say that they are packet 1" in place.said())
    assert one.exists() and two.exists() and place.trace == []
    two.unlink()
    place.done(1)
    assert place.trace == ["1"]


def test_what_a_verifier_does_not_vouch_for_is_never_run(place: Spooled) -> None:
    place.worker()
    place.attach("--verify", "grep -q signed", *place.tracing())
    bad = place.spool.put(1, b"forged")
    eventually(lambda: bad.name in place.spool.rejected())
    assert place.trace == [] and "does not vouch" in place.spool.rejected()[bad.name]
    place.spool.put(1, b"signed")
    place.done(1)
    assert place.trace == ["1"]


def test_a_decoder_makes_packets_of_what_is_stored_and_its_failure_is_the_runs(place: Spooled) -> None:
    place.worker()
    place.attach("--decoder", "gzip -dc", "--max-retries", "0", *place.tracing("wc -c"))
    place.spool.put(1, b"x" * 100_000, packed=True)
    place.done(1)
    assert b"".join(place.queue.logs("s-1")) == b"100000\n"
    whole = place.spool.put(2, os.urandom(100_000), packed=True, name="whole")
    (place.spool.path / "cut").write_bytes(whole.read_bytes()[:50_000])
    (place.spool.path / "cut").rename(place.spool.jobs / "fspl-cut.fspl")
    eventually(lambda: states(place.queue).get("s-2") == "dead")
    assert b"Decoder exited with non-success" in b"".join(place.queue.logs("s-2")) and place.spool.next == 2


def test_a_decoder_that_hangs_holds_up_no_other_spool(place: Spooled) -> None:
    other = Folder(place.folder / "R")
    place.worker()
    place.attach("--decoder", "sleep 300", *place.tracing())
    place.spool.put(1)
    place.attach(*place.tracing(), folder=other, name="r")
    other.put(1)
    eventually(lambda: other.next == 2)
