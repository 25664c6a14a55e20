"""Writes docs/terminal.svg: a real session of the real program, captured from a terminal. Run by hand when looks change."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.text import Text

PICTURE = Path(__file__).resolve().parent.parent / "docs" / "terminal.svg"
COLUMNS = 100
SESSION = """
queuectl worker start --count 2 --background
seq 1000 | sed 's/^/sleep 0.05; echo photo /' | queuectl enqueue --from - --label photos
queuectl enqueue --id backup --priority 9 --timeout 10m --command 'sleep 2; echo saved'
queuectl enqueue --id upload --priority 8 --max-retries 0 -- curl --fail http://127.0.0.1:9/photos
queuectl enqueue --id report --delay 2h -- make report
sleep 0.8
queuectl list report upload backup 5-7
queuectl status
queuectl explain upload; queuectl explain report
queuectl wait backup && queuectl logs backup
"""


def typed(line: str, env: dict[str, str]) -> bytes:
    """What a terminal shows after a line was typed."""
    ours, theirs = pty.openpty()
    os.set_inheritable(theirs, True)
    subprocess.run(["stty", "cols", str(COLUMNS), "-echo"], stdin=theirs, check=True)
    process = subprocess.Popen(["sh", "-c", line], stdin=theirs, stdout=theirs, stderr=theirs, env=env, cwd=env["HOME"])
    os.close(theirs)
    shown = b""
    try:
        while piece := os.read(ours, 65536):
            shown += piece
    except OSError:
        pass  # the terminal's end of file
    process.wait()
    os.close(ours)
    return shown


def settled(shown: str) -> str:
    """What stays on the screen: lines that were written over are gone, as on a terminal."""
    lines = [line.rpartition("\r\x1b[K")[2].rstrip() for line in shown.replace("\r\n", "\n").split("\n")]
    return "\n".join(lines).strip("\n")


def main() -> None:
    console = Console(record=True, width=COLUMNS, force_terminal=True, file=open(os.devnull, "w"))  # noqa: SIM115
    with tempfile.TemporaryDirectory(prefix="photos-") as home:
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        env = {"HOME": home, "PATH": path, "TERM": "xterm-256color", "COLUMNS": str(COLUMNS), "LANG": "C.UTF-8"}
        typed("queuectl init", env)
        try:
            for line in SESSION.strip().splitlines():
                shown = settled(typed(line, env).decode())
                if not line.startswith("sleep"):
                    console.print(Text.assemble(("$ ", "bold green"), (line, "bold")), soft_wrap=True)
                    console.print(Text.from_ansi(shown), end="\n" if shown else "")
        finally:
            typed("queuectl worker stop --now", env)
    drawn = console.export_svg(title="queuectl", unique_id="terminal")
    PICTURE.write_text(re.sub(r"@font-face \{.*?\}\n|<!--.*?-->", "", drawn, flags=re.DOTALL), encoding="utf-8")


if __name__ == "__main__":
    main()
