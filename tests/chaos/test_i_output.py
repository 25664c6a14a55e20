"""Group D: whatever a job prints, the disk is bounded, the worker stays small, bytes stay what they are, and no terminal
obeys them unasked."""

from __future__ import annotations

import hashlib
import os
import pty
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from .harness import Trial, figure, size

MB = 1_000_000
PATH = {"PATH": "/usr/bin:/bin"}


def memory(pid: int) -> int:
    """What is its own, in bytes: pages that are shared with others count for nobody."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) for line in lines if line.startswith(("Private_Dirty", "Private_Clean"))) * 1024


def room(path: Path) -> int:
    return path.stat().st_blocks * 512 if path.exists() else 0


def test_endless_output_takes_the_room_it_may_and_no_more(trial: Callable[..., Trial]) -> None:
    one, limit, total = trial(min_free=0), 64 * MB, size(2_000, 100_000) * MB
    keeper = one.keeper(2)
    worker = one.worker_of(keeper)
    one.queue.add("sleep 0.3", env=PATH)
    one.drained()
    before = memory(worker)
    job = one.queue.add(f"head -c {total} /dev/zero; echo; echo the end", env=PATH, max_output=limit)
    log, peak, grown, began = one.folder / "job_logs" / f"{job.id}.log", 0, 0, time.monotonic()
    while not one.all_ended():
        peak, grown = max(peak, room(log)), max(grown, memory(worker) - before)
        time.sleep(0.02)
    rate = total / (time.monotonic() - began)
    kept, shown = room(log), one.command("logs", job.id, "--tail", "1").stdout
    # Between two looks it may grow by what is printed meanwhile.
    holds = kept <= limit * 1.3 and peak <= limit * 1.3 + rate * 1.5 and grown <= 20 * MB and shown == "the end\n"
    reached = f"{total / 1e9:g} GB printed at {rate / 1e9:.1f} GB/s: {kept / MB:.0f} MB kept of {limit // MB} asked for, "
    reached += f"at most {peak / MB:.0f} between two looks; worker {grown / MB:+.1f} MB"
    figure("D endless output", "disk bounded by the limit, worker +≤ 20 MB", reached, holds)


def test_head_and_tail_are_what_was_printed_and_the_cut_is_told(trial: Callable[..., Trial]) -> None:
    one, lines = trial(), size(3, 30) * 1_000_000
    job = one.queue.add(f"seq {lines}; sleep 1", env=PATH, max_output=4 * MB)
    one.keeper(1)
    one.drained(600)
    shown = b"".join(one.queue.logs(job.id))
    printed = b"".join(b"%d\n" % n for n in range(1, lines + 1)) if lines < 10**7 else None
    cuts = re.findall(rb"\n\[queuectl: (\d+) bytes were cut out here\]\n", shown)
    head, _, tail = re.sub(rb"\n\[queuectl: \d+ bytes were cut out here\]\n", b"\0", shown).partition(b"\0")
    whole = length_of_seq(lines)
    right = len(cuts) == 1 and len(head) + int(cuts[0]) + len(tail) == whole
    right = right and head.startswith(b"1\n2\n3\n") and tail.endswith(b"\n%d\n" % lines)
    if printed is not None:
        right = right and printed.startswith(head) and printed.endswith(tail)
    reached = f"{whole / MB:.0f} MB: head {len(head)} and tail {len(tail)} bytes exact, {int(cuts[0]) if cuts else 0} cut out"
    figure("D head and tail of a bounded log", "exact, the cut told", reached, right)


def length_of_seq(last: int) -> int:
    return sum((digits + 1) * (min(last, 10**digits - 1) - 10 ** (digits - 1) + 1) for digits in range(1, len(str(last)) + 1))


def test_an_output_limit_may_end_the_job(trial: Callable[..., Trial]) -> None:
    one = trial(output_over="kill")
    job = one.queue.add("yes", env=PATH, max_output=4 * MB, max_retries=0)
    one.keeper(1)
    one.drained()
    done = one.queue.get(job.id)
    holds = (done.state, done.reason) == ("dead", "output limit")
    figure("D output_over kill", "ended, the reason told", f"{done.state}, {done.reason}", holds)


def test_one_line_of_a_gigabyte(trial: Callable[..., Trial]) -> None:
    one, total = trial(min_free=0), size(100, 1000) * MB
    job = one.queue.add(f"head -c {total} /dev/zero | tr '\\0' x; echo; printf last", env=PATH, max_output=0)
    one.keeper(1)
    one.drained(300)
    counts, peaks = [], []
    for words in (("logs", job.id), ("logs", job.id, "--tail", "2"), ("logs", job.id, "--tail", "1")):
        process = subprocess.Popen([sys.executable, "-m", "queuectl", *words], env=one.environ, stdout=subprocess.PIPE)
        assert process.stdout
        counts.append(0)
        while piece := process.stdout.read(1 << 20):
            counts[-1] += len(piece)
            peaks.append(memory(process.pid))
        process.wait()
    right, most = counts == [total + 5, total + 5, 4], max(peaks) / MB
    figure("D one line of 1 GB", "byte-exact, commands stay small", f"{counts} bytes, {most:.0f} MB", right and most < 30)


TITLE = b"\x1b[2J\x1b]0;title\x07\x1bP+q\x1b\\\x9b31m\xff\xfe"
NASTY = bytes(range(256)) * 4 + TITLE + "\u202ereversed\u2066\u200f\u2028\u0085".encode() + b"\r\n\0end\n"


def test_bytes_stay_what_they_are_and_no_terminal_obeys_them(trial: Callable[..., Trial], tmp_path: Path) -> None:
    one = trial()
    file = tmp_path / "nasty"
    file.write_bytes(NASTY * 20)
    odd = "true \x1b[31m\x9b2J \u202e\x07"
    first = one.queue.add(f"cat {file}", env=PATH, max_retries=0)
    second = one.queue.add(odd, env=PATH, max_retries=0)
    one.keeper(2)
    one.drained()
    piped = subprocess.run([sys.executable, "-m", "queuectl", "logs", first.id], env=one.environ, capture_output=True, check=False)
    raw = on_terminal(one, "logs", "--raw", first.id)
    acted = {}
    for words in (
        *(("logs", first.id), ("logs", "-f", first.id), ("logs", "--tail", "3", first.id)),
        *(("list",), ("status",), ("show", second.id), ("explain", second.id), ("logs", second.id), ("dlq", "list")),
    ):
        found = obeyed(on_terminal(one, *words))
        if found:
            acted[" ".join(words)] = found[:3]
    exact = piped.stdout == NASTY * 20
    words = f"piped: {'exact' if exact else 'NOT exact'}; on a terminal obeyed: {acted or 'none'}; --raw as it is: {b'[2J' in raw}"
    holds = exact and not acted and b"\x1b[2J" in raw
    figure("D NUL, invalid UTF-8, ANSI, C1, bidi", "exact in a pipe, nothing obeyed on a terminal", words, holds)


def on_terminal(one: Trial, *words: str) -> bytes:
    """What a command writes to a terminal."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.execve(sys.executable, [sys.executable, "-m", "queuectl", *words], {**one.environ, "NO_COLOR": "1", "TERM": "dumb"})
    shown = b""
    while True:
        try:
            piece = os.read(terminal, 65536)
        except OSError:
            break
        if not piece:
            break
        shown += piece
    os.waitpid(pid, 0)
    os.close(terminal)
    return shown


