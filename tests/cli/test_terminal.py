"""Pipes that close, Ctrl-C, terminals: no traceback, nothing raw, no colour where none is wanted."""

from __future__ import annotations

import os
import pty
import select
import signal
import subprocess
import time

import pytest

from .conftest import Queuectl, made_once

ESCAPE = "\x1b[31mred\x1b]0;title\x07\x9b2J\u202e\r\b"


def on_a_terminal(queue: Queuectl, *args: str, env: dict[str, str] | None = None) -> bytes:
    """What the program writes to a terminal."""
    master, slave = pty.openpty()
    env = {"TERM": "xterm-256color", "COLUMNS": "150"} | (env or {})
    process = queue.start(*args, stdin=slave, stdout=slave, stderr=slave, env=env)
    os.close(slave)
    written, deadline = b"", time.monotonic() + 30
    while time.monotonic() < deadline and select.select([master], [], [], 30)[0]:
        try:
            piece = os.read(master, 65536)
        except OSError:
            break  # the terminal is hung up: the program has ended
        if not piece:
            break
        written += piece
    os.close(master)
    assert process.wait(timeout=20) == 0
    return written


@pytest.fixture
def hostile(queue: Queuectl) -> Queuectl:
    return made_once(queue, full_of_escapes)


def full_of_escapes(queue: Queuectl) -> None:
    """In commands, labels and output."""
    queue.ok("enqueue", "--id", "ran", "--command", r"printf 'a\033[31mb\033]0;t\007\233\r\nc\r\n\303'; printf '\251'; exit 0")
    queue.drain()
    queue.ok("enqueue", "--id", "waits", "--command", f"echo {ESCAPE}", "--label", "l\x1b[7m", "--", env={"E": ESCAPE})


SHOWING = ["list", "show waits", "show waits --env", "show ran", "explain waits", "logs ran", "logs -f ran", "status", "queue list"]


@pytest.mark.parametrize("words", [*SHOWING, "list --json", "export"])
def test_escapes_of_commands_labels_and_output_never_reach_a_terminal(hostile: Queuectl, words: str) -> None:
    written = on_a_terminal(hostile, *words.split(), env={"NO_COLOR": "1"}).decode("utf-8", "surrogateescape")
    for bad in ("\x1b]", "\x1b[31mred", "\x1b[7m", "\x07", "\x9b", "\u202e", "\b", "\udc9b"):
        assert bad not in written
    assert "\r" not in written.replace("\r\n", "")


def test_output_on_a_terminal_stays_readable_text(hostile: Queuectl) -> None:
    written = on_a_terminal(hostile, "logs", "ran").decode()
    assert "a\\x1b[31mb" in written and "c" in written.split("\r\n") and written.rstrip().endswith("é")


def test_output_to_a_pipe_is_what_was_written(hostile: Queuectl) -> None:
    assert hostile("logs", "ran", stdout=subprocess.PIPE).out.startswith("a\x1b[31mb\x1b]0;t\x07")


def test_raw_on_request_gives_a_terminal_the_bytes(hostile: Queuectl) -> None:
    assert b"\x1b[31mb" in on_a_terminal(hostile, "logs", "--raw", "ran")


def test_error_messages_carry_no_escapes(queue: Queuectl) -> None:
    for words in (["show", ESCAPE], [ESCAPE], ["enqueue", ESCAPE], ["list", "--state", ESCAPE], ["list", f"--{ESCAPE}"]):
        err = queue(*words).err
        assert err.count("\n") == 1 and not set("\x1b\x07\x9b\u202e\r\b") & set(err)


def test_a_terminal_gets_colours_and_no_color_takes_them_away(hostile: Queuectl) -> None:
    assert b"\x1b[" in on_a_terminal(hostile, "list")
    assert b"\x1b[" not in on_a_terminal(hostile, "list", env={"NO_COLOR": "1"}).replace(b"\x1b[1m", b"").replace(b"\x1b[0m", b"")


def test_a_pipe_gets_plain_text(hostile: Queuectl) -> None:
    assert all("\x1b" not in hostile.ok(*words.split()) for words in SHOWING if "logs" not in words)


def test_a_reader_that_goes_away_causes_no_traceback(queue: Queuectl) -> None:
    queue.ok("enqueue", "--from", "-", stdin=b"echo a command of some length, so that the pipe is full soon\n" * 3000)
    for words in ("list --all", "list --json", "export", "list -q --all"):
        line = f"{' '.join(queue.program)} {words} | head -1; echo ${{PIPESTATUS[0]}}"
        done = subprocess.run(["bash", "-c", line], cwd=queue.folder, env=queue.env, capture_output=True, text=True, timeout=40)
        assert done.stderr == "" and done.stdout.splitlines()[-1] in ("141", "0") and len(done.stdout.splitlines()) == 2


@pytest.mark.parametrize("words", ["list", "status", "--help", "list --json", "completion bash"])
@pytest.mark.parametrize("closed", [">&-", "<&-", "2>&-", ">&- 2>&- <&-"])
def test_closed_standard_descriptors_cause_no_traceback(queue: Queuectl, words: str, closed: str) -> None:
    line = f"{' '.join(queue.program)} {words} {closed}"
    done = subprocess.run(["bash", "-c", line], cwd=queue.folder, env=queue.env, capture_output=True, text=True, timeout=40)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_job_added_with_everything_closed_is_stored_whole(queue: Queuectl) -> None:
    line = f"{' '.join(queue.program)} enqueue --stdin --command cat >&- 2>&- <&-"
    subprocess.run(["bash", "-c", line], cwd=queue.folder, env=queue.env, timeout=40, check=True)
    assert queue.states() == {"1": "pending"}


@pytest.mark.parametrize("words", ["list", "status", "list --json", "--help"])
def test_output_that_cannot_be_written_is_an_error_in_one_line(queue: Queuectl, words: str) -> None:
    with open("/dev/full", "wb") as full:
        done = queue(*words.split(), stdout=full)
    assert done.rc == 7 and done.err.count("\n") == 1 and "space" in done.err


def test_a_job_was_added_whether_or_not_the_word_about_it_can_be_written(queue: Queuectl) -> None:
    with open("/dev/full", "wb") as full:
        done = queue("enqueue", "--command", "true", stderr=full)
    assert (done.rc, done.out) == (0, "1\n")


WAITING = ["wait 1", "logs -f 1", "run --command true", "enqueue --from -", "enqueue --stdin --command cat"]


@pytest.mark.parametrize("words", WAITING)
def test_ctrl_c_ends_a_waiting_command_with_130_and_no_traceback(queue: Queuectl, words: str) -> None:
    queue.ok("enqueue", "--command", "true")
    waiting = queue.start(*words.split(), stdin=subprocess.PIPE)
    time.sleep(0.8)  # it is inside its wait by then; earlier it would be the interpreter's start that is interrupted
    assert waiting.poll() is None
    waiting.send_signal(signal.SIGINT)
    waiting.wait(timeout=20)
    _, err = waiting.communicate(timeout=20)
    assert waiting.returncode == 130 and b"Traceback" not in err
    if "enqueue" in words:
        assert len(queue.states()) == 1


def test_text_that_the_locale_cannot_show_is_spelled_out(queue: Queuectl) -> None:
    queue.ok("enqueue", "--command", "echo żółć")
    done = queue("list", env={"LC_ALL": "C", "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"})
    assert done.rc == 0 and "\\u017c" in done.out
