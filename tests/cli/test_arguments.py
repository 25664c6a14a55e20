"""A secret that was given as an argument does not stay in the process table."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

CODE = """
import sys, queuectl.arguments
print(queuectl.arguments.hide("me:öpen sesame"), sys.argv[1], flush=True)
sys.stdin.read()
"""


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="no /proc: NO command line was looked at")
def test_a_secret_argument_is_struck_out_of_the_command_line() -> None:
    words = ["-basicauth=me:öpen sesame", "me:öpen sesame", "other"]
    program = [sys.executable, "-c", CODE, *words]
    process = subprocess.Popen(program, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, encoding="utf-8")
    assert process.stdin and process.stdout
    assert process.stdout.readline() == "True -basicauth=me:öpen sesame\n"  # the program itself still has it
    shown = Path(f"/proc/{process.pid}/cmdline").read_text(encoding="utf-8").split("\0")
    process.communicate()
    secret = "x" * len("me:öpen sesame".encode())
    assert shown[-4:] == [f"-basicauth={secret}", secret, "other", ""]
