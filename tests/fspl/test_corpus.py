"""The shared corpus: real packets and queues with the real program's answers."""

from __future__ import annotations

import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from .conftest import OURS

CORPUS = Path(__file__).resolve().parents[3] / "shared" / "fspl_corpus"


@pytest.mark.wide
def test_every_answer_of_the_corpus_is_given_again() -> None:
    if not (CORPUS / "check.py").exists():
        pytest.skip(f"no corpus beside the repository ({CORPUS.parent.name}/{CORPUS.name})")
    replay = [sys.executable, str(CORPUS / "check.py"), "--fspl", shlex.join(OURS), "--only"]
    halves = [subprocess.Popen([*replay, part], stdout=subprocess.PIPE, text=True) for part in ("[a-l]*", "[!a-l]*")]
    for half in halves:
        said = half.communicate()[0]
        assert half.returncode == 0, said
        assert " 0 failed" in said