def obeyed(shown: bytes) -> list[str]:
    """What of it a terminal would act on; line ends and tabs are what a table is made of."""
    text = shown.replace(b"\r\n", b"\n").decode("utf-8", "surrogateescape")
    codes = [ord(c) for c in text if c not in "\n\t"]
    return [hex(n) for n in codes if n < 32 or 127 <= n < 160 or chr(n) in BIDI or 0xDC80 <= n <= 0xDCFF]


BIDI = "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u2028\u2029"


def test_following_goes_on_over_kills_and_restarts(trial: Callable[..., Trial]) -> None:
    one, lines = trial(), size(150, 1500)
    text = f'n=0; while [ $n -lt {lines} ]; do n=$((n+1)); echo "line $n of many"; sleep 0.01; done'
    job = one.queue.add(text, env=PATH)
    keeper = one.keeper(1)
    follower = subprocess.Popen(
        [sys.executable, "-m", "queuectl", "logs", "-f", job.id], env=one.environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    kills = 0
    while not one.all_ended():
        time.sleep(0.4)
        if kills % 3 == 2:
            one.command("worker", "restart", "--timeout", "5")
            kills += 1
        elif one.kill(one.worker_of(keeper)):
            kills += 1
    shown, said = follower.communicate(timeout=60)
    wanted = b"".join(b"line %d of many\n" % n for n in range(1, lines + 1))
    same = hashlib.sha256(shown).digest() == hashlib.sha256(wanted).digest()
    reached = f"{lines} lines, {kills} kills and restarts: {'exact' if same else 'NOT exact'}"
    figure("D logs -f over kills and restarts of the worker", "byte-exact", reached, same and not said)


def test_a_reader_that_leaves_ends_the_command_quietly(trial: Callable[..., Trial]) -> None:
    one = trial()
    job = one.queue.add("seq 1000000", env=PATH)
    one.keeper(1)
    one.drained()
    program = f'"{sys.executable}" -m queuectl logs {job.id} | head -n 1; "{sys.executable}" -m queuectl list | head -n 1'
    done = subprocess.run(["/bin/sh", "-c", program], env=one.environ, capture_output=True, text=True, timeout=60, check=False)
    lines = done.stdout.splitlines()
    holds = lines[:1] == ["1"] and len(lines) == 2 and not done.stderr
    figure("D logs | head", "first line, no complaint", f"{lines[:1]}, {done.stderr!r}", holds)
