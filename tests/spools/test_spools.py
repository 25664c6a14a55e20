"""Packets of an attached folder become jobs, strictly in order."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time

import pytest
from behaviour.harness import alive, eventually, states

from queuectl.packet import Command, Fail, Nop, Packet, encode

from .conftest import Folder, Spooled, settle


def test_packets_are_run_in_the_order_of_their_numbers_however_they_come(place: Spooled) -> None:
    place.worker("--count", "4")
    place.attach(*place.tracing())
    for number in (3, 5, 1, 4, 2, 6):
        place.spool.put(number)
    place.done(6)
    assert (place.trace, place.spool.left(), place.spool.next) == (list("123456"), [], 7)
    assert states(place.queue) == {f"s-{number}": "completed" for number in range(1, 7)}


def test_what_was_there_before_it_was_attached_counts_too_and_so_does_what_came_while_nobody_watched(place: Spooled) -> None:
    place.spool.put(2)
    place.attach(*place.tracing())
    place.spool.put(1)
    place.worker()
    place.done(2)
    assert place.trace == ["1", "2"]


def test_a_gap_is_waited_for_and_told(place: Spooled) -> None:
    place.worker()
    place.attach(*place.tracing())
    assert "waits for packet 1, which is not there" in place.said()
    for number in (1, 3, 4):
        place.spool.put(number)
    place.done(1)
    eventually(lambda: "it waits for packet 2: it is not there, but 3, 4 are" in place.said())
    assert "packet 4 of spool s is no job yet" in place.said("s-4") and "waits for packet 2" in place.said("s-4")
    assert "is past" in place.command("explain", "s-0").stdout
    place.spool.put(2)
    place.done(4)
    assert place.trace == list("1234")


def test_a_packets_job_has_its_payload_its_variables_and_a_log(place: Spooled) -> None:
    place.worker()
    place.attach(
        "--", "sh", "-c", 'echo "$# $FSPL_SEQ $FSPL_PARAM_1 $FSPL_SET_COLOUR $FSPL_JOB_FILENAME $QUEUECTL_JOB_ID"; cat', "sh"
    )
    name = place.spool.put(1, b"the payload", params=("-rf",)).name
    place.done(1)
    job = place.queue.get("s-1")
    assert (job.kind, job.label, job.queue, job.state) == ("packet", "s", "default", "completed")
    written = b"".join(place.queue.logs("s-1"))
    assert f"0 1 -rf red {name} s-1\nthe payload".encode() in written and b"--allow-job-params" in written


def test_parameters_become_arguments_only_where_asked(place: Spooled) -> None:
    place.worker()
    place.attach("--allow-job-params", "--", "printf", "<%s>", "--")
    place.spool.put(1, params=("-n", "a b", "é"))
    place.done(1)
    assert "<--><-n><a b><é>" in b"".join(place.queue.logs("s-1")).decode()


@pytest.mark.wide
def test_the_command_runs_where_it_was_attached_with_the_variables_of_then(place: Spooled) -> None:
    (place.folder / "there").mkdir()
    command = [*["spool", "attach"], str(place.spool.path), "--name", "s", "--", "sh", "-c", "pwd; echo $MINE"]
    program = [sys.executable, "-m", "queuectl", *command]
    subprocess.run(program, env={**place.environ, "MINE": "kept"}, cwd=place.folder / "there", check=True, capture_output=True)
    place.worker()
    place.spool.put(1)
    place.done(1)
    assert f"{place.folder}/there\nkept\n".encode() in b"".join(place.queue.logs("s-1"))


@pytest.mark.wide
def test_temporary_names_of_those_who_sync_are_no_packets(place: Spooled) -> None:
    place.worker()
    place.attach(*place.tracing())
    packet = place.spool.put(1, name="whole")
    for name in (".syncthing.fspl-1.fspl.tmp", ".fspl-1.fspl.Ab12Cd", "fspl-1.fspl.part", "~fspl-1.fspl", "tmp-fspl-1.fspl.tmp"):
        (place.spool.jobs / name).write_bytes(packet.read_bytes()[:40])
    settle()
    assert place.trace == []
    (place.spool.jobs / ".syncthing.fspl-1.fspl.tmp").write_bytes(packet.read_bytes())
    (place.spool.jobs / ".syncthing.fspl-1.fspl.tmp").rename(place.spool.jobs / "fspl-1.fspl")
    place.done(1)
    assert place.trace == ["1"] and place.spool.rejected() == {}


def test_a_packet_that_is_being_written_is_taken_when_it_is_closed(place: Spooled) -> None:
    place.worker()
    place.attach("--", "wc", "-c")
    header = encode(Packet(1, 1, 1, Command()))
    with open(place.spool.jobs / "fspl-slow.fspl", "wb", buffering=0) as file:
        file.write(header + b"x" * 1000)
        settle(3.0)  # longer than a file takes to settle of which nothing is known
        assert states(place.queue) == {}
        file.write(b"y" * 1000)
    place.done(1)
    assert b"".join(place.queue.logs("s-1")) == b"2000\n"


@pytest.mark.wide
def test_a_file_of_whose_writer_nothing_is_known_is_taken_when_it_has_settled(place: Spooled) -> None:
    place.worker()
    place.attach(*place.tracing())
    elsewhere = place.spool.put(1, name="elsewhere")
    began = time.monotonic()
    os.link(elsewhere, place.spool.jobs / "fspl-linked.fspl")  # made, never closed, never renamed
    place.done(1)
    assert time.monotonic() - began > 1.0 and place.trace == ["1"]


@pytest.mark.wide
def test_packets_that_say_nop_or_fail_run_nothing(place: Spooled) -> None:
    place.worker()
    place.attach("--max-retries", "0", *place.tracing())
    place.spool.put(1, work=Nop())
    place.spool.put(2, work=Fail())
    eventually(lambda: states(place.queue) == {"s-1": "completed", "s-2": "dead"})
    assert place.trace == []


@pytest.mark.wide
def test_several_spools_go_on_beside_each_other(place: Spooled) -> None:
    other = Folder(place.folder / "R")
    place.worker("--count", "2")
    place.attach("--", "sh", "-c", f"until [ -e {place.folder}/go ]; do sleep 0.02; done")
    place.attach(*place.tracing(), folder=other, name="r")
    place.spool.put(1)
    for number in (1, 2, 3):
        other.put(number)
    eventually(lambda: other.next == 4)
    assert place.spool.next == 1
    (place.folder / "go").touch()
    place.done(1)


# ---------------------------------------------------------------- failures


def failing(place: Spooled, *words: str) -> None:
    """Packet 2 fails until there is a file `mended`."""
    place.worker()
    place.attach(*words, *place.tracing(f"[ $FSPL_SEQ != 2 ] || [ -e {place.folder}/mended ]"))
    for number in (1, 2, 3):
        place.spool.put(number)


def test_a_spool_stops_at_a_packet_that_has_failed_for_good_until_it_is_retried(place: Spooled) -> None:
    failing(place, "--max-retries", "1")
    eventually(lambda: "stopped at packet 2" in place.said())
    assert (place.trace, place.spool.next, len(place.spool.left())) == (["1", "2", "2"], 2, 2)
    assert "spool s waits: 'queuectl spool retry s'" in place.said("s-2")
    [listed] = json.loads(place.command("spool", "list", "--json").stdout)
    assert (listed["stopped"], listed["next"], listed["job"]) == (True, 2, "s-2")
    (place.folder / "mended").touch()
    assert place.command("spool", "retry", "s").returncode == 0
    place.done(3)
    assert place.trace == ["1", "2", "2", "2", "3"] and place.spool.left() == []


def test_a_bad_packet_can_be_replaced_by_a_better_one_of_its_number(place: Spooled) -> None:
    place.worker()
    place.attach("--max-retries", "0", "--", "sh", "-c", f"grep -q good && echo $FSPL_SEQ >> {place.folder}/trace")
    bad = place.spool.put(1, b"bad")
    eventually(lambda: "stopped at packet 1" in place.said())
    bad.unlink()
    place.spool.put(1, b"good")
    assert place.command("spool", "retry", "s").returncode == 0
    place.done(1)
    assert place.trace == ["1"] and states(place.queue)["s-1"] == "dead"


@pytest.mark.wide
def test_the_dead_letter_queues_own_retry_does_the_same(place: Spooled) -> None:
    failing(place, "--max-retries", "0")
    eventually(lambda: states(place.queue).get("s-2") == "dead")
    (place.folder / "mended").touch()
    assert place.command("dlq", "retry", "s-2").returncode == 0
    place.done(3)
    assert place.trace == ["1", "2", "2", "3"]


def test_a_packet_can_be_skipped_and_its_file_is_kept(place: Spooled) -> None:
    failing(place, "--max-retries", "0")
    eventually(lambda: "stopped at packet 2" in place.said())
    refused = place.command("spool", "skip", "s", "3")
    assert refused.returncode == 5 and "packet 2 is next" in refused.stderr
    assert place.command("spool", "skip", "s", "2").returncode == 0
    place.done(3)
    assert place.trace == ["1", "2", "3"] and place.spool.left() == []
    [(_, reason)] = place.spool.rejected().items()
    assert "packet 2 was skipped" in reason


@pytest.mark.wide
def test_a_packet_that_never_comes_can_be_skipped(place: Spooled) -> None:
    place.worker()
    place.attach(*place.tracing())
    place.spool.put(2)
    eventually(lambda: "but 2 is" in place.said())
    assert place.command("spool", "skip", "s").returncode == 0
    place.done(2)
    assert place.trace == ["2"]


@pytest.mark.parametrize(("how", "left"), [("delete", 0), ("leave", 1)])
@pytest.mark.wide
def test_a_spool_may_be_told_to_go_on_after_a_failure(place: Spooled, how: str, left: int) -> None:
    failing(place, "--max-retries", "0", "--on-error", how)
    place.done(3)
    assert place.trace == ["1", "2", "3"] and len(place.spool.left()) == left
    assert states(place.queue)["s-2"] == "dead"


def test_a_cancelled_packet_stops_its_spool(place: Spooled) -> None:
    place.worker()
    place.attach(*place.tracing("exec sleep 60"))
    place.spool.put(1)
    eventually(lambda: place.trace == ["1"])
    assert place.command("spool", "skip", "s").returncode == 5
    assert place.command("cancel", "s-1").returncode == 0
    eventually(lambda: "stopped at packet 1" in place.said())
    assert place.spool.next == 1 and "was cancelled" in place.said()


@pytest.mark.wide
def test_a_command_that_is_not_there_fails_like_any_other(place: Spooled) -> None:
    place.worker()
    place.attach("--max-retries", "0", "--", "no-such-program")
    place.spool.put(1)
    eventually(lambda: states(place.queue) == {"s-1": "dead"})
    assert place.queue.get("s-1").exit_code == 127 and b"was not found" in b"".join(place.queue.logs("s-1"))


def test_what_a_packet_leaves_running_ends_with_it(place: Spooled) -> None:
    place.worker()
    place.attach("--", "sh", "-c", f"setsid sleep 300 & echo $! > {place.folder}/pid")
    place.spool.put(1)
    place.done(1)
    pid = int((place.folder / "pid").read_text())
    eventually(lambda: not alive(pid))


# ---------------------------------------------------------------- attaching and letting go


def test_a_folder_is_attached_once_and_only_if_it_is_a_queue(place: Spooled) -> None:
    def attach(*words: str) -> tuple[int, str]:
        done = place.command("spool", "attach", *words, "--", "true")
        return done.returncode, done.stderr

    assert attach(str(place.folder / "nowhere"))[0] == 2
    assert attach(str(place.spool.path), "--name", "a b")[0] == 2
    assert attach(str(place.spool.path), "--on-error", "shrug")[0] == 2
    assert place.command("spool", "attach", str(place.spool.path)).returncode == 2
    assert attach(str(place.spool.path), "--name", "s")[0] == 0
    code, said = attach(str(place.spool.path), "--name", "t")
    assert code == 5 and "spool detach s" in said
    (place.spool.path / "nextseq").write_text("no number\n")
    assert "cannot be read" in place.command("spool", "list").stdout
    assert place.command("spool", "detach", "other").returncode == 3


def test_a_detached_spool_finishes_its_packet_and_takes_no_other(place: Spooled) -> None:
    place.worker()
    place.attach(*place.tracing(f"until [ -e {place.folder}/go ]; do sleep 0.02; done"))
    place.spool.put(1)
    eventually(lambda: place.trace == ["1"])
    place.spool.put(2)
    assert "when its packet has ended" in place.command("spool", "detach", "s").stderr
    (place.folder / "go").touch()
    eventually(lambda: place.command("spool", "list", "--quiet").stdout == "")
    settle()
    assert (place.trace, place.spool.next) == (["1"], 2)
    assert place.spool.fspl("queue-process", "cat").returncode == 0 and place.spool.next == 3


@pytest.mark.wide
def test_the_watch_ends_with_the_last_spool_and_begins_with_the_first(place: Spooled) -> None:
    place.worker()

    def watches() -> list[str]:
        found = subprocess.run(["pgrep", "-f", f"run.spools {place.folder}"], capture_output=True, text=True)
        return found.stdout.split()

    assert watches() == []
    for _ in range(2):
        place.attach(*place.tracing())
        eventually(watches)
        assert place.command("spool", "detach", "s").returncode == 0
        eventually(lambda: watches() == [])


@pytest.mark.wide
def test_a_stopped_packets_job_is_not_cleaned_away_nor_copied(place: Spooled) -> None:
    failing(place, "--max-retries", "0")
    eventually(lambda: "stopped at packet 2" in place.said())
    refused = place.command("clean", "s-2")
    assert refused.returncode == 5 and "spool" in refused.stderr
    assert place.command("clean", "--state", "dead").returncode == 0
    assert states(place.queue)["s-2"] == "dead"


@pytest.mark.wide
def test_a_paused_queue_or_a_busy_worker_only_delays(place: Spooled) -> None:
    place.worker()
    place.attach("--queue", "slow", *place.tracing())
    place.command("queue", "pause", "slow")
    place.spool.put(1)
    eventually(lambda: states(place.queue) == {"s-1": "pending"})
    assert "paused" in place.said("s-1")
    place.command("queue", "resume", "slow")
    place.done(1)
    assert place.trace == ["1"]
