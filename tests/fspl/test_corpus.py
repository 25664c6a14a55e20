"""The shared corpus: real packets and queues with the real program's answers."""

from __future__ import annotations

import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from .conftest import OURS

CORPUS = Path(__file__).resolve().parents[3] / "shared" / "fspl_corpus"


# Halves, so that two workers of a test run share the work.
@pytest.mark.parametrize("part", ["[a-l]*", "[m-z]*"])
def test_every_answer_of_the_corpus_is_given_again(part: str) -> None:
    if not (CORPUS / "check.py").exists():
        pytest.skip(f"no corpus beside the repository ({CORPUS.parent.name}/{CORPUS.name})")
    replay = [sys.executable, str(CORPUS / "check.py"), "--fspl", shlex.join(OURS), "--only", part]
    done = subprocess.run(replay, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert " 0 failed" in done.stdout
